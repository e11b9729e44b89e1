//! What the steps of an execution hand to each other, as JSON.
//!
//! Running executions and redrives carry yesterday's payload: fields are only ever added, with a default.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::name::{self, Bucket, ETag, FragmentId, ObjectKey};
use crate::window::Window;

/// Files of one execution at the most: a Map's history stays far below 25,000 events.
pub const FILES_PER_EXECUTION: usize = 200;
/// Bytes of an execution's input at the most: states are limited to 256 KiB, results of the Map come to the input.
pub const BYTES_PER_EXECUTION: usize = 128 * 1024;

/// The input of an execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionInput {
    /// When the files of the window have had their time; a whole second.
    pub closes_at: Timestamp,
    /// The files to stage, in the order of time and key.
    pub files: Vec<File>,
    /// The message that announced them.
    pub message: Message,
    /// Where they lie.
    pub source: SourceBucket,
    /// The window that they belong to.
    pub window: Window,
}

impl ExecutionInput {
    /// The input as it is sent, canonical JSON (keys sorted, no white space), and the name of its execution: the
    /// window's id, and 32 hex digits of the SHA-256 of exactly that text.
    ///
    /// The same input has the same name, so a redelivered message finds its execution there; another message about the
    /// same window, or a redrive, has another.
    ///
    /// # Errors
    ///
    /// None in practice: [`serde_json::Error`] would mean that a field cannot be written as JSON.
    pub fn named(&self) -> Result<(String, String), serde_json::Error> {
        let json = canonical(serde_json::to_value(self)?).to_string();
        Ok((format!("{}-{}", self.window, name::short_sha256(json.as_bytes())), json))
    }
}

/// The same value with the keys of each object sorted. `serde_json` sorts them by itself, but not where another crate
/// of the same build turns its `preserve_order` on.
fn canonical(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<String, Value> = members.into_iter().collect();
            Value::Object(sorted.into_iter().map(|(key, value)| (key, canonical(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(canonical).collect()),
        scalar => scalar,
    }
}

/// A file to stage.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct File {
    /// Its key in the source bucket, without leading slash.
    pub key: ObjectKey,
    /// The time that its name stands for.
    pub time: Timestamp,
}

/// Which SNS message announced files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// SNS's `MessageId`.
    pub id: String,
    /// SNS's `Timestamp`.
    pub timestamp: Timestamp,
}

/// Where announced files lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceBucket {
    /// The bucket's name.
    pub bucket: Bucket,
}

/// What `stage` is called with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageInput {
    /// The source bucket.
    pub bucket: Bucket,
    /// The file.
    #[serde(flatten)]
    pub file: File,
    /// The window that it belongs to.
    pub window: Window,
    /// The item's place in the Map.
    pub index: u32,
    /// The message that announced it, for the log.
    #[serde(default)]
    pub message_id: String,
    /// The execution, for the log.
    #[serde(default)]
    pub execution: String,
    /// How often it was tried before.
    #[serde(default)]
    pub retries: u32,
}

/// What `stage` answers, at most 200 bytes: the Map gathers up to 200 of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageOutput {
    /// The item's place in the Map.
    pub index: u32,
    /// `staged`.
    pub status: StageStatus,
    /// The fragment that now holds the file's rows.
    pub fragment: FragmentId,
    /// The version of the fragment that was written.
    pub etag: ETag,
}

/// How staging a file ended, where `stage` itself says so; the state machine adds `rejected` and `unreported`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StageStatus {
    /// The fragment is written.
    Staged,
}

/// What `merge` is called with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeInput {
    /// The window to merge.
    pub window: Window,
    /// When it closed, for the freshness of what is written.
    pub closes_at: Timestamp,
    /// What this execution staged, and must find in the result.
    pub staged: Vec<Staged>,
    /// How often this merge was put off; absent where the state machine knows of no putting off.
    #[serde(default)]
    pub put_off: Option<u32>,
    /// The message that began the execution, for the log.
    #[serde(default)]
    pub message_id: String,
    /// The execution, for the log.
    #[serde(default)]
    pub execution: String,
}

/// A fragment that an execution staged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    /// The fragment.
    pub fragment: FragmentId,
    /// The version of it that was written.
    pub etag: ETag,
}

/// What `merge` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum MergeOutput {
    /// The window's object holds what was staged.
    Merged {
        /// The window's object in our bucket.
        key: ObjectKey,
        /// Its version.
        etag: ETag,
        /// How many files it holds the rows of.
        inputs: usize,
        /// Whether this step wrote it; `false` where it already held everything.
        written: bool,
    },
    /// Another is about to merge the same window, so to be asked again.
    PutOff {
        /// When: in so many seconds.
        seconds: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::WindowLength;

    fn input(id: &str) -> ExecutionInput {
        let time = "2021-01-01T18:01:31Z".parse().unwrap();
        ExecutionInput {
            closes_at: "2021-01-01T18:06:00Z".parse().unwrap(),
            files: vec![File { key: "p/input/2021-01-1T12:01:31-06:00.csv".parse().unwrap(), time }],
            message: Message { id: id.to_owned(), timestamp: "2021-01-01T18:02:00.123Z".parse().unwrap() },
            source: SourceBucket { bucket: "macroscope-interviews".parse().unwrap() },
            window: Window::of(time, WindowLength::from_minutes(5).unwrap()).unwrap(),
        }
    }

    #[test]
    fn an_execution_is_named_by_its_window_and_the_digest_of_its_canonical_input() {
        let (name, json) = input("m1").named().unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"closes_at":"2021-01-01T18:06:00Z","files":[{"key":"p/input/2021-01-1T12:01:31-06:00.csv","#,
                r#""time":"2021-01-01T18:01:31Z"}],"message":{"id":"m1","timestamp":"2021-01-01T18:02:00.123Z"},"#,
                r#""source":{"bucket":"macroscope-interviews"},"window":{"end":"2021-01-01T18:05:00Z","#,
                r#""id":"20210101T180000Z","minutes":5,"start":"2021-01-01T18:00:00Z"}}"#
            )
        );
        // As Python's json.dumps(input, sort_keys=True, separators=(",", ":")) and hashlib.sha256 have it.
        assert_eq!(name, "20210101T180000Z-7298d55bef6166b5be70850ca73bfba6");
        assert_eq!(name.len(), 49);
        assert_ne!(input("m2").named().unwrap().0, name);
        assert_eq!(serde_json::from_str::<ExecutionInput>(&json).unwrap(), input("m1"));
    }

    #[test]
    fn a_map_items_result_stays_under_200_bytes() {
        let output = StageOutput {
            index: 199,
            status: StageStatus::Staged,
            fragment: "f".repeat(32).parse().unwrap(),
            // A multipart upload of 10,000 parts.
            etag: format!("{}-10000", "e".repeat(32)).into(),
        };
        let json = serde_json::to_string(&output).unwrap();
        assert!(json.len() <= 200, "{} bytes: {json}", json.len());
    }
}
