//! `stage` between two buckets in memory.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};
use role::{Access, RoleError};
use serde_json::{Value, json};
use settings::Settings;
use stage::{Config, Error, Stage};
use store::memory::Memory;
use window::lineage::{SOURCE_KEY, Source};
use window::payload::StageOutput;
use window::{Failure, FragmentId, ObjectKey};

struct Granted;

impl Access for Granted {
    async fn granted(&self) -> Result<(), RoleError> {
        Ok(())
    }
}

struct Refused;

impl Access for Refused {
    async fn granted(&self) -> Result<(), RoleError> {
        Err(RoleError::Denied { role: "r".to_owned(), detail: "AccessDenied".to_owned() })
    }
}

const KEY: &str = "infra-eng/x/input/2021-01-01T18:01:00Z.csv";

fn stage<R>(role: R) -> Stage<Memory, Memory, R> {
    let config = Config::read(&Settings::from_lookup(|name: &str| {
        let value = match name {
            "BUCKET" => "ours",
            "SOURCE_BUCKET" => "theirs",
            "STACK_NAME" => "windrow",
            "SOURCE_PREFIX" => "infra-eng/x",
            "SOURCE_ROLE_ARN" => "arn:aws:iam::111111111111:role/windrow",
            _ => return None,
        };
        Some(value.to_owned())
    }))
    .unwrap();
    Stage { ours: Memory::default(), theirs: Memory::default(), role, config }
}

fn input(key: &str) -> Value {
    json!({
        "bucket": "theirs", "key": key, "time": "2021-01-01T18:01:00Z", "index": 7, "closes_at": "2021-01-01T18:06:00Z",
        "window": {"id": "20210101T180000Z", "start": "2021-01-01T18:00:00Z", "end": "2021-01-01T18:05:00Z", "minutes": 5},
        "message_id": "m1", "execution": "e1",
    })
}

fn key(text: &str) -> ObjectKey {
    text.parse().unwrap()
}

fn fragment() -> FragmentId {
    FragmentId::of(&"theirs".parse().unwrap(), &key(KEY))
}

fn staged_key() -> ObjectKey {
    key(&format!("staging/20210101T180000Z/{}.parquet", fragment()))
}

fn rejected_key() -> ObjectKey {
    key(&format!("rejected/20210101T180000Z/{}.jsonl", fragment()))
}

/// What the staged fragment says of its source.
fn staged_source<R>(stage: &Stage<Memory, Memory, R>) -> Source {
    let (_, bytes) = stage.ours.peek(&staged_key()).unwrap();
    let reader = SerializedFileReader::new(Bytes::from(bytes)).unwrap();
    let metadata = reader.metadata().file_metadata().key_value_metadata().unwrap();
    let source = metadata.iter().find(|pair| pair.key == SOURCE_KEY).unwrap();
    serde_json::from_str(source.value.as_ref().unwrap()).unwrap()
}

async fn failure<R: Access>(stage: &Stage<Memory, Memory, R>, input: Value) -> (Failure, String) {
    let error: Error = stage.handle(input).await.unwrap_err();
    (error.failure(), error.to_string())
}

#[tokio::test]
async fn a_file_becomes_the_fragment_of_its_key_and_says_what_it_was_read_from() {
    let stage = stage(Granted);
    let etag = stage.theirs.place(&key(KEY), b"id,name\n007,x\n8,y\n", &[]);
    let output: StageOutput = stage.handle(input(KEY)).await.unwrap();
    assert_eq!((output.index, &output.fragment), (7, &fragment()));
    assert_eq!(output.etag, stage.ours.peek(&staged_key()).unwrap().0.etag);
    let source = staged_source(&stage);
    assert_eq!((source.key, source.etag, source.rows, source.bytes), (key(KEY), etag, 2, 18));
    assert_eq!((source.encoding.as_str(), source.delimiter.as_str()), ("utf-8", ","));
    assert_eq!(stage.ours.keys(), [staged_key()], "nothing but the fragment");
}

#[tokio::test]
async fn equal_source_and_settings_give_equal_bytes() {
    let (one, other) = (stage(Granted), stage(Granted));
    for stage in [&one, &other] {
        stage.theirs.place(&key(KEY), b"id,name\n1,x\n", &[]);
        stage.handle(input(KEY)).await.unwrap();
    }
    assert_eq!(one.ours.peek(&staged_key()), other.ours.peek(&staged_key()));
}

#[tokio::test]
async fn an_object_with_a_leading_slash_is_found_and_named_without() {
    let stage = stage(Granted);
    stage.theirs.place(&key(&format!("/{KEY}")), b"id\n1\n", &[]);
    stage.handle(input(KEY)).await.unwrap();
    assert_eq!(staged_source(&stage).key, key(KEY));
}

#[tokio::test]
async fn rows_that_cannot_be_read_are_kept_beside_with_the_sources_version() {
    let stage = stage(Granted);
    let etag = stage.theirs.place(&key(KEY), b"id,name\n1,x\n2\n3,z\n4,w\n", &[]);
    stage.handle(input(KEY)).await.unwrap();
    assert_eq!((staged_source(&stage).rows, staged_source(&stage).rejected_rows), (3, 1));
    let (head, lines) = stage.ours.peek(&rejected_key()).unwrap();
    assert_eq!(head.metadata["windrow-source-etag"], etag.as_str());
    let line: Value = serde_json::from_slice(&lines).unwrap();
    assert_eq!((&line["line"], &line["byte_offset"], &line["raw"]), (&json!(3), &json!(12), &json!("2")));
}

#[tokio::test]
async fn each_way_of_not_being_there_has_its_own_name() {
    let stage = stage(Granted);
    let (name, text) = failure(&stage, input(KEY)).await;
    assert_eq!(name, Failure::SourceMissing);
    assert!(text.contains(&format!("no object `{KEY}`")), "{text}");
    stage.theirs.deny("get", &key(KEY));
    assert_eq!(failure(&stage, input(KEY)).await.0, Failure::SourceDenied);
    // Absent without the slash, for one who may not list: but there with it.
    stage.theirs.place(&key(&format!("/{KEY}")), b"id\n1\n", &[]);
    stage.handle(input(KEY)).await.unwrap();
    assert_eq!(failure(&self::stage(Refused), input(KEY)).await.0, Failure::RoleDenied);
}

#[tokio::test]
async fn what_is_no_csv_leaves_the_former_rows_in_place() {
    let stage = stage(Granted);
    stage.theirs.place(&key(KEY), b"id\n1\n", &[]);
    stage.handle(input(KEY)).await.unwrap();
    let before = stage.ours.peek(&staged_key());
    stage.theirs.place(&key(KEY), b"<!DOCTYPE html><html><body>503</body></html>", &[]);
    let (name, text) = failure(&stage, input(KEY)).await;
    assert_eq!(name, Failure::NotCsv);
    assert!(text.contains(KEY), "{text}");
    assert_eq!(stage.ours.peek(&staged_key()), before);
}

#[tokio::test]
async fn the_slow_reader_of_an_older_version_does_not_overwrite_a_newer_one() {
    let (stage, puts) = (Arc::new(stage(Granted)), Arc::new(AtomicU32::new(0)));
    stage.theirs.place(&key(KEY), b"id\n1\n", &[]);
    let (counted, others) = (Arc::clone(&puts), Arc::clone(&stage));
    stage.ours.before(move |ours, operation, staged| {
        // Just before the first write, another stages the version that was put there meanwhile.
        if operation == "put" && counted.fetch_add(1, Ordering::SeqCst) == 0 {
            others.theirs.place(&key(KEY), b"id\n2\n3\n", &[]);
            ours.place(staged, b"the fragment of the newer version", &[]);
        }
    });
    stage.handle(input(KEY)).await.unwrap();
    assert_eq!(staged_source(&stage).rows, 2, "it read the newer version and staged that");
    assert_eq!(puts.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_source_that_never_rests_is_given_up() {
    let stage = stage(Granted);
    stage.theirs.place(&key(KEY), b"id\n1\n", &[]);
    let mut version = 0;
    stage.ours.before(move |ours, operation, staged| {
        if operation == "put" {
            version += 1;
            ours.place(staged, format!("version {version}").as_bytes(), &[]);
        }
    });
    assert_eq!(failure(&stage, input(KEY)).await.0, Failure::SourceKeepsChanging);
}

#[tokio::test]
async fn an_execution_started_by_hand_cannot_point_elsewhere() {
    let stage = stage(Granted);
    for (bucket, key) in [
        ("another", KEY),
        ("theirs", "infra-eng/x/output/2021-01-01T18:01:00Z.csv"),
        ("theirs", "infra-eng/x/input/../output/2021-01-01T18:01:00Z.csv"),
        ("theirs", &format!("/{KEY}")),
    ] {
        let mut input = input(key);
        input["bucket"] = json!(bucket);
        stage.theirs.place(&self::key(key), b"id\n1\n", &[]);
        assert_eq!(failure(&stage, input).await.0, Failure::InvalidInput, "{bucket}/{key}");
    }
    assert_eq!(failure(&stage, json!({"key": KEY})).await.0, Failure::InvalidInput);
    assert!(stage.ours.keys().is_empty());
}
