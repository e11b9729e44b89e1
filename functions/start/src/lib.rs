//! `start`: an SNS message comes in, and an execution is started for each window that its files belong to.
//!
//! An execution's name follows from its input, so a redelivered message finds its executions there. Good files are
//! started whatever the others are like; then the message fails with the names of the bad ones, and ends in the
//! dead-letter queue.

mod config;
mod error;
mod plan;

use aws_lambda_events::sns::{SnsEvent, SnsRecord};
use aws_sdk_sfn::Client;
use aws_sdk_sfn::error::DisplayErrorContext;
use aws_sdk_sfn::operation::start_execution::StartExecutionError;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use telemetry::{Metric, Step};
use tokio::task::JoinSet;
use window::Failure;
use window::payload::{ExecutionInput, Message};

pub use config::Config;
pub use error::Error;
pub use plan::{Plan, Refused, plan};

/// Executions that are being started at once; Step Functions' own limit is far above.
const AT_ONCE: usize = 16;

/// What `start` answers: nobody waits for it, but `aws lambda invoke` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Output {
    /// Executions that run now, or ran before.
    pub executions: usize,
    /// Files that the messages named.
    pub files: usize,
}

/// Starts what the event's message asks for.
///
/// # Errors
///
/// [`Error`], after everything that could be started was started.
pub async fn handle(config: &Config, step_functions: &Client, event: Value) -> Result<Output, Error> {
    let event: SnsEvent = serde_json::from_value(event)
        .map_err(|error| Error::invalid(format!("the event is none of SNS: {error}")))?;
    if event.records.is_empty() {
        return Err(Error::invalid("the event has no records"));
    }
    let mut output = Output { executions: 0, files: 0 };
    let mut first_error = None;
    // SNS sends one record per event. Were there more, a bad one would hold back no other.
    for record in event.records {
        match handle_record(config, step_functions, record).await {
            Ok(of_record) => {
                output.executions += of_record.executions;
                output.files += of_record.files;
            }
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    first_error.map_or(Ok(output), Err)
}

async fn handle_record(config: &Config, step_functions: &Client, record: SnsRecord) -> Result<Output, Error> {
    let mut step = Step::begin("start", &config.stack_name);
    step.field("message_id", record.sns.message_id.as_str());
    step.count(Metric::Messages, 1);
    let outcome = start_message(config, step_functions, record, &mut step).await;
    step.end("message handled", &outcome, Error::failure);
    outcome
}

async fn start_message(
    config: &Config,
    step_functions: &Client,
    record: SnsRecord,
    step: &mut Step,
) -> Result<Output, Error> {
    let published = record.sns.timestamp;
    let timestamp = i32::try_from(published.timestamp_subsec_nanos())
        .ok()
        .and_then(|nanoseconds| Timestamp::new(published.timestamp(), nanoseconds).ok())
        .ok_or_else(|| Error::invalid(format!("its Timestamp `{published}` cannot be computed with")))?;
    let message = Message { id: record.sns.message_id, timestamp };
    let Plan { executions, refused, files } = plan(config, &message, &record.sns.message)?;
    let output = Output { executions: executions.len(), files };
    let not_started = start_all(config, step_functions, executions).await;
    step.field("files", files);
    step.field("executions", output.executions);
    step.field("not_started", not_started.len());
    step.count(Metric::FilesRefused, refused.len() as u64);
    if !not_started.is_empty() {
        return Err(Error::ExecutionsNotStarted {
            not_started,
            executions: output.executions,
            refused,
            files,
        });
    }
    if !refused.is_empty() {
        return Err(Error::RefusedFiles { refused, files });
    }
    Ok(output)
}

/// Starts each execution; returns those that could not be, by name, with the reason.
async fn start_all(
    config: &Config,
    step_functions: &Client,
    executions: Vec<ExecutionInput>,
) -> Vec<(String, String)> {
    let mut not_started = Vec::new();
    let mut running = JoinSet::new();
    for input in executions {
        if running.len() >= AT_ONCE {
            not_started.extend(finished(running.join_next().await));
        }
        let (client, config) = (step_functions.clone(), config.clone());
        running.spawn(async move { start(&client, &config, &input).await });
    }
    while let Some(result) = running.join_next().await {
        not_started.extend(finished(Some(result)));
    }
    not_started.sort();
    not_started
}

type Started = Result<(), (String, String)>;

fn finished(result: Option<Result<Started, tokio::task::JoinError>>) -> Option<(String, String)> {
    match result? {
        Ok(started) => started.err(),
        Err(panic) => Some(("an execution".to_owned(), panic.to_string())),
    }
}

async fn start(client: &Client, config: &Config, input: &ExecutionInput) -> Started {
    let mut step = Step::begin("start", &config.stack_name);
    step.field("message_id", input.message.id.as_str());
    step.field("window", input.window.id());
    step.field("files", input.files.len());
    step.field("closes_at", input.closes_at.to_string());
    let (name, json) = input.named().map_err(|error| (input.window.id(), error.to_string()))?;
    step.field("execution", name.as_str());
    let answer = client
        .start_execution()
        .state_machine_arn(&config.state_machine_arn)
        .name(&name)
        .input(json)
        // The execution goes on with the trace that the message began.
        .set_trace_header(std::env::var("_X_AMZN_TRACE_ID").ok())
        .send()
        .await;
    let started = match answer {
        Ok(_) => Ok("execution started"),
        // The name holds the digest of the input: this very input was started before.
        Err(error)
            if error.as_service_error().is_some_and(StartExecutionError::is_execution_already_exists) =>
        {
            Ok("execution exists already")
        }
        Err(error) => Err(DisplayErrorContext(error).to_string()),
    };
    step.end(started.as_ref().map_or("", |done| done), &started, |_| Failure::ExecutionsNotStarted);
    started.map(|_| ()).map_err(|reason| (name, reason))
}
