//! Announces files of the publisher's bucket again, and hands the results of their windows to `deliver` again.
//!
//! What is there already stays: equal fragments, equal results and equal copies are not written anew. So a replay mends
//! whatever was lost, and may be repeated.

mod plan;
mod source;

use std::fmt::Write;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use jiff::tz::Offset;
use serde::Serialize;
use serde_json::{Value, json};
use window::{Failure, OutputPrefix, SourcePrefix, WindowLength, file_time};

use crate::aws::Error;
use crate::events::{Caller, Function, notification, now};
use crate::progress::{Interrupt, Progress};
use crate::report::{just, quoted, thousands};
use crate::{Outcome, Session};
use plan::{Batch, Found, Range};

/// Results that are handed to `deliver` at once.
const AT_ONCE: usize = 8;
/// After so many results that were not delivered, one after the other, no other will be: the publisher's bucket is closed.
const UNDELIVERED: usize = 10;
/// Pauses, in seconds, before a message is tried again that AWS or `start` did not take.
const PAUSES: [u64; 3] = [1, 3, 9];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// From this time of the files' names on: a date, or a time as in a file's name
    #[arg(required_unless_present = "prefix", requires = "to")]
    from: Option<String>,
    /// Up to this time, without it
    to: Option<String>,
    /// Only files whose names below `input/` begin so
    #[arg(long)]
    prefix: Option<String>,
    /// Messages a second. One has up to 200 files, and so starts up to 200 executions: half a message a second stays
    /// below what every Region allows (150 starts a second), and leaves most of 1,000 concurrent functions to live data
    #[arg(long, default_value = "0.5", value_parser = rate)]
    per_second: f64,
    /// Only count
    #[arg(long)]
    dry_run: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    let good = |rate: &f64| (0.001..=1000.0).contains(rate);
    text.parse().ok().filter(good).ok_or_else(|| "expected a number from 0.001 to 1000".to_owned())
}

/// What the stack's parameters say.
struct Settings {
    bucket: String,
    prefix: SourcePrefix,
    offset: Offset,
    length: WindowLength,
    output: OutputPrefix,
}

impl Settings {
    fn of(session: &Session) -> Result<Self, Error> {
        let parameter = |name| session.stack.parameter(name);
        let wrong =
            |name: &str, error: String| Error::Other(format!("the stack's parameter `{name}`: {error}"));
        Ok(Self {
            bucket: parameter("SourceBucket").to_owned(),
            prefix: parameter("SourcePrefix")
                .parse()
                .map_err(|error: window::name::NameError| wrong("SourcePrefix", error.to_string()))?,
            offset: file_time::parse_offset(parameter("DefaultOffset"))
                .map_err(|error| wrong("DefaultOffset", error.to_string()))?,
            length: parameter("WindowMinutes").parse().map_err(|error| wrong("WindowMinutes", error))?,
            output: parameter("OutputPrefix")
                .parse()
                .map_err(|error: window::name::NameError| wrong("OutputPrefix", error.to_string()))?,
        })
    }
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
struct Counts {
    messages: usize,
    files: usize,
    /// Results that were handed to `deliver`.
    results: usize,
    /// Of those, how many had to be copied.
    delivered: u64,
    failed: Vec<String>,
    /// Results that were not delivered since the last one that was.
    #[serde(skip)]
    undelivered: usize,
}

struct Replay<'a> {
    session: &'a Session,
    settings: &'a Settings,
    caller: Caller<'a>,
    progress: Progress,
    interrupt: Interrupt,
    pause: Duration,
}

pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Outcome {
    let settings = Settings::of(session)?;
    let range = Range::read(arguments.from.as_deref(), arguments.to.as_deref(), settings.offset)?;
    let replay = Replay {
        session,
        settings: &settings,
        caller: Caller::new(session),
        progress: Progress::new(session.style),
        interrupt: Interrupt::listen()?,
        pause: Duration::from_secs_f64(1.0 / arguments.per_second),
    };
    let mut found = Found::new(range, settings.offset, settings.length, settings.prefix.clone());
    source::list(&replay, arguments.prefix.as_deref().unwrap_or_default(), &mut found).await?;
    // With a prefix the files say which windows; without one, a window whose files are gone counts too.
    source::results(&replay, arguments.prefix.is_some(), &mut found).await?;
    replay.progress.clear();
    let batches = found.batches();
    let total = Counts {
        messages: batches.iter().filter(|batch| !batch.files.is_empty()).count(),
        files: batches.iter().map(|batch| batch.files.len()).sum(),
        results: batches.iter().map(|batch| batch.results.len()).sum(),
        ..Counts::default()
    };
    let mut done = Counts::default();
    let mut resume = None;
    let mut outcome = Ok(());
    if !arguments.dry_run {
        for batch in &batches {
            if done.messages > 0 && !batch.files.is_empty() {
                replay.interrupt.pause(replay.pause).await;
            }
            outcome = if replay.interrupt.asked() {
                Err(Error::Other("interrupted".to_owned()))
            } else {
                replay.batch(batch, &total, &mut done).await
            };
            if outcome.is_err() {
                resume = Some(resuming(session, arguments, range.going_on_at(batch.start), range.to, &found));
                break;
            }
        }
    }
    replay.progress.clear();
    let counts = if arguments.dry_run { &total } else { &done };
    print!("{}", text(session, arguments, &found, counts, resume.as_deref()));
    if let Err(error) = &outcome {
        eprintln!("{error}");
    }
    if let Some(command) = &resume {
        eprintln!("To go on: {command}");
    }
    Ok(outcome.is_ok() && done.failed.is_empty())
}

impl Replay<'_> {
    /// Announces the files of a batch, and hands over its results. An error would happen to the next one, too.
    async fn batch(&self, batch: &Batch, total: &Counts, done: &mut Counts) -> Result<(), Error> {
        if !batch.files.is_empty() {
            self.announce(batch, done).await?;
            done.messages += 1;
            done.files += batch.files.len();
        }
        self.deliver(batch, done).await?;
        self.progress.say(&format!(
            "{} of {} files announced, {} of {} results handed to deliver, up to {}",
            thousands(done.files as u64),
            thousands(total.files as u64),
            thousands(done.results as u64),
            thousands(total.results as u64),
            batch.start
        ));
        Ok(())
    }

    async fn announce(&self, batch: &Batch, done: &mut Counts) -> Result<(), Error> {
        let keys = batch.files.iter().map(window::ObjectKey::as_str);
        let event = self.caller.announcement(&self.settings.bucket, keys);
        let mut pauses = PAUSES.into_iter();
        loop {
            match self.caller.call(Function::Start, &event).await? {
                Ok(_) => return Ok(()),
                // All others of them were started, and a second time these would be refused as well.
                Err(failed) if failed.name == Failure::RefusedFiles.name() => {
                    done.failed.push(failed.to_string());
                    return Ok(());
                }
                Err(failed) => match pauses.next().filter(|_| failed.may_pass()) {
                    Some(seconds) if !self.interrupt.asked() => {
                        self.interrupt.pause(Duration::from_secs(seconds)).await;
                    }
                    _ => return Err(Error::Other(format!("start: {failed}"))),
                },
            }
        }
    }

    async fn deliver(&self, batch: &Batch, done: &mut Counts) -> Result<(), Error> {
        let bucket = self.session.stack.output("BucketName")?;
        let mut answers = stream::iter(&batch.results)
            .map(async |key| {
                let event = notification(&self.session.aws.region, bucket, key.as_str(), now());
                (key, self.caller.call(Function::Deliver, &event).await)
            })
            .buffered(AT_ONCE);
        while let Some((key, answer)) = answers.next().await {
            match answer? {
                Ok(output) => {
                    done.delivered += output.get("delivered").and_then(Value::as_u64).unwrap_or(0);
                    done.undelivered = 0;
                }
                Err(failed) => {
                    done.failed.push(format!("{key}: {failed}"));
                    done.undelivered += 1;
                }
            }
            if done.undelivered == UNDELIVERED {
                return Err(Error::Other(format!(
                    "{UNDELIVERED} results one after the other could not be delivered: `just check` says what is in the way"
                )));
            }
            done.results += 1;
        }
        Ok(())
    }
}

/// The command that goes on with the window that starts at `from`.
fn resuming(
    session: &Session,
    arguments: &Arguments,
    from: Timestamp,
    to: Option<Timestamp>,
    found: &Found,
) -> String {
    let to = to.or_else(|| found.end()).unwrap_or(from);
    let mut command = format!("{} replay {from} {to}", just(&session.stack.name));
    // Writing to a String cannot fail.
    if let Some(prefix) = &arguments.prefix {
        let _ = write!(command, " --prefix {}", quoted(prefix));
    }
    let _ = write!(command, " --per-second {}", arguments.per_second);
    command
}

fn text(
    session: &Session,
    arguments: &Arguments,
    found: &Found,
    counts: &Counts,
    resume: Option<&str>,
) -> String {
    let range = &found.range;
    if session.style.json {
        let all = json!({
            "stack": session.stack.name, "dry_run": arguments.dry_run, "from": range.from, "to": range.to,
            "windows": found.windows(), "counts": counts, "resume": resume,
            "no_times": {"count": found.no_times.count, "first": found.no_times.first},
        });
        return format!("{all}\n");
    }
    let number = |count: usize| thousands(count as u64);
    let (announced, handed) =
        if arguments.dry_run { ("would be announced", "would be handed") } else { ("announced", "handed") };
    let mut text = format!(
        "{} files of {} windows: {} {announced} in {} messages\n{} results {handed} to deliver",
        number(found.files()),
        number(found.windows()),
        number(counts.files),
        number(counts.messages),
        number(counts.results),
    );
    if !arguments.dry_run {
        let _ = write!(text, ", of which {} had to be copied", thousands(counts.delivered));
    }
    text.push('\n');
    if found.no_times.count > 0 {
        let more = if found.no_times.count > found.no_times.first.len() { ", …" } else { "" };
        let (count, first) = (number(found.no_times.count), found.no_times.first.join(", "));
        let _ = writeln!(text, "{count} names are no time, and stay where they are: {first}{more}");
    }
    for failed in &counts.failed {
        let _ = writeln!(text, "{}  {failed}", session.style.red("FAILED AGAIN"));
    }
    text
}
