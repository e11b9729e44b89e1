//! How are things?

use std::collections::BTreeMap;
use std::fmt::Write;

use aws_sdk_sfn::types::ExecutionStatus;
use aws_sdk_sqs::types::QueueAttributeName;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use window::{ObjectKey, OutputPrefix, Window, WindowLength};

use crate::aws::Error;
use crate::executions::{self, Execution, outcome_table};
use crate::report::{Style, table, thousands};
use crate::seen::{NotSeen, clock, time};
use crate::{Outcome, Session};

/// Executions that are counted.
const COUNTED: usize = 1000;
/// Executions that run, and are shown.
const RUNNING: usize = 20;
/// Executions that failed, and are shown.
const FAILED: usize = 10;
/// Windows that are shown.
const WINDOWS: usize = 10;
/// Pages of a listing after which it is said that this takes a while.
const MANY_PAGES: usize = 10;
/// Where no execution tells more: written so soon after its end, a window was live; else it is history, or was mended.
const LIVE: SignedDuration = SignedDuration::from_hours(1);
/// S3 tells when an object was written in whole seconds, cut off.
const PRECISION: SignedDuration = SignedDuration::from_secs(1);

/// Prints it. That things are bad is no failure of looking.
pub(crate) async fn run(session: &Session) -> Outcome {
    let answer = gathered(session).await?;
    if session.style.json {
        let json = serde_json::to_string(&answer).map_err(|error| Error::Other(error.to_string()))?;
        println!("{json}");
    } else {
        print!("{}", text(session.style, &answer));
    }
    Ok(true)
}

#[derive(Serialize)]
struct Answer {
    stack: String,
    executions: Option<Executions>,
    letters: Option<Letters>,
    windows: Option<Windows>,
    not_seen: NotSeen,
}

#[derive(Serialize)]
struct Executions {
    /// Of the newest, by status.
    counts: BTreeMap<String, usize>,
    /// How many were counted, and since when they were started.
    counted: usize,
    since: Option<Timestamp>,
    /// All that run, newest first.
    running: Vec<Execution>,
    /// The newest that failed.
    failed: Vec<Execution>,
    /// All that were counted.
    #[serde(skip)]
    newest: Vec<Execution>,
}

#[derive(Serialize)]
struct Letters {
    waiting: u64,
    in_flight: u64,
}

#[derive(Serialize)]
struct Windows {
    /// How many there are.
    count: usize,
    /// Those written last, the last first.
    latest: Vec<Latest>,
}

#[derive(Serialize)]
struct Latest {
    window: String,
    key: String,
    bytes: u64,
    written: Option<Timestamp>,
    /// Seconds from when it could have been written, at the earliest, until it was; nothing for history.
    freshness_seconds: Option<i64>,
    /// When it could have been written at the earliest.
    #[serde(skip)]
    complete: Option<Timestamp>,
}

async fn gathered(session: &Session) -> Result<Answer, Error> {
    let mut not_seen = NotSeen::default();
    let executions = executions_of(session, &mut not_seen).await;
    let letters = not_seen.seen("letters", letters(session).await);
    let mut windows = not_seen.seen("windows", windows(session).await);
    if let (Some(windows), Some(executions)) = (&mut windows, &executions) {
        not_seen.seen("windows", by_their_writers(session, &mut windows.latest, &executions.newest).await);
    }
    Ok(Answer { stack: session.stack.name.clone(), executions, letters, windows, not_seen })
}

async fn executions_of(session: &Session, not_seen: &mut NotSeen) -> Option<Executions> {
    let Session { aws, stack, .. } = session;
    let listed = async |status, limit| executions::newest(aws, stack, status, limit).await;
    let newest = not_seen.seen("executions", listed(None, COUNTED).await)?;
    let running = not_seen.seen("executions", listed(Some(ExecutionStatus::Running), COUNTED).await)?;
    let mut failed = Vec::new();
    for status in [ExecutionStatus::Failed, ExecutionStatus::TimedOut, ExecutionStatus::Aborted] {
        failed.extend(not_seen.seen("executions", listed(Some(status), FAILED).await)?);
    }
    failed.sort_by_key(|one| std::cmp::Reverse(one.started));
    failed.truncate(FAILED);
    not_seen.seen("executions", executions::describe(aws, &mut failed).await);
    let mut counts = BTreeMap::new();
    for one in &newest {
        *counts.entry(one.status.clone()).or_default() += 1;
    }
    let since = newest.last().and_then(|oldest| oldest.started);
    Some(Executions { counts, counted: newest.len(), since, running, failed, newest })
}

/// The execution that wrote an object knows what it waited for: the window's end, or, of history, its own message.
async fn by_their_writers(
    session: &Session,
    windows: &mut [Latest],
    executions: &[Execution],
) -> Result<(), Error> {
    let with_writers =
        windows.iter_mut().filter_map(|window| Some((writer(window, executions)?.clone(), window)));
    let (mut writers, windows): (Vec<Execution>, Vec<&mut Latest>) = with_writers.unzip();
    let described = executions::describe(&session.aws, &mut writers).await;
    for (writer, window) in writers.iter().zip(windows) {
        if let Some(input) = &writer.input {
            window.freshness_seconds = window.since(input.closes_at);
        }
    }
    described
}

/// The last of the window's executions that began before its object was written.
fn writer<'a>(window: &Latest, executions: &'a [Execution]) -> Option<&'a Execution> {
    let written = window.written?.checked_add(PRECISION).ok()?;
    let of_window = executions.iter().filter(|execution| execution.window() == window.window);
    let before = of_window.filter(|execution| execution.started.is_some_and(|started| started < written));
    before.max_by_key(|execution| execution.started)
}

impl Latest {
    /// Its freshness, if who wrote it waited until `closed`.
    fn since(&self, closed: Timestamp) -> Option<i64> {
        let (written, complete) = (self.written?, self.complete?);
        (closed <= complete).then(|| written.duration_since(complete).as_secs().max(0))
    }
}

async fn letters(session: &Session) -> Result<Letters, Error> {
    let Session { aws, stack, .. } = session;
    let (waiting, in_flight) = (
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
    );
    let request = aws.sqs().get_queue_attributes().queue_url(stack.output("DeadLettersUrl")?);
    let answer = request.attribute_names(waiting.clone()).attribute_names(in_flight.clone()).send().await;
    let answer = answer.map_err(|error| aws.failed("sqs:GetQueueAttributes", &error))?;
    let count = |name: &QueueAttributeName| {
        let count = answer.attributes().and_then(|all| all.get(name)?.parse().ok());
        count.ok_or_else(|| Error::Other(format!("the queue does not tell its {}", name.as_str())))
    };
    Ok(Letters { waiting: count(&waiting)?, in_flight: count(&in_flight)? })
}

async fn windows(session: &Session) -> Result<Windows, Error> {
    let Session { aws, stack, style } = session;
    let parameter = |error: String| Error::Other(format!("the stack's parameters cannot be read: {error}"));
    let prefix: OutputPrefix =
        stack.parameter("OutputPrefix").parse().map_err(|error| Error::Other(format!("{error}")))?;
    let length: WindowLength = stack.parameter("WindowMinutes").parse().map_err(parameter)?;
    let grace = SignedDuration::from_secs(stack.parameter("GraceSeconds").parse().unwrap_or_default());
    let bucket = stack.output("BucketName")?;
    let s3 = aws.s3();
    let listing = s3.list_objects_v2().bucket(bucket).prefix(format!("output/{prefix}"));
    let mut pages = listing.into_paginator().send();
    let (mut count, mut latest) = (0, Vec::new());
    let mut page_number = 0;
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| aws.failed("s3:ListBucket", &error))?;
        for entry in page.contents.unwrap_or_default() {
            let key: Option<ObjectKey> = entry.key.and_then(|key| key.parse().ok());
            let Some(key) = key.filter(|key| prefix.is_output(key)) else { continue };
            let bytes = entry.size.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default();
            let written = entry.last_modified.as_ref().and_then(time);
            latest.push(seen(&prefix, length, grace, &key, bytes, written));
            count += 1;
        }
        only_latest(&mut latest);
        page_number += 1;
        // A listing is in the order of keys, so that the last written may be anywhere in it.
        if page_number == MANY_PAGES && style.progress {
            eprintln!("There are many windows, and S3 lists them by name only: this takes a while …");
        }
    }
    Ok(Windows { count, latest })
}

fn only_latest(windows: &mut Vec<Latest>) {
    windows.sort_by(|one, other| (other.written, &other.window).cmp(&(one.written, &one.window)));
    windows.truncate(WINDOWS);
}

fn seen(
    prefix: &OutputPrefix,
    length: WindowLength,
    grace: SignedDuration,
    key: &ObjectKey,
    bytes: u64,
    written: Option<Timestamp>,
) -> Latest {
    let name = key.base_name().trim_end_matches(".parquet");
    let id = name.strip_prefix(prefix.as_str()).unwrap_or(name);
    let start = jiff::fmt::strtime::parse("%Y%m%dT%H%M%S", id.trim_end_matches('Z'));
    let start = start.and_then(|parsed| parsed.to_datetime()).ok();
    let start = start.and_then(|start| jiff::tz::Offset::UTC.to_timestamp(start).ok());
    let window = start.and_then(|start| Window::of(start, length).ok()).filter(|window| window.id() == id);
    Latest {
        window: id.to_owned(),
        key: key.to_string(),
        bytes,
        written,
        freshness_seconds: window
            .zip(written)
            .and_then(|(window, written)| freshness(&window, written, grace)),
        complete: window.and_then(|window| window.end().checked_add(grace).ok()),
    }
}

/// Seconds from when the window was complete, its grace period over, until its object was written; nothing unless that was
/// soon after.
fn freshness(window: &Window, written: Timestamp, grace: SignedDuration) -> Option<i64> {
    let after_end = written.duration_since(window.end());
    let is_live = after_end >= SignedDuration::ZERO && after_end <= LIVE;
    is_live.then(|| (after_end - grace).as_secs().max(0))
}

fn text(style: Style, answer: &Answer) -> String {
    let mut text = String::new();
    if let Some(executions) = &answer.executions {
        let counts: Vec<String> = executions
            .counts
            .iter()
            .map(|(status, count)| format!("{} {status}", thousands(*count as u64)))
            .collect();
        let counts = if counts.is_empty() { "none yet".to_owned() } else { counts.join(", ") };
        let since = if executions.counted == COUNTED {
            format!(" (the newest {}, since {})", thousands(COUNTED as u64), clock(executions.since))
        } else {
            String::new()
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{} {counts}{since}", style.bold("executions  "));
    }
    text.push_str(&answer.not_seen.lines(style, "executions"));
    if let Some(letters) = &answer.letters {
        let waiting = match letters.waiting {
            0 => style.green("none waiting"),
            waiting => style.red(&format!("{} waiting", thousands(waiting))),
        };
        let in_flight = match letters.in_flight {
            0 => String::new(),
            in_flight => format!(", {} in somebody's hands", thousands(in_flight)),
        };
        let _ = writeln!(text, "{} {waiting}{in_flight}", style.bold("dead letters"));
    }
    text.push_str(&answer.not_seen.lines(style, "letters"));
    if let Some(windows) = &answer.windows {
        let _ = writeln!(text, "{} {}", style.bold("windows     "), thousands(windows.count as u64));
    }
    text.push_str(&answer.not_seen.lines(style, "windows"));
    if let Some(executions) = &answer.executions {
        execution_tables(&mut text, style, executions);
    }
    if let Some(windows) = answer.windows.as_ref().filter(|windows| windows.count > 0) {
        let _ = writeln!(text, "\n{}", style.bold("latest windows"));
        let rows: Vec<Vec<String>> = windows.latest.iter().map(row).collect();
        text.push_str(&table(style, &["window", "bytes", "written", "freshness"], &rows));
    }
    hints(&mut text, answer);
    text
}

fn execution_tables(text: &mut String, style: Style, executions: &Executions) {
    let window = |execution: &Execution| execution.window().to_owned();
    if !executions.running.is_empty() {
        let _ = writeln!(text, "\n{}", style.bold("running"));
        let shown = executions.running.get(..RUNNING).unwrap_or(&executions.running);
        text.push_str(&outcome_table(style, shown, &[("window", &window)]));
        let more = executions.running.len() - shown.len();
        if more > 0 {
            let _ = writeln!(text, "and {} more", thousands(more as u64));
        }
    }
    if !executions.failed.is_empty() {
        let _ = writeln!(text, "\n{}", style.bold("failed, newest first"));
        text.push_str(&outcome_table(style, &executions.failed, &[("window", &window)]));
    }
}

fn row(window: &Latest) -> Vec<String> {
    let freshness = window
        .freshness_seconds
        .map_or_else(|| "history".to_owned(), |seconds| format!("{} s", thousands(seconds.unsigned_abs())));
    vec![window.window.clone(), thousands(window.bytes), clock(window.written), freshness]
}

fn hints(text: &mut String, answer: &Answer) {
    let mut hints = Vec::new();
    let failed = answer.executions.as_ref().and_then(|executions| executions.failed.first());
    let latest = answer.windows.as_ref().and_then(|windows| windows.latest.first());
    let window = failed.map(Execution::window).or(latest.map(|window| window.window.as_str()));
    if let Some(window) = window {
        hints.push(format!("`just explain {window}` says more of a window"));
    }
    if answer.letters.as_ref().is_some_and(|letters| letters.waiting > 0) {
        hints.push("`just redrive` mends what has a letter".to_owned());
    }
    if !hints.is_empty() {
        let _ = writeln!(text, "\n{}", hints.join("; "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(key: &str, at: &str) -> Latest {
        let (prefix, length) = ("ms-".parse().unwrap(), "5".parse().unwrap());
        let grace = SignedDuration::from_secs(60);
        seen(&prefix, length, grace, &key.parse().unwrap(), 1, Some(at.parse().unwrap()))
    }

    #[test]
    fn a_live_window_has_a_freshness_and_history_has_none() {
        for (at, expected) in [
            ("2021-01-01T18:06:03Z", Some(3)),
            ("2021-01-01T18:05:30Z", Some(0)),
            ("2021-01-01T19:05:00Z", Some(3540)),
            ("2021-01-01T19:05:01Z", None),
            ("2021-01-01T18:04:59Z", None),
            ("2026-11-22T10:00:00Z", None),
        ] {
            let window = written("output/ms-20210101T180000Z.parquet", at);
            assert_eq!(window.freshness_seconds, expected, "{at}");
            assert_eq!(window.window, "20210101T180000Z");
        }
        // Somebody's own object, or one of another length of windows.
        for key in ["output/ms-copy.parquet", "output/ms-20210101T180100Z.parquet"] {
            assert_eq!(written(key, "2021-01-01T18:06:03Z").freshness_seconds, None, "{key}");
        }
    }

    #[test]
    fn who_wrote_it_knows_whether_it_was_live() {
        // Two days late, by a redrive; and soon after its end, by the replay of what was there already.
        for (at, closed, expected) in [
            ("2021-01-03T18:06:00Z", "2021-01-01T18:06:00Z", Some(2 * 86_400)),
            ("2021-01-01T18:06:00Z", "2021-01-01T18:06:00Z", Some(0)),
            ("2021-01-01T18:20:00Z", "2021-01-01T18:19:30Z", None),
        ] {
            let window = written("output/ms-20210101T180000Z.parquet", at);
            assert_eq!(window.since(closed.parse().unwrap()), expected, "{at}");
        }
    }

    #[test]
    fn the_writer_is_the_last_that_began_before_the_object_was_written() {
        let execution = |name: &str, started: &str| Execution {
            name: name.to_owned(),
            arn: String::new(),
            status: "SUCCEEDED".to_owned(),
            started: Some(started.parse().unwrap()),
            ended: None,
            error: None,
            cause: None,
            message_id: None,
            files: None,
            input: None,
        };
        let executions = [
            execution("20210101T180000Z-later", "2021-01-01T18:06:04Z"),
            execution("20210101T180000Z-it", "2021-01-01T18:06:03.9Z"),
            execution("20210101T180500Z-other", "2021-01-01T18:06:03Z"),
            execution("20210101T180000Z-former", "2021-01-01T18:06:01Z"),
        ];
        let window = written("output/ms-20210101T180000Z.parquet", "2021-01-01T18:06:03Z");
        assert_eq!(writer(&window, &executions).unwrap().name, "20210101T180000Z-it");
        assert!(writer(&window, &executions[..1]).is_none());
    }

    #[test]
    fn the_last_written_come_first_whatever_they_are_called() {
        let mut windows: Vec<Latest> = (0..15)
            .map(|n| {
                written(
                    &format!("output/ms-20210101T18{n:02}00Z.parquet"),
                    &format!("2026-01-01T00:{:02}:00Z", n * 7 % 15),
                )
            })
            .collect();
        only_latest(&mut windows);
        let minutes: Vec<String> =
            windows.iter().map(|window| clock(window.written)[14..16].to_owned()).collect();
        assert_eq!(minutes, ["14", "13", "12", "11", "10", "09", "08", "07", "06", "05"]);
    }
}
