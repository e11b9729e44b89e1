//! Replays what failed.
//!
//! A letter is replayed by its kind, and deleted once that was accepted. An execution is redriven where AWS can; else its
//! files are announced again. Either may happen twice without harm.

mod executions;
mod letters;

use std::fmt::Write;

use serde::Serialize;
use serde_json::json;

use crate::aws::Error;
use crate::events::Caller;
use crate::progress::{Interrupt, Progress};
use crate::report::Style;
use crate::{Outcome, Session};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only tell what would be replayed
    #[arg(long)]
    dry_run: bool,
}

/// What became of a letter or an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Fate {
    /// It would be replayed, or redriven.
    Planned,
    /// A letter, or the files of an execution, as a new event.
    Replayed,
    /// An execution, by Step Functions.
    Redriven,
    /// It stays as it was.
    FailedAgain,
    /// A letter that nobody knows how to replay; it stays.
    Left,
}

/// One line.
#[derive(Debug, Serialize)]
struct Line {
    /// The letter's id, or the execution's name.
    id: String,
    /// What it is about.
    about: String,
    fate: Fate,
    /// Why it failed again, or was left.
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
}

/// What all steps share.
struct Redrive<'a> {
    session: &'a Session,
    caller: Caller<'a>,
    progress: Progress,
    interrupt: Interrupt,
    dry_run: bool,
}

/// What became of everything, so far.
#[derive(Debug, Default)]
struct Report {
    letters: Vec<Line>,
    executions: Vec<Line>,
}

pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Outcome {
    let redrive = Redrive {
        session,
        caller: Caller::new(session),
        progress: Progress::new(session.style),
        interrupt: Interrupt::listen()?,
        dry_run: arguments.dry_run,
    };
    let mut report = Report::default();
    let outcome = everything(&redrive, &mut report).await;
    redrive.progress.clear();
    // What was done is told, whatever came between.
    let interrupted = redrive.interrupt.asked();
    print!("{}", text(session, &report, arguments.dry_run, interrupted));
    outcome?;
    if interrupted {
        eprintln!("Interrupted. What is left is as it was: `{}` goes on.", command(&session.stack.name));
    }
    Ok(!interrupted && report.lines().all(|line| line.fate != Fate::FailedAgain))
}

async fn everything(redrive: &Redrive<'_>, report: &mut Report) -> Result<(), Error> {
    letters::replay(redrive, &mut report.letters).await?;
    executions::redrive(redrive, &mut report.executions).await
}

impl Redrive<'_> {
    /// Notes what became of one, for people at once.
    fn note(&self, lines: &mut Vec<Line>, line: Line) {
        let style = self.session.style;
        if !style.json {
            self.progress.clear();
            println!("{}", told(style, &line));
        }
        lines.push(line);
    }
}

impl Report {
    fn lines(&self) -> impl Iterator<Item = &Line> {
        self.letters.iter().chain(&self.executions)
    }
}

/// The recipe, for that stack.
fn command(stack: &str) -> String {
    format!("{} redrive", crate::report::just(stack))
}

fn told(style: Style, line: &Line) -> String {
    let fate = match line.fate {
        Fate::Planned => style.bold("would replay"),
        Fate::Replayed => style.green("replayed    "),
        Fate::Redriven => style.green("redriven    "),
        Fate::FailedAgain => style.red("FAILED AGAIN"),
        Fate::Left => style.yellow("left        "),
    };
    let mut text = format!("{fate}  {}", line.about);
    for reason in line.reason.lines() {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n              {reason}");
    }
    text
}

fn text(session: &Session, report: &Report, dry_run: bool, interrupted: bool) -> String {
    let count = |lines: &[Line], fate| lines.iter().filter(|line| line.fate == fate).count();
    let counted = |lines: &[Line]| {
        json!({
            "seen": lines.len(),
            "planned": count(lines, Fate::Planned),
            "replayed": count(lines, Fate::Replayed),
            "redriven": count(lines, Fate::Redriven),
            "failed_again": count(lines, Fate::FailedAgain),
            "left": count(lines, Fate::Left),
        })
    };
    let Report { letters, executions } = report;
    if session.style.json {
        let (stack, counts) =
            (&session.stack.name, json!({"letters": counted(letters), "executions": counted(executions)}));
        let all = json!({
            "stack": stack, "dry_run": dry_run, "interrupted": interrupted, "counts": counts,
            "letters": letters, "executions": executions,
        });
        return format!("{all}\n");
    }
    let gap = if letters.is_empty() && executions.is_empty() { "" } else { "\n" };
    format!("{gap}{}\n{}\n", summary("dead letter", letters), summary("failed execution", executions))
}

/// `2 dead letters: 1 replayed, 1 FAILED AGAIN`
fn summary(what: &str, lines: &[Line]) -> String {
    let words = [
        (Fate::Planned, "would be replayed"),
        (Fate::Replayed, "replayed"),
        (Fate::Redriven, "redriven"),
        (Fate::FailedAgain, "FAILED AGAIN"),
        (Fate::Left, "left, of no kind that can be replayed"),
    ];
    let parts: Vec<String> = words
        .iter()
        .map(|(fate, word)| (lines.iter().filter(|line| line.fate == *fate).count(), word))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    let plural = if lines.len() == 1 { "" } else { "s" };
    let colon = if parts.is_empty() { "" } else { ": " };
    format!("{} {what}{plural}{colon}{}", lines.len(), parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_all_is_counted() {
        let line = |fate| Line { id: String::new(), about: String::new(), fate, reason: String::new() };
        let lines = [line(Fate::Replayed), line(Fate::FailedAgain), line(Fate::Replayed)];
        assert_eq!(summary("dead letter", &lines), "3 dead letters: 2 replayed, 1 FAILED AGAIN");
        assert_eq!(summary("dead letter", &[]), "0 dead letters");
    }
}
