//! `windrow`: the operators' command. It speaks the same names as the functions, because it is made of the same crates.

mod aws;
mod check;
mod events;
mod executions;
mod explain;
mod inspect;
mod place;
mod progress;
mod redrive;
mod replay;
mod report;
mod seen;
mod status;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use aws::{Aws, Error, Stack};
use report::Style;

/// Checks, explains and mends a stack of Windrow, with your own AWS credentials.
#[derive(Parser)]
#[command(name = "windrow")]
struct Command {
    /// The stack
    #[arg(long, global = true, env = "WINDROW_STACK", default_value = "windrow")]
    stack: String,
    /// JSON instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// In which window does a file belong?
    Place(place::Arguments),
    /// What is a result made of?
    Inspect(inspect::Arguments),
    /// Does everything work that Windrow needs, on our side and the publisher's?
    Check,
    /// What is a window made of, and what became of it?
    Explain(explain::Arguments),
    /// How are things: executions, dead letters, the latest windows
    Status,
    /// Replays what failed: dead letters, and executions that did not come to their end
    Redrive(redrive::Arguments),
    /// Announces files of the publisher's bucket again, and delivers again what is lost there
    Replay(replay::Arguments),
}

/// A stack, who asks about it, and how to answer.
struct Session {
    aws: Aws,
    stack: Stack,
    style: Style,
}

/// Whether all was well; a command that finds faults has printed them.
type Outcome = Result<bool, Error>;

fn main() -> ExitCode {
    let command = Command::parse();
    let outcome = match &command.task {
        Task::Place(arguments) => said(place::answer(arguments)),
        Task::Inspect(arguments) => said(inspect::answer(arguments)),
        Task::Check => in_session(&command, check::run),
        Task::Explain(arguments) => {
            in_session(&command, async |session| explain::run(session, arguments).await)
        }
        Task::Status => in_session(&command, status::run),
        Task::Redrive(arguments) => {
            in_session(&command, async |session| redrive::run(session, arguments).await)
        }
        Task::Replay(arguments) => {
            in_session(&command, async |session| replay::run(session, arguments).await)
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn said(answer: Result<String, String>) -> Outcome {
    let text = answer.map_err(|text| Error::Other(text.trim_end().to_owned()))?;
    print!("{text}");
    Ok(true)
}

fn in_session(command: &Command, task: impl AsyncFnOnce(&Session) -> Outcome) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::Other(format!("starting: {error}")))?;
    runtime.block_on(async {
        let aws = Aws::connect().await?;
        let stack = aws.stack(&command.stack).await?;
        task(&Session { aws, stack, style: Style::fitting(command.json) }).await
    })
}
