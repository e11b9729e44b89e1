//! The executions of the stack's state machine.

use std::fmt::Write;

use aws_sdk_sfn::types::{ExecutionListItem, ExecutionStatus};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde::Serialize;
use window::payload::ExecutionInput;

use crate::aws::Error;
use crate::report::{Style, table};
use crate::seen::{beginning, clock, plain, time};
use crate::{Aws, Stack};

/// Executions of one page at the most.
const PAGE: usize = 1000;
/// Characters of a cause that are shown.
const CAUSE: usize = 200;
/// Executions that are asked about at a time.
const AT_A_TIME: usize = 8;

/// What is known of an execution.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Execution {
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(crate) status: String,
    pub(crate) started: Option<Timestamp>,
    pub(crate) ended: Option<Timestamp>,
    /// The name of its failure.
    pub(crate) error: Option<String>,
    /// The beginning of its explanation.
    pub(crate) cause: Option<String>,
    /// The message that it came from.
    pub(crate) message_id: Option<String>,
    /// The files that it stages.
    pub(crate) files: Option<Vec<String>>,
    #[serde(skip)]
    pub(crate) input: Option<ExecutionInput>,
}

impl Execution {
    fn listed(item: ExecutionListItem) -> Self {
        Self {
            name: item.name,
            arn: item.execution_arn,
            status: item.status.as_str().to_owned(),
            started: time(&item.start_date),
            ended: item.stop_date.as_ref().and_then(time),
            error: None,
            cause: None,
            message_id: None,
            files: None,
            input: None,
        }
    }

    /// The window's id, with which its name begins.
    pub(crate) fn window(&self) -> &str {
        self.name.split('-').next().unwrap_or_default()
    }
}

/// The newest executions, newest first: `limit` of them at the most, those of `status` or all.
pub(crate) async fn newest(
    aws: &Aws,
    stack: &Stack,
    status: Option<ExecutionStatus>,
    limit: usize,
) -> Result<Vec<Execution>, Error> {
    let client = aws.step_functions();
    let machine = stack.output("StateMachineArn")?;
    let page = i32::try_from(limit.min(PAGE)).unwrap_or_default();
    let listing = client.list_executions().state_machine_arn(machine).set_status_filter(status);
    let mut pages = listing.max_results(page).into_paginator().send();
    let mut found = Vec::new();
    while found.len() < limit
        && let Some(page) = pages.next().await
    {
        let page = page.map_err(|error| aws.failed("states:ListExecutions", &error))?;
        found.extend(page.executions.into_iter().map(Execution::listed));
    }
    found.sort_by_key(|one| std::cmp::Reverse(one.started));
    found.truncate(limit);
    Ok(found)
}

/// Looks closer at each: its input, and why it failed. An error is the first that was met; what was listed stays.
pub(crate) async fn describe(aws: &Aws, executions: &mut [Execution]) -> Result<(), Error> {
    let client = &aws.step_functions();
    let look = async |execution: &mut Execution| {
        let answer = client.describe_execution().execution_arn(&execution.arn).send().await;
        let answer = answer.map_err(|error| aws.failed("states:DescribeExecution", &error))?;
        answer.status.as_str().clone_into(&mut execution.status);
        execution.ended = answer.stop_date.as_ref().and_then(time);
        execution.error = answer.error;
        execution.cause = answer.cause.map(|cause| beginning(&cause, CAUSE));
        let input: Option<ExecutionInput> =
            answer.input.as_deref().and_then(|json| serde_json::from_str(json).ok());
        if let Some(input) = input {
            execution.message_id = Some(input.message.id.clone());
            execution.files = Some(input.files.iter().map(|file| file.key.to_string()).collect());
            execution.input = Some(input);
        }
        Ok(())
    };
    let looked: Vec<Result<(), Error>> =
        stream::iter(executions).map(look).buffer_unordered(AT_A_TIME).collect().await;
    looked.into_iter().collect()
}

/// A column of [`outcome_table`]: its head, and what stands in it.
pub(crate) type Column<'a> = (&'a str, &'a dyn Fn(&Execution) -> String);

/// A line per execution, and below each that failed what it says of it.
pub(crate) fn outcome_table(style: Style, executions: &[Execution], columns: &[Column<'_>]) -> String {
    let mut head = vec!["status", "started", "ended"];
    head.extend(columns.iter().map(|(head, _)| *head));
    head.push("execution");
    let rows: Vec<Vec<String>> = executions
        .iter()
        .map(|one| {
            let mut row = vec![one.status.clone(), clock(one.started), clock(one.ended)];
            row.extend(columns.iter().map(|(_, cell)| plain(&cell(one))));
            row.push(one.name.clone());
            row
        })
        .collect();
    let table = table(style, &head, &rows);
    let mut lines = table.lines();
    let mut text = lines.next().map(|head| format!("{head}\n")).unwrap_or_default();
    for (line, one) in lines.zip(executions) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line}");
        let why: Vec<String> =
            [&one.error, &one.cause].into_iter().flatten().map(|text| plain(text)).collect();
        if !why.is_empty() {
            let _ = writeln!(text, "  {}", style.red(&why.join(": ")));
        }
    }
    text
}
