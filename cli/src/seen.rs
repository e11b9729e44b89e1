//! What could be looked at, and what not: one lacking permission hides no more than what it is for.

use jiff::{Timestamp, Unit};
use serde::Serialize;

use crate::aws::Error;
use crate::report::Style;

/// Something that could not be looked at.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Unseen {
    what: &'static str,
    why: String,
}

/// All that could not be looked at.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct NotSeen(Vec<Unseen>);

impl NotSeen {
    /// What was looked at; where that failed, why is kept.
    pub(crate) fn seen<T>(&mut self, what: &'static str, looked: Result<T, Error>) -> Option<T> {
        looked.map_err(|error| self.add(what, error.to_string())).ok()
    }

    pub(crate) fn add(&mut self, what: &'static str, why: String) {
        self.0.push(Unseen { what, why });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A line for each failure to look at `what`, in its place.
    pub(crate) fn lines(&self, style: Style, what: &str) -> String {
        let of_it = self.0.iter().filter(|one| one.what == what);
        of_it.fold(String::new(), |lines, one| {
            lines + &style.yellow(&format!("{what} not seen: ")) + &plain(&one.why) + "\n"
        })
    }
}

/// Text of others, so that no control character of theirs reaches the terminal.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() { plain.extend(char.escape_default()) } else { plain.push(char) }
    }
    plain
}

/// The first so many characters, and `…` if there are more.
pub(crate) fn beginning(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// A time of AWS's, as all others here are.
pub(crate) fn time(aws: &aws_sdk_s3::primitives::DateTime) -> Option<Timestamp> {
    Timestamp::new(aws.secs(), i32::try_from(aws.subsec_nanos()).ok()?).ok()
}

/// To the second, for people.
pub(crate) fn clock(time: Option<Timestamp>) -> String {
    let seconds = |time: Timestamp| time.round(Unit::Second).unwrap_or(time).to_string();
    time.map_or_else(|| "-".to_owned(), seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_text_is_shown_without_its_control_characters() {
        assert_eq!(plain("a\u{1b}[31m\r\nü"), "a\\u{1b}[31m\\r\\nü");
    }

    #[test]
    fn a_beginning_is_cut_between_characters() {
        assert_eq!(beginning("süß", 3), "süß");
        assert_eq!(beginning("süßer", 3), "süß…");
    }

    #[test]
    fn times_are_told_to_the_second() {
        assert_eq!(clock("2021-01-01T18:06:00.7Z".parse().ok()), "2021-01-01T18:06:01Z");
        assert_eq!(clock(None), "-");
    }

    #[test]
    fn what_failed_is_said_in_its_place_only() {
        let mut not_seen = NotSeen::default();
        assert_eq!(not_seen.seen("letters", Ok(1)), Some(1));
        assert_eq!(not_seen.seen::<u8>("letters", Err(Error::Other("no".to_owned()))), None);
        let style = Style { json: false, colour: false, progress: false };
        assert_eq!(not_seen.lines(style, "letters"), "letters not seen: no\n");
        assert_eq!(not_seen.lines(style, "windows"), "");
    }
}
