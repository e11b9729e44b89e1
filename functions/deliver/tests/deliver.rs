//! `deliver` between two buckets in memory: "what stands at the end is the newest".

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use deliver::{Config, Deliver, Error, Output};
use role::{Access, RoleError};
use serde_json::{Value, json};
use settings::Settings;
use store::memory::Memory;
use window::{Failure, ObjectKey};

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

fn deliver<R>(role: R) -> Deliver<Memory, Memory, R> {
    let config = Config::read(&Settings::from_lookup(|name: &str| {
        let value = match name {
            "BUCKET" => "ours",
            "OUTPUT_PREFIX" => "ms-",
            "SOURCE_BUCKET" => "theirs",
            "STACK_NAME" => "windrow",
            "SOURCE_PREFIX" => "infra-eng/x",
            "SOURCE_ROLE_ARN" => "arn:aws:iam::111111111111:role/windrow",
            _ => return None,
        };
        Some(value.to_owned())
    }))
    .unwrap();
    Deliver { ours: Memory::default(), theirs: Memory::default(), role, config }
}

fn key(text: &str) -> ObjectKey {
    text.parse().unwrap()
}

fn result() -> ObjectKey {
    key("output/ms-20210101T180000Z.parquet")
}

fn destination() -> ObjectKey {
    key("infra-eng/x/output/ms-20210101T180000Z.parquet")
}

fn record(bucket: &str, event: &str, key: &str) -> Value {
    json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1",
        "eventTime": "2021-01-01T18:06:00.000Z", "eventName": event,
        "userIdentity": {"principalId": "AWS:X"}, "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": "1", "x-amz-id-2": "2"},
        "s3": {
            "s3SchemaVersion": "1.0", "configurationId": "c",
            "bucket": {"name": bucket, "ownerIdentity": {"principalId": "A"}, "arn": format!("arn:aws:s3:::{bucket}")},
            "object": {"key": key, "size": 1, "eTag": "e", "versionId": "v", "sequencer": "0055AED6DCD90281E5"},
        },
    })
}

fn event(key: &str) -> Value {
    json!({"Records": [record("ours", "ObjectCreated:Put", key)]})
}

fn at_destination<R>(deliver: &Deliver<Memory, Memory, R>) -> Option<Vec<u8>> {
    deliver.theirs.peek(&destination()).map(|(_, bytes)| bytes)
}

const DELIVERED: Output = Output { delivered: 1, unchanged: 0, gone: 0, ignored: 0 };

#[tokio::test]
async fn a_result_is_copied_once_with_its_digest_and_version() {
    let deliver = deliver(Granted);
    let etag = deliver.ours.place(&result(), b"rows", &[("windrow-inputs", "d1")]);
    assert_eq!(deliver.handle(event(result().as_str())).await.unwrap(), DELIVERED);
    let (head, bytes) = deliver.theirs.peek(&destination()).unwrap();
    assert_eq!(bytes, b"rows");
    assert_eq!(head.metadata["windrow-inputs"], "d1");
    assert_eq!(head.metadata["windrow-etag"], etag.as_str());
    let again = deliver.handle(event(result().as_str())).await.unwrap();
    assert_eq!(again, Output { unchanged: 1, ..Output::default() });
}

#[tokio::test]
async fn a_late_notification_delivers_what_stands_now() {
    let deliver = deliver(Granted);
    deliver.ours.place(&result(), b"old", &[("windrow-inputs", "d1")]);
    deliver.ours.place(&result(), b"new", &[("windrow-inputs", "d2")]);
    deliver.handle(event(result().as_str())).await.unwrap();
    deliver.handle(event(result().as_str())).await.unwrap();
    assert_eq!(at_destination(&deliver).unwrap(), b"new");
}

#[tokio::test]
async fn a_copy_that_was_overtaken_begins_anew() {
    let deliver = Arc::new(deliver(Granted));
    deliver.ours.place(&result(), b"old", &[("windrow-inputs", "d1")]);
    // Between reading the old version and writing it, another delivers the new one.
    let (others, once) = (Arc::clone(&deliver), AtomicBool::new(true));
    deliver.theirs.before(move |theirs, operation, key| {
        if operation == "put" && once.swap(false, Ordering::SeqCst) {
            let etag = others.ours.place(&result(), b"new", &[("windrow-inputs", "d2")]);
            theirs.place(key, b"new", &[("windrow-inputs", "d2"), ("windrow-etag", etag.as_str())]);
        }
    });
    let output = deliver.handle(event(result().as_str())).await.unwrap();
    assert_eq!(at_destination(&deliver).unwrap(), b"new");
    assert_eq!(output, Output { unchanged: 1, ..Output::default() });
}

#[tokio::test]
async fn a_destination_that_may_not_be_looked_at_is_written_all_the_same() {
    let deliver = deliver(Granted);
    deliver.theirs.deny("head", &destination());
    deliver.ours.place(&result(), b"old", &[("windrow-inputs", "d1")]);
    assert_eq!(deliver.handle(event(result().as_str())).await.unwrap(), DELIVERED);
    deliver.ours.place(&result(), b"new", &[("windrow-inputs", "d2")]);
    assert_eq!(deliver.handle(event(result().as_str())).await.unwrap(), DELIVERED);
    assert_eq!(at_destination(&deliver).unwrap(), b"new");
}

#[tokio::test]
async fn what_is_no_result_is_ignored() {
    let deliver = deliver(Granted);
    for key in ["staging/20210101T180000Z/a.parquet", "output/other.parquet", "output/ms-1.csv"] {
        deliver.ours.place(&self::key(key), b"rows", &[]);
        let output = deliver.handle(event(key)).await.unwrap();
        assert_eq!(output, Output { ignored: 1, ..Output::default() }, "{key}");
    }
    deliver.ours.place(&result(), b"rows", &[]);
    for record in [
        record("another", "ObjectCreated:Put", result().as_str()),
        record("ours", "ObjectRemoved:Delete", result().as_str()),
    ] {
        let output = deliver.handle(json!({ "Records": [record] })).await.unwrap();
        assert_eq!(output, Output { ignored: 1, ..Output::default() });
    }
    let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "ours"});
    assert_eq!(deliver.handle(test).await.unwrap(), Output { ignored: 1, ..Output::default() });
    assert!(deliver.theirs.keys().is_empty());
}

#[tokio::test]
async fn keys_are_form_url_decoded() {
    let deliver = deliver(Granted);
    deliver.ours.place(&key("output/ms-a b:c+d.parquet"), b"rows", &[]);
    assert_eq!(deliver.handle(event("output/ms-a+b%3Ac%2Bd.parquet")).await.unwrap(), DELIVERED);
    assert_eq!(deliver.theirs.keys(), [key("infra-eng/x/output/ms-a b:c+d.parquet")]);
}

#[tokio::test]
async fn a_result_that_is_gone_is_nothing_to_deliver() {
    let output = deliver(Granted).handle(event(result().as_str())).await.unwrap();
    assert_eq!(output, Output { gone: 1, ..Output::default() });
}

#[tokio::test]
async fn a_bad_record_does_not_stop_the_others_and_fails_by_name() {
    let deliver = deliver(Granted);
    let refused = key("output/ms-20210101T180500Z.parquet");
    deliver.ours.place(&refused, b"rows", &[]);
    deliver.ours.place(&result(), b"rows", &[]);
    deliver.theirs.deny("put", &key("infra-eng/x/output/ms-20210101T180500Z.parquet"));
    let records: Vec<Value> = [refused.as_str(), "output/ms-%FF.parquet", result().as_str()]
        .iter()
        .map(|key| record("ours", "ObjectCreated:Put", key))
        .collect();
    let error = deliver.handle(json!({ "Records": records })).await.unwrap_err();
    assert_eq!(at_destination(&deliver).unwrap(), b"rows");
    assert_eq!(error.failure(), Failure::RecordsNotDelivered);
    assert_eq!(
        error.to_string(),
        "2 of 3 objects could not be delivered: `output/ms-%FF.parquet`: its key cannot be read; \
         `output/ms-20210101T180500Z.parquet`: refused: put of \
         `s3://memory/infra-eng/x/output/ms-20210101T180500Z.parquet`: as the test wants it"
    );
}

#[tokio::test]
async fn a_role_that_cannot_be_assumed_has_its_own_name() {
    let deliver = deliver(Refused);
    deliver.ours.place(&result(), b"rows", &[]);
    let error = deliver.handle(event(result().as_str())).await.unwrap_err();
    assert_eq!(error.failure(), Failure::RoleDenied);
}

#[tokio::test]
async fn an_event_of_something_else_is_refused() {
    for event in [json!({}), json!({"Records": [{"Sns": {}}]}), json!(null)] {
        let error = deliver(Granted).handle(event).await.unwrap_err();
        assert!(matches!(error, Error::InvalidEvent { .. }), "{error}");
    }
}
