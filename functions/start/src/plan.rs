//! From a message to the executions that it asks for. Pure: the same message gives the same executions.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;
use window::payload::{
    BYTES_PER_EXECUTION, ExecutionInput, FILES_PER_EXECUTION, File, Message, SourceBucket,
};
use window::{Bucket, ObjectKey, Window, file_time};

use crate::{Config, Error};

/// What a message asks for.
#[derive(Debug, Default)]
pub struct Plan {
    /// One execution per window, or several where a window has many files.
    pub executions: Vec<ExecutionInput>,
    /// Files that belong to no window.
    pub refused: Vec<Refused>,
    /// How many files the message names.
    pub files: usize,
}

/// A file that belongs to no window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What is wrong with it; names it.
    pub reason: String,
}

/// Reads the text of `message`, and sorts its files into windows.
///
/// # Errors
///
/// [`Error::InvalidMessage`] and [`Error::WrongBucket`], when the message as a whole cannot be used. A single file that
/// cannot is a [`Refused`] of the plan, and holds back no other.
pub fn plan(config: &Config, message: &Message, text: &str) -> Result<Plan, Error> {
    let announced = announced(config, text)?;
    let mut plan = Plan { files: announced.len(), ..Plan::default() };
    // Sorted, so that neither the order of a message nor repetitions in it matter.
    let mut windows: BTreeMap<Timestamp, (Window, BTreeSet<(Timestamp, ObjectKey)>)> = BTreeMap::new();
    for (index, object) in announced.iter().enumerate() {
        match placed(config, message, index, object) {
            Ok((window, file)) => {
                windows
                    .entry(window.start())
                    .or_insert((window, BTreeSet::new()))
                    .1
                    .insert((file.time, file.key));
            }
            Err(reason) => plan.refused.push(Refused { reason }),
        }
    }
    for (window, files) in windows.into_values() {
        let closes_at = window
            .closes_at(message.timestamp, config.grace_seconds)
            .map_err(|error| Error::invalid(error.to_string()))?;
        let files = files.into_iter().map(|(time, key)| File { key, time }).collect();
        let empty = ExecutionInput {
            closes_at,
            files: Vec::new(),
            message: message.clone(),
            source: SourceBucket { bucket: config.source_bucket.clone() },
            window,
        };
        plan.executions.extend(chunked(&empty, files));
    }
    Ok(plan)
}

/// The list of objects in the message, once its form and its bucket are known to be right.
fn announced(config: &Config, text: &str) -> Result<Vec<Value>, Error> {
    let message: Value =
        serde_json::from_str(text).map_err(|error| Error::invalid(format!("it is not JSON: {error}")))?;
    let Value::Object(mut message) = message else {
        return Err(Error::invalid("it is not a JSON object with `s3_bucket` and `s3_objects`"));
    };
    match message.get("s3_bucket") {
        None => return Err(Error::invalid("`s3_bucket` is missing")),
        Some(Value::String(named)) => {
            let bucket = Bucket::from_arn_or_name(named).map_err(|error| Error::not_a_bucket(&error))?;
            if bucket != config.source_bucket {
                return Err(Error::wrong_bucket(named, &config.source_bucket));
            }
        }
        Some(_) => return Err(Error::invalid("`s3_bucket` is not a string")),
    }
    match message.remove("s3_objects") {
        None => Err(Error::invalid("`s3_objects` is missing")),
        Some(Value::Array(objects)) if objects.is_empty() => Err(Error::invalid("`s3_objects` is empty")),
        Some(Value::Array(objects)) => Ok(objects),
        Some(_) => Err(Error::invalid("`s3_objects` is not a list")),
    }
}

/// The window that an announced object belongs to; else why there is none.
fn placed(
    config: &Config,
    message: &Message,
    index: usize,
    object: &Value,
) -> Result<(Window, File), String> {
    let Value::String(announced) = object else {
        return Err(format!("entry {index} of `s3_objects` is not a string"));
    };
    let key = config.source_prefix.key_of(announced).map_err(|error| error.to_string())?;
    let time = file_time::parse(key.as_str(), config.default_offset).map_err(|error| error.to_string())?;
    if time.duration_since(message.timestamp) > config.max_future {
        let (allowed, announced) = (config.max_future.as_mins(), message.timestamp);
        let name = key.base_name();
        return Err(format!(
            "`{name}` lies more than {allowed} minutes ahead of its message, which was published at {announced}"
        ));
    }
    let window = Window::of(time, config.window_length).map_err(|error| error.to_string())?;
    Ok((window, File { key, time }))
}

/// Copies of `empty` with the files shared out, each within the limits of an execution.
fn chunked(empty: &ExecutionInput, files: Vec<File>) -> Vec<ExecutionInput> {
    let own_bytes = json_bytes(empty);
    let mut chunks: Vec<ExecutionInput> = Vec::new();
    let mut bytes = usize::MAX;
    for file in files {
        // One more for the comma.
        let file_bytes = json_bytes(&file) + 1;
        match chunks.last_mut() {
            Some(chunk)
                if chunk.files.len() < FILES_PER_EXECUTION && bytes + file_bytes <= BYTES_PER_EXECUTION =>
            {
                bytes += file_bytes;
                chunk.files.push(file);
            }
            _ => {
                bytes = own_bytes + file_bytes;
                chunks.push(ExecutionInput { files: vec![file], ..empty.clone() });
            }
        }
    }
    chunks
}

fn json_bytes(value: &impl serde::Serialize) -> usize {
    // None of these types can fail to be written; if one could, the execution would be refused by name.
    serde_json::to_string(value).map_or(0, |json| json.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use settings::Settings;

    pub(crate) fn config() -> Config {
        Config::read(&Settings::from_lookup(|name: &str| {
            let value = match name {
                "STATE_MACHINE_ARN" => "arn:aws:states:us-east-1:222222222222:stateMachine:windrow",
                "SOURCE_BUCKET" => "macroscope-interviews",
                "STACK_NAME" => "windrow",
                "SOURCE_PREFIX" => "infra-eng/x",
                "WINDOW_MINUTES" => "5",
                "GRACE_SECONDS" | "MAX_FUTURE_MINUTES" => "60",
                "DEFAULT_OFFSET" => "Z",
                _ => return None,
            };
            Some(value.to_owned())
        }))
        .unwrap()
    }

    fn message() -> Message {
        Message { id: "m1".to_owned(), timestamp: "2021-01-01T18:02:00Z".parse().unwrap() }
    }

    fn planned(text: &str) -> Result<Plan, Error> {
        plan(&config(), &message(), text)
    }

    fn objects(names: &[&str]) -> String {
        let keys: Vec<String> = names.iter().map(|name| format!("/infra-eng/x/input/{name}")).collect();
        serde_json::json!({"s3_bucket": "arn:aws:s3:::macroscope-interviews", "s3_objects": keys}).to_string()
    }

    #[test]
    fn a_message_that_cannot_be_used_says_what_is_wrong() {
        for (text, expected) in [
            ("three files", "invalid message: it is not JSON: expected ident at line 1 column 2"),
            ("[]", "invalid message: it is not a JSON object with `s3_bucket` and `s3_objects`"),
            (r#"{"s3_objects":["a"]}"#, "invalid message: `s3_bucket` is missing"),
            (r#"{"s3_bucket":1,"s3_objects":["a"]}"#, "invalid message: `s3_bucket` is not a string"),
            (
                r#"{"s3_bucket":"arn:aws:s3:::b/k","s3_objects":["a"]}"#,
                "invalid message: `s3_bucket`: `arn:aws:s3:::b/k` is not a bucket: expected 3 to 63 of a-z, 0-9, `-` and `.`",
            ),
            (r#"{"s3_bucket":"macroscope-interviews"}"#, "invalid message: `s3_objects` is missing"),
            (
                r#"{"s3_bucket":"macroscope-interviews","s3_objects":"a"}"#,
                "invalid message: `s3_objects` is not a list",
            ),
            (
                r#"{"s3_bucket":"macroscope-interviews","s3_objects":[]}"#,
                "invalid message: `s3_objects` is empty",
            ),
            (
                r#"{"s3_bucket":"arn:aws:s3:::other-bucket","s3_objects":["a"]}"#,
                "the message names the bucket `arn:aws:s3:::other-bucket`, and this stack reads from `macroscope-interviews` only",
            ),
        ] {
            assert_eq!(planned(text).unwrap_err().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn files_are_sorted_into_windows_once_and_a_bad_one_holds_back_no_other() {
        let plan = planned(&objects(&[
            "2021-01-1T12:06:00-06:00.csv",
            "2021-01-1T12:01:31-06:00.csv",
            "2021-01-1T12:01:31-06:00.csv",
            "report.csv",
            "2021-01-01T18:00:00Z.csv",
            "../output/2021-01-01T18:00:00Z.csv",
            "2021-01-01T19:02:00Z.csv",
            "2021-01-01T19:02:01Z.csv",
        ]))
        .unwrap();
        let windows: Vec<(String, Vec<&str>)> = plan
            .executions
            .iter()
            .map(|input| (input.window.id(), input.files.iter().map(|file| file.key.base_name()).collect()))
            .collect();
        assert_eq!(
            windows,
            [
                (
                    "20210101T180000Z".to_owned(),
                    vec!["2021-01-01T18:00:00Z.csv", "2021-01-1T12:01:31-06:00.csv"]
                ),
                ("20210101T180500Z".to_owned(), vec!["2021-01-1T12:06:00-06:00.csv"]),
                ("20210101T190000Z".to_owned(), vec!["2021-01-01T19:02:00Z.csv"]),
            ]
        );
        let refused: Vec<&str> = plan.refused.iter().map(|file| file.reason.as_str()).collect();
        assert_eq!(refused.len(), 3, "{refused:#?}");
        assert!(refused[0].contains("`report.csv` is not a time"), "{refused:#?}");
        assert!(refused[1].contains("`..` segment"), "{refused:#?}");
        assert!(
            refused[2].contains("`2021-01-01T19:02:01Z.csv` lies more than 60 minutes ahead"),
            "{refused:#?}"
        );
        assert_eq!(plan.files, 8);
    }

    #[test]
    fn entries_that_are_no_strings_are_refused_by_their_place() {
        let text = r#"{"s3_bucket":"macroscope-interviews","s3_objects":[null]}"#;
        assert_eq!(planned(text).unwrap().refused[0].reason, "entry 0 of `s3_objects` is not a string");
    }

    #[test]
    fn many_files_of_one_window_are_shared_out_within_the_limits() {
        let long = "d".repeat(900);
        let names: Vec<String> = (0..450)
            .map(|index| format!("2021-01-01T18:01:{:02}.{index}Z.csv", index % 60))
            .chain((0..450).map(|index| format!("{long}/2021-01-01T18:02:00.{index}Z.csv")))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let plan = planned(&objects(&names)).unwrap();
        let mut files = 0;
        for input in &plan.executions {
            let (_, json) = input.named().unwrap();
            assert!(json.len() <= BYTES_PER_EXECUTION, "{} bytes", json.len());
            assert!(input.files.len() <= FILES_PER_EXECUTION, "{} files", input.files.len());
            files += input.files.len();
        }
        assert_eq!(files, 900);
        // No more executions than need be: the next file would not have fitted.
        for pair in plan.executions.windows(2) {
            let mut more = pair[0].clone();
            more.files.push(pair[1].files[0].clone());
            let too_large = more.named().unwrap().1.len() > BYTES_PER_EXECUTION;
            assert!(too_large || more.files.len() > FILES_PER_EXECUTION, "{} files", pair[0].files.len());
        }
    }

    proptest! {
        #[test]
        fn neither_order_nor_repetition_changes_what_is_started(
            seconds in proptest::collection::vec(0_i64..1800, 1..30),
            seed in any::<u64>(),
        ) {
            let names = |seconds: &[i64]| -> Vec<String> {
                seconds.iter().map(|s| format!("{}.csv", Timestamp::from_second(1_609_500_000 + s).unwrap())).collect()
            };
            let start = |names: &[String]| -> Vec<(String, String)> {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                planned(&objects(&names)).unwrap().executions.iter().map(|input| input.named().unwrap()).collect()
            };
            let mut shuffled = names(&seconds);
            let repeated = shuffled[usize::try_from(seed % shuffled.len() as u64).unwrap()].clone();
            shuffled.reverse();
            shuffled.push(repeated);
            prop_assert_eq!(start(&names(&seconds)), start(&shuffled));
        }
    }
}
