//! Failed executions.
//!
//! One that failed on its way keeps what it has done, and is redriven by Step Functions. One that came to its end without
//! some of its files (a Fail state) would fail there again: its letters mend it. Where neither helps, its files are
//! announced again.

use std::collections::{HashMap, HashSet};

use aws_sdk_sfn::error::ProvideErrorMetadata;
use aws_sdk_sfn::types::{ExecutionListItem, ExecutionStatus};
use window::payload::ExecutionInput;
use window::{Failure, ObjectKey};

use super::{Fate, Line, Redrive};
use crate::aws::Error;
use crate::events::{Failed, now};

/// As long as Step Functions remembers. It redrives for 14 days only; files can be announced again for longer.
const SECONDS_BACK: i64 = 90 * 24 * 60 * 60;
/// Executions that are listed at once, at the most.
const PAGE: i32 = 1000;
/// How an execution failed that came to its end.
const AT_ITS_END: [&str; 2] = ["SomeFilesRejected", "EveryFileRejected"];
/// What the cause of such a failure says where not every file has its letter.
const LETTER_NOT_SENT: &str = "whose letter could not be sent";
/// What Step Functions says where it might redrive later.
const BUSY: [&str; 3] = ["ExecutionLimitExceeded", "ThrottlingException", "ServiceUnavailable"];

/// One execution as it is listed.
#[derive(Debug)]
struct Execution {
    arn: String,
    name: String,
    started: i64,
}

/// Redrives each failed execution whose files no later one has.
pub(super) async fn redrive(redrive: &Redrive<'_>, lines: &mut Vec<Line>) -> Result<(), Error> {
    let since = now().as_second() - SECONDS_BACK;
    let mut failed = Vec::new();
    // None that somebody stopped: that was meant, and `just replay` is there for who thinks better of it.
    for status in [ExecutionStatus::Failed, ExecutionStatus::TimedOut] {
        failed.extend(listed(redrive, status, since).await?);
    }
    let (mut to_mend, mut ended) = (Vec::new(), Vec::new());
    for execution in failed {
        if redrive.interrupt.asked() {
            return Ok(());
        }
        let described = described(redrive, &execution.arn).await?;
        match described.remedy() {
            Remedy::Letters => ended.push((execution, described)),
            Remedy::Redrive | Remedy::Announce => to_mend.push((execution, described)),
        }
        redrive.progress.say(&format!("failed executions that are to be mended: {}", to_mend.len()));
    }
    // The newest first: once it runs, it stands for older ones with the same files.
    to_mend.sort_by_key(|(execution, _)| std::cmp::Reverse(execution.started));
    let mut later = Later::of(redrive, &to_mend).await?;
    // Each of their files is in the object, or has a letter by now: no need to announce it from here.
    for (execution, described) in &ended {
        later.add(execution, described.files());
    }
    for (execution, described) in to_mend {
        if redrive.interrupt.asked() {
            return Ok(());
        }
        if later.have(&execution, &described) {
            continue;
        }
        let line = mend(redrive, &execution, &described).await?;
        if line.fate != Fate::FailedAgain {
            later.add(&execution, described.files());
        }
        redrive.note(lines, line);
    }
    Ok(())
}

async fn mend(redrive: &Redrive<'_>, execution: &Execution, described: &Described) -> Result<Line, Error> {
    let line = |fate, reason: String| Line {
        id: execution.name.clone(),
        about: format!("execution {}, {}", execution.name, described.error),
        fate,
        reason,
    };
    if redrive.dry_run {
        return Ok(line(Fate::Planned, String::new()));
    }
    let mut refused = String::new();
    if described.remedy() == Remedy::Redrive {
        match redriven(redrive, &execution.arn).await? {
            Redriven::Runs => return Ok(line(Fate::Redriven, String::new())),
            Redriven::NotNow(why) => return Ok(line(Fate::FailedAgain, why)),
            // Too old, or by this cloud not at all. Its files are as good.
            Redriven::Never(why) => refused = format!("{why}; and its files: "),
        }
    }
    let Some(input) = &described.input else {
        return Ok(line(Fate::FailedAgain, format!("{refused}its input is none of Windrow's")));
    };
    let keys = input.files.iter().map(|file| file.key.as_str());
    Ok(match redrive.caller.announce(input.source.bucket.as_str(), keys).await? {
        Ok(_) => line(Fate::Replayed, String::new()),
        Err(failed @ Failed { .. }) => line(Fate::FailedAgain, format!("{refused}{failed}")),
    })
}

/// What Step Functions says to redriving.
enum Redriven {
    Runs,
    NotNow(String),
    Never(String),
}

async fn redriven(redrive: &Redrive<'_>, arn: &str) -> Result<Redriven, Error> {
    let aws = &redrive.session.aws;
    let Err(error) = aws.step_functions().redrive_execution().execution_arn(arn).send().await else {
        return Ok(Redriven::Runs);
    };
    let busy = error.code().is_some_and(|code| BUSY.contains(&code)) || error.as_service_error().is_none();
    match aws.failed("states:RedriveExecution", &error) {
        refused @ Error::Aws { .. } if busy => Ok(Redriven::NotNow(refused.to_string())),
        refused @ Error::Aws { .. } => Ok(Redriven::Never(refused.to_string())),
        error => Err(error),
    }
}

/// What is asked of one execution.
struct Described {
    error: String,
    cause: String,
    input: Option<ExecutionInput>,
}

/// What mends a failed execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remedy {
    /// The letters of the files that it came to its end without.
    Letters,
    /// Step Functions goes on where it failed.
    Redrive,
    /// Its files, as a new message.
    Announce,
}

impl Described {
    fn remedy(&self) -> Remedy {
        let has_ended = AT_ITS_END.contains(&self.error.as_str());
        if has_ended && !self.cause.contains(LETTER_NOT_SENT) {
            Remedy::Letters
        } else if has_ended || self.error == Failure::FragmentMissing.name() {
            // Of what has no letter, and of what was staged and is gone, nothing is left but the publisher's file.
            // Merging again would miss it again.
            Remedy::Announce
        } else {
            Remedy::Redrive
        }
    }

    fn files(&self) -> HashSet<ObjectKey> {
        self.input.iter().flat_map(|input| &input.files).map(|file| file.key.clone()).collect()
    }
}

async fn described(redrive: &Redrive<'_>, arn: &str) -> Result<Described, Error> {
    let aws = &redrive.session.aws;
    let answer = aws.step_functions().describe_execution().execution_arn(arn).send().await;
    let answer = answer.map_err(|error| aws.failed("states:DescribeExecution", &error))?;
    Ok(Described {
        error: answer.error.unwrap_or_else(|| answer.status.as_str().to_owned()),
        cause: answer.cause.unwrap_or_default(),
        input: answer.input.and_then(|input| serde_json::from_str(&input).ok()),
    })
}

/// Executions of that status that started at `since` or later. Step Functions lists the newest first.
async fn listed(redrive: &Redrive<'_>, status: ExecutionStatus, since: i64) -> Result<Vec<Execution>, Error> {
    let aws = &redrive.session.aws;
    let machine = redrive.session.stack.output("StateMachineArn")?;
    let listing = aws.step_functions().list_executions().state_machine_arn(machine).status_filter(status);
    let mut pages = listing.max_results(PAGE).into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| aws.failed("states:ListExecutions", &error))?;
        let before = found.len();
        let listed = page.executions.len();
        found.extend(page.executions.into_iter().map(execution).filter(|one| one.started >= since));
        if found.len() - before < listed {
            break;
        }
    }
    Ok(found)
}

fn execution(item: ExecutionListItem) -> Execution {
    Execution { arn: item.execution_arn, name: item.name, started: item.start_date.secs() }
}

/// The files that later executions of a window have, which run or came to their end.
#[derive(Debug, Default)]
struct Later(HashMap<String, Vec<(i64, HashSet<ObjectKey>)>>);

impl Later {
    /// Asks for what began after the first of these executions, and for their windows only.
    async fn of(redrive: &Redrive<'_>, failed: &[(Execution, Described)]) -> Result<Self, Error> {
        let mut later = Self::default();
        let Some(first) = failed.iter().map(|(execution, _)| execution.started).min() else {
            return Ok(later);
        };
        let windows: HashSet<&str> = failed.iter().map(|(execution, _)| window_of(&execution.name)).collect();
        for status in [ExecutionStatus::Running, ExecutionStatus::Succeeded] {
            for execution in listed(redrive, status, first).await? {
                if windows.contains(window_of(&execution.name)) {
                    let described = described(redrive, &execution.arn).await?;
                    later.add(&execution, described.files());
                }
            }
        }
        Ok(later)
    }

    fn add(&mut self, execution: &Execution, files: HashSet<ObjectKey>) {
        self.0.entry(window_of(&execution.name).to_owned()).or_default().push((execution.started, files));
    }

    /// Whether each file of `failed` is in one that began later, or in the same second.
    fn have(&self, failed: &Execution, described: &Described) -> bool {
        let files = described.files();
        let later = self.0.get(window_of(&failed.name)).map_or(&[][..], Vec::as_slice);
        let mut candidates = later.iter().filter(|(started, _)| *started >= failed.started);
        !files.is_empty() && candidates.any(|(_, theirs)| files.is_subset(theirs))
    }
}

/// The window's id, with which the name begins.
fn window_of(name: &str) -> &str {
    name.split('-').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn execution(name: &str, started: i64) -> Execution {
        Execution { arn: String::new(), name: name.to_owned(), started }
    }

    fn described(keys: &[&str]) -> Described {
        let files: Vec<_> =
            keys.iter().map(|key| serde_json::json!({"key": key, "time": "2021-01-01T18:01:31Z"})).collect();
        let input = serde_json::json!({
            "closes_at": "2021-01-01T18:06:00Z", "files": files,
            "message": {"id": "m", "timestamp": "2021-01-01T18:02:00Z"}, "source": {"bucket": "bucket"},
            "window": {
                "id": "20210101T180000Z", "start": "2021-01-01T18:00:00Z", "end": "2021-01-01T18:05:00Z", "minutes": 5,
            },
        });
        let input = Some(serde_json::from_value(input).unwrap());
        Described { error: String::new(), cause: String::new(), input }
    }

    #[test]
    fn a_failed_execution_is_mended_as_it_failed() {
        let lacking = "2 of 3 files could not be staged: a.csv (NotCsv), b.csv (NotCsv). Each has a letter with the reason \
                       in the dead-letter queue, except 1 whose letter could not be sent either (named first).";
        let (complete, _) = lacking.split_once(", except").unwrap();
        for (error, cause, remedy) in [
            ("SomeFilesRejected", complete, Remedy::Letters),
            ("EveryFileRejected", complete, Remedy::Letters),
            ("SomeFilesRejected", lacking, Remedy::Announce),
            ("EveryFileRejected", lacking, Remedy::Announce),
            ("FragmentMissing", "", Remedy::Announce),
            ("WindowChanged", "", Remedy::Redrive),
            ("TIMED_OUT", "", Remedy::Redrive),
        ] {
            let described = Described { error: error.to_owned(), cause: cause.to_owned(), input: None };
            assert_eq!(described.remedy(), remedy, "{error}: {cause}");
        }
    }

    #[test]
    fn the_state_machine_says_it_in_those_words() {
        let machine = include_str!("../../../statemachine/window.asl.json");
        assert_eq!(machine.matches(LETTER_NOT_SENT).count(), AT_ITS_END.len());
        for error in AT_ITS_END {
            assert!(machine.contains(&format!(r#""Error": "{error}""#)), "{error}");
        }
    }

    #[test]
    fn what_a_later_execution_has_is_not_redriven() {
        let mut later = Later::default();
        later.add(&execution("w1-a", 20), described(&["a", "b"]).files());
        let have = |name, started, keys| later.have(&execution(name, started), &described(keys));
        assert!(have("w1-b", 10, &["a", "b"]) && have("w1-b", 20, &["a"]));
        assert!(!have("w1-b", 30, &["a"]), "it is earlier");
        assert!(!have("w1-b", 10, &["a", "c"]), "it lacks one");
        assert!(!have("w2-b", 10, &["a"]), "it is of another window");
        assert!(!have("w1-b", 10, &[]), "nobody knows what it was about");
    }
}
