//! In which window does a file belong?

use jiff::tz::Offset;
use window::{Window, WindowLength, file_time};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Names or keys of files, as 2021-01-1T12:01:31-06:00.csv
    #[arg(required = true)]
    names: Vec<String>,
    /// The stack's `WindowMinutes`
    #[arg(long, default_value = "5")]
    window_minutes: WindowLength,
    /// The stack's `DefaultOffset`
    #[arg(long, default_value = "Z", value_parser = file_time::parse_offset, allow_hyphen_values = true)]
    default_offset: Offset,
}

/// A line per name; an error, with the same lines, if a name is no time.
pub(crate) fn answer(arguments: &Arguments) -> Result<String, String> {
    let (mut text, mut all_good) = (String::new(), true);
    for name in &arguments.names {
        let line = match place(name, arguments) {
            Ok(line) => line,
            Err(line) => {
                all_good = false;
                line
            }
        };
        text.push_str(&line);
        text.push('\n');
    }
    if all_good { Ok(text) } else { Err(text) }
}

fn place(name: &str, arguments: &Arguments) -> Result<String, String> {
    let time = file_time::parse(name, arguments.default_offset).map_err(|error| error.to_string())?;
    let window = Window::of(time, arguments.window_minutes).map_err(|error| error.to_string())?;
    Ok(format!("{window}  {} to {}  {name}", window.start(), window.end()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Command, Task};
    use clap::Parser;

    fn asked(arguments: &[&str]) -> Result<String, String> {
        match Command::try_parse_from(arguments).map(|command| command.task) {
            Ok(Task::Place(arguments)) => answer(&arguments),
            Ok(_) => Err("another question".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn names_are_placed_as_the_stack_places_them() {
        assert_eq!(
            asked(&["windrow", "place", "2021-01-1T12:01:31-06:00.csv"]).unwrap(),
            "20210101T180000Z  2021-01-01T18:00:00Z to 2021-01-01T18:05:00Z  2021-01-1T12:01:31-06:00.csv\n"
        );
        let fitted = ["--window-minutes", "60", "--default-offset", "-06:00", "2021-01-01T12:01.csv"];
        let text = asked(&[["windrow", "place"].as_slice(), &fitted].concat()).unwrap();
        assert!(text.starts_with("20210101T180000Z  2021-01-01T18:00:00Z to 2021-01-01T19:00:00Z"), "{text}");
    }

    #[test]
    fn a_name_that_is_no_time_says_why_and_hides_no_other() {
        let text = asked(&["windrow", "place", "readme.csv", "2021-01-01T12:01Z.csv"]).unwrap_err();
        assert!(text.contains("`readme.csv` is not a time") && text.contains("20210101T120000Z"), "{text}");
        let text =
            asked(&["windrow", "place", "--window-minutes", "7", "2021-01-01T12:01Z.csv"]).unwrap_err();
        assert!(text.contains("do not align to the hour"), "{text}");
    }
}
