//! What commands print: for people, and with `--json` for programs.

use std::fmt::Write;
use std::io::IsTerminal;

/// How to print.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    /// JSON instead of text.
    pub(crate) json: bool,
    /// With colours and bold letters; never the only sign.
    pub(crate) colour: bool,
    /// With progress, on standard error.
    pub(crate) progress: bool,
}

impl Style {
    /// As suits where the output goes. <https://no-color.org>
    pub(crate) fn fitting(json: bool) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            json,
            colour: !json && !plain && std::io::stdout().is_terminal(),
            progress: std::io::stderr().is_terminal(),
        }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.painted("1", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.painted("32", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.painted("1;31", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.painted("33", text)
    }

    fn painted(self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// A table in plain text. Columns of which every cell is a number are set to the right.
pub(crate) fn table(style: Style, head: &[&str], rows: &[Vec<String>]) -> String {
    let is_number = |text: &str| text.chars().next().is_some_and(|c| c.is_ascii_digit() || c == '-');
    let columns: Vec<(usize, bool)> = (0..head.len())
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            let width = cells.clone().map(|cell| cell.chars().count()).max().unwrap_or(0);
            let to_the_right = !rows.is_empty()
                && cells.into_iter().all(|cell| {
                    is_number(cell) && cell.chars().all(|c| c.is_ascii_digit() || ",.-%".contains(c))
                });
            (width.max(head.get(column).map_or(0, |cell| cell.chars().count())), to_the_right)
        })
        .collect();
    let line = |cells: Vec<&str>| {
        let cells = cells.iter().zip(&columns).map(|(cell, (width, to_the_right))| {
            if *to_the_right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut text = style.bold(&line(head.to_vec()));
    text.push('\n');
    for row in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", line(row.iter().map(String::as_str).collect()));
    }
    text
}

/// A number with its thousands apart.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The recipes of that stack, as they are called in a shell.
pub(crate) fn just(stack: &str) -> String {
    if stack == "windrow" { "just".to_owned() } else { format!("just stack={}", quoted(stack)) }
}

/// A word as a shell wants it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:+,=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style { json: false, colour: false, progress: false };

    #[test]
    fn numbers_stand_below_each_other_and_text_begins_together() {
        let rows = [vec!["a".to_owned(), "1,000".to_owned()], vec!["bcd".to_owned(), "2".to_owned()]];
        assert_eq!(table(PLAIN, &["name", "rows"], &rows), "name   rows\na     1,000\nbcd       2\n");
        assert_eq!(table(PLAIN, &["name", "rows"], &[]), "name  rows\n");
    }

    #[test]
    fn thousands_are_told_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }
}
