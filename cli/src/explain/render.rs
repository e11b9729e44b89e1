//! An answer for people.

use std::fmt::Write;

use super::delivery::State;
use super::{Answer, Part, Staging};
use crate::executions::{Execution, outcome_table};
use crate::report::{Style, table, thousands};
use crate::seen::{beginning, clock, plain};

const MISSED: &str = "          A minute after it was written it should be; else `just check` says what is in the way, and \
                      `just redrive` tries again.\n";

/// In the order of an operator's questions: what is it, did it arrive, what is in it, what is missing, who wrote it when.
pub(super) fn text(style: Style, answer: &Answer) -> String {
    let mut text = String::new();
    let window = &answer.window;
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{} {window}, {} to {}", style.bold("window"), window.start(), window.end());
    if !answer.known {
        text.push_str(if answer.not_seen.is_empty() {
            "Nothing is known of it: no object, nothing staged, no execution, nothing delivered.\n"
        } else {
            "Nothing is known of it, but not everything could be seen.\n"
        });
    }
    object(&mut text, style, answer);
    if answer.known {
        delivered(&mut text, style, answer);
    }
    text.push_str(&answer.not_seen.lines(style, "delivery"));
    inputs(&mut text, style, answer);
    missing(&mut text, style, answer);
    versions(&mut text, style, answer);
    executions(&mut text, style, answer);
    text
}

fn object(text: &mut String, style: Style, answer: &Answer) {
    if let Some(object) = &answer.object {
        let rows = object.rows.zip(object.rejected_rows).map(|(rows, rejected)| {
            let files = counted(answer.inputs.len() as u64, "file");
            format!("{} of {files}, {} rejected, ", counted(rows, "row"), thousands(rejected))
        });
        let _ = writeln!(
            text,
            "object    s3://{}/{}\n          {}{} bytes, written {}",
            answer.bucket,
            object.key,
            rows.unwrap_or_default(),
            thousands(object.bytes),
            clock(object.written)
        );
    } else if answer.known && answer.not_seen.lines(style, "object").is_empty() {
        let _ = writeln!(text, "object    {}", style.yellow("none"));
    }
    text.push_str(&answer.not_seen.lines(style, "object"));
}

fn delivered(text: &mut String, style: Style, answer: &Answer) {
    let Some(delivery) = &answer.delivery else { return };
    let written = clock(delivery.written);
    let state = match delivery.state {
        State::Delivered => format!("{}, {written}", style.green("yes")),
        State::OtherVersion => {
            format!("{}: another version of it stands there, written {written}", style.red("NO"))
        }
        State::NotDelivered if answer.object.is_some() => {
            format!("{}: nothing stands there", style.red("NO"))
        }
        State::NotDelivered => "nothing".to_owned(),
        State::Something => {
            format!("{}: something stands there, written {written}", style.yellow("not known"))
        }
    };
    let _ = writeln!(
        text,
        "delivered {state}\n          s3://{}/{}",
        plain(&delivery.bucket),
        plain(&delivery.key)
    );
    let is_missed = matches!(delivery.state, State::NotDelivered | State::OtherVersion);
    if is_missed && answer.object.is_some() {
        text.push_str(MISSED);
    }
}

fn inputs(text: &mut String, style: Style, answer: &Answer) {
    if !answer.inputs.is_empty() {
        let _ = writeln!(text, "\n{} in the order of their rows", style.bold("files"));
        let rows: Vec<Vec<String>> = answer.inputs.iter().map(row).collect();
        text.push_str(&table(style, &["rows", "rejected", "bytes", "time", "fragment", "key"], &rows));
    }
    text.push_str(&answer.not_seen.lines(style, "staging"));
    let with_rejected = answer.inputs.iter().filter(|part| part.input.source.rejected_rows > 0);
    for (place, part) in with_rejected.enumerate() {
        if place == 0 {
            let _ = writeln!(text, "\n{}", style.bold("rejected rows"));
        }
        rejected(text, part);
    }
}

fn row(part: &Part) -> Vec<String> {
    let source = &part.input.source;
    let staging = match part.staging {
        Some(Staging::Staged) => "staged",
        Some(Staging::NewerStaged) => "newer version staged",
        Some(Staging::Expired) => "expired",
        None => "not seen",
    };
    vec![
        thousands(source.rows),
        thousands(source.rejected_rows),
        thousands(source.bytes),
        source.time.to_string(),
        staging.to_owned(),
        plain(source.key.as_str()),
    ]
}

fn rejected(text: &mut String, part: &Part) {
    let source = &part.input.source;
    let codes = part.rejected.as_ref().map(|rejected| {
        let codes: Vec<String> =
            rejected.by_code.iter().map(|(code, count)| format!("{} {code}", thousands(*count))).collect();
        codes.join(", ")
    });
    let codes = codes.or_else(|| part.rejected_not_seen.clone()).unwrap_or_default();
    let _ = writeln!(
        text,
        "{}: {} of {} ({})",
        plain(source.key.as_str()),
        thousands(source.rejected_rows),
        counted(source.rows + source.rejected_rows, "row"),
        plain(&codes)
    );
    let Some(rejected) = &part.rejected else { return };
    for row in &rejected.first {
        let _ = writeln!(text, "  line {}: {}: {}", row.line, row.code, plain(&row.message));
        if let Some(raw) = &row.raw {
            let _ = writeln!(text, "    {}", plain(raw));
        }
    }
    let more = rejected.by_code.values().sum::<u64>().saturating_sub(rejected.first.len() as u64);
    if more > 0 {
        let _ = writeln!(text, "  and {} more", thousands(more));
    }
}

fn missing(text: &mut String, style: Style, answer: &Answer) {
    if !answer.not_merged.is_empty() {
        let _ = writeln!(text, "\n{} staged and not in the object yet", style.bold("files"));
        let rows = answer.not_merged.iter().map(|waiting| {
            let source = waiting.source.as_ref();
            vec![
                source.map_or_else(|| "-".to_owned(), |source| thousands(source.rows)),
                source.map_or_else(|| "-".to_owned(), |source| thousands(source.rejected_rows)),
                clock(waiting.staged),
                source.map_or_else(
                    || format!("fragment {}", waiting.fragment),
                    |source| plain(source.key.as_str()),
                ),
            ]
        });
        let rows: Vec<_> = rows.collect();
        text.push_str(&table(style, &["rows", "rejected", "staged", "key"], &rows));
    }
    if !answer.not_staged.is_empty() {
        let _ = writeln!(text, "\n{} announced, neither staged nor in the object", style.bold("files"));
        for key in &answer.not_staged {
            let _ = writeln!(text, "{}", plain(key));
        }
    }
}

fn versions(text: &mut String, style: Style, answer: &Answer) {
    if let Some(versions) = answer.versions.as_ref().filter(|versions| !versions.is_empty()) {
        let _ = writeln!(text, "\n{} of the object", style.bold("versions"));
        let rows: Vec<Vec<String>> = versions
            .iter()
            .map(|version| {
                let bytes = if version.deleted { "deleted".to_owned() } else { thousands(version.bytes) };
                let newest = if version.newest { "newest" } else { "" };
                let inputs = version.inputs.map_or_else(|| "-".to_owned(), |inputs| thousands(inputs as u64));
                let digest = version
                    .digest
                    .as_deref()
                    .map_or_else(|| "-".to_owned(), |all| beginning(&plain(all), 12));
                vec![clock(version.written), bytes, inputs, digest, newest.to_owned(), version.id.clone()]
            })
            .collect();
        text.push_str(&table(style, &["written", "bytes", "files", "digest", "", "version"], &rows));
    }
    text.push_str(&answer.not_seen.lines(style, "versions"));
}

fn executions(text: &mut String, style: Style, answer: &Answer) {
    if let Some(executions) = answer.executions.as_ref().filter(|executions| !executions.is_empty()) {
        let _ = writeln!(text, "\n{} of the window, newest first", style.bold("executions"));
        let files = |execution: &Execution| {
            execution.files.as_ref().map_or_else(|| "-".to_owned(), |files| thousands(files.len() as u64))
        };
        let message = |execution: &Execution| execution.message_id.clone().unwrap_or_else(|| "-".to_owned());
        text.push_str(&outcome_table(style, executions, &[("files", &files), ("message", &message)]));
    }
    text.push_str(&answer.not_seen.lines(style, "executions"));
}

fn counted(count: u64, what: &str) -> String {
    format!("{} {what}{}", thousands(count), if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::{Merged, Version};
    use crate::seen::NotSeen;

    const PLAIN: Style = Style { json: false, colour: false, progress: false };

    fn empty() -> Answer {
        let time = "2021-01-01T18:01:31Z".parse().unwrap();
        Answer {
            stack: "windrow".to_owned(),
            bucket: "ours".to_owned(),
            window: window::Window::of(time, "5".parse().unwrap()).unwrap(),
            known: false,
            object: None,
            inputs: Vec::new(),
            not_merged: Vec::new(),
            not_staged: Vec::new(),
            versions: None,
            executions: None,
            delivery: None,
            not_seen: NotSeen::default(),
        }
    }

    #[test]
    fn an_object_that_does_not_say_what_it_is_made_of_is_not_said_to_be_empty() {
        let mut not_seen = NotSeen::default();
        not_seen.add("object", "it is no Parquet\u{1b}[2J".to_owned());
        let object = Merged {
            key: "output/ms-20210101T180000Z.parquet".parse().unwrap(),
            etag: "e".into(),
            version: None,
            written: None,
            bytes: 1234,
            digest: None,
            rows: None,
            rejected_rows: None,
        };
        let deleted = Version {
            id: "v1".to_owned(),
            written: None,
            bytes: 0,
            newest: false,
            deleted: true,
            digest: None,
            inputs: None,
        };
        let versions = Some(vec![deleted]);
        let answer = Answer { known: true, object: Some(object), versions, not_seen, ..empty() };
        assert_eq!(
            text(PLAIN, &answer),
            concat!(
                "window 20210101T180000Z, 2021-01-01T18:00:00Z to 2021-01-01T18:05:00Z\n",
                "object    s3://ours/output/ms-20210101T180000Z.parquet\n          1,234 bytes, written -\n",
                "object not seen: it is no Parquet\\u{1b}[2J\n",
                "\nversions of the object\nwritten  bytes    files  digest    version\n",
                "      -  deleted      -       -    v1\n",
            )
        );
    }

    #[test]
    fn nothing_known_is_told_from_nothing_seen() {
        assert!(text(PLAIN, &empty()).ends_with("nothing staged, no execution, nothing delivered.\n"));
        let mut answer = empty();
        answer.not_seen.add("versions", "no".to_owned());
        assert!(text(PLAIN, &answer).contains("but not everything could be seen.\n"));
    }
}
