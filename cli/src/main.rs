//! `windrow`: the operators' command. It speaks the same names as the functions, because it is made of the same crates.

mod inspect;
mod place;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Answers questions about windows and results.
#[derive(Parser)]
#[command(name = "windrow")]
struct Command {
    #[command(subcommand)]
    question: Question,
}

#[derive(Subcommand)]
enum Question {
    /// In which window does a file belong?
    Place(place::Arguments),
    /// What is a result made of?
    Inspect(inspect::Arguments),
}

fn main() -> ExitCode {
    let answer = match Command::parse().question {
        Question::Place(arguments) => place::answer(&arguments),
        Question::Inspect(arguments) => inspect::answer(&arguments),
    };
    match answer {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprint!("{text}");
            ExitCode::FAILURE
        }
    }
}
