//! `merge` of what `stage` staged, in a bucket in memory: the sentences of the merging protocol, one test each.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use common::{Granted, lookup, output, source, time, window};
use merge::{Config, Merge};
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::{Value, json};
use settings::Settings;
use stage::Stage;
use store::memory::Memory;
use store::{Body, Head, Listed, Object, Put, Store, StoreError, Written};
use window::lineage::{Input, LINEAGE_KEY, WINDOW_KEY};
use window::payload::{MergeOutput, StageOutput};
use window::{ETag, Failure, FragmentId, ObjectKey};

/// Our bucket, shared by `stage` and `merge`.
#[derive(Clone, Default)]
struct Shared(Arc<Memory>);

impl Store for Shared {
    async fn head(&self, key: &ObjectKey) -> Result<Option<Head>, StoreError> {
        self.0.head(key).await
    }

    async fn get(&self, key: &ObjectKey, version: Option<&ETag>) -> Result<Option<Object>, StoreError> {
        self.0.get(key, version).await
    }

    async fn get_range(
        &self,
        key: &ObjectKey,
        version: &ETag,
        range: std::ops::Range<u64>,
    ) -> Result<Option<Object>, StoreError> {
        self.0.get_range(key, version, range).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.0.list(prefix).await
    }

    async fn first(&self, prefix: &str) -> Result<Option<ObjectKey>, StoreError> {
        self.0.first(prefix).await
    }

    async fn put(&self, put: Put<'_>, body: Body) -> Result<Written, StoreError> {
        self.0.put(put, body).await
    }
}

/// A window of five minutes, with both functions at work on it.
struct Pipeline {
    stage: Stage<Shared, Memory, Granted>,
    merge: Merge<Shared>,
}

fn staging(second: u8) -> ObjectKey {
    let fragment = FragmentId::of(&"theirs".parse().unwrap(), &source(second));
    format!("staging/20210101T180000Z/{fragment}.parquet").parse().unwrap()
}

impl Pipeline {
    fn new() -> Self {
        let ours = Shared::default();
        Self {
            stage: Stage {
                ours: ours.clone(),
                theirs: Memory::default(),
                role: Granted,
                config: stage::Config::read(&Settings::from_lookup(lookup)).unwrap(),
            },
            merge: Merge { ours, config: Config::read(&Settings::from_lookup(lookup)).unwrap() },
        }
    }

    fn ours(&self) -> &Memory {
        &self.merge.ours.0
    }

    /// The publisher puts a file there, and it is staged.
    async fn staged(&self, second: u8, csv: &str) -> Value {
        self.stage.theirs.place(&source(second), csv.as_bytes(), &[]);
        let input = json!({
            "bucket": "theirs", "key": source(second), "time": time(second), "index": 0,
            "window": window(5),
        });
        let StageOutput { fragment, etag, .. } = self.stage.handle(input).await.unwrap();
        json!({"fragment": fragment, "etag": etag})
    }

    async fn merged(&self, staged: &[Value]) -> Result<MergeOutput, merge::Error> {
        self.merged_as(window(5), staged).await
    }

    async fn merged_as(&self, window: Value, staged: &[Value]) -> Result<MergeOutput, merge::Error> {
        let input = json!({"window": window, "closes_at": "2021-01-01T18:06:00Z", "staged": staged});
        self.merge.handle(input).await
    }

    /// Rows of the window's object, as text.
    fn rows(&self) -> Vec<String> {
        let reader = self.reader();
        reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect()
    }

    fn reader(&self) -> SerializedFileReader<Bytes> {
        SerializedFileReader::new(Bytes::from(self.ours().peek(&output()).unwrap().1)).unwrap()
    }

    fn metadata(&self, key: &str) -> String {
        let reader = self.reader();
        let metadata = reader.metadata().file_metadata().key_value_metadata().unwrap();
        metadata.iter().find(|pair| pair.key == key).unwrap().value.clone().unwrap()
    }
}

fn is_written(merged: &MergeOutput) -> bool {
    matches!(merged, MergeOutput::Merged { written: true, .. })
}

#[tokio::test]
async fn rows_stand_in_the_order_of_time_and_key_whoever_came_first() {
    let (one, other) = (Pipeline::new(), Pipeline::new());
    let staged = [one.staged(9, "id,b\n3,x\n").await, one.staged(2, "id\n1\n2\n").await];
    one.merged(&staged).await.unwrap();
    let staged = [other.staged(2, "id\n1\n2\n").await, other.staged(9, "id,b\n3,x\n").await];
    other.merged(&staged).await.unwrap();
    assert_eq!(one.rows(), ["{id: 1, b: null}", "{id: 2, b: null}", "{id: 3, b: \"x\"}"]);
    assert_eq!(one.ours().peek(&output()), other.ours().peek(&output()), "equal inputs, equal bytes");
}

#[tokio::test]
async fn the_object_says_what_it_is_made_of() {
    let pipeline = Pipeline::new();
    let staged = [pipeline.staged(9, "id\n3\n").await, pipeline.staged(2, "id\n1\n2\nx,y\n").await];
    let merged = pipeline.merged(&staged).await.unwrap();
    let MergeOutput::Merged { key, inputs, written, .. } = merged else { panic!("{merged:?}") };
    assert_eq!((key, inputs, written), (output(), 2, true));
    assert_eq!(serde_json::from_str::<Value>(&pipeline.metadata(WINDOW_KEY)).unwrap(), window(5));
    let lineage: Vec<Input> = serde_json::from_str(&pipeline.metadata(LINEAGE_KEY)).unwrap();
    let entries: Vec<_> = lineage
        .iter()
        .map(|input| (input.source.key.clone(), input.source.rows, input.source.rejected_rows))
        .collect();
    assert_eq!(entries, [(source(2), 2, 1), (source(9), 1, 0)]);
    for (input, second) in lineage.iter().zip([2, 9]) {
        assert_eq!(input.source.etag, pipeline.stage.theirs.peek(&source(second)).unwrap().0.etag);
        assert_eq!(input.fragment_etag, pipeline.ours().peek(&staging(second)).unwrap().0.etag);
    }
    assert_eq!(pipeline.ours().peek(&output()).unwrap().0.metadata["windrow-inputs"].len(), 64);
}

#[tokio::test]
async fn a_late_file_takes_its_place_in_the_same_object() {
    let pipeline = Pipeline::new();
    let early = pipeline.staged(9, "id\n3\n").await;
    pipeline.merged(&[early]).await.unwrap();
    let late = pipeline.staged(2, "id\n1\n").await;
    pipeline.merged(&[late]).await.unwrap();
    assert_eq!(pipeline.rows(), ["{id: 1}", "{id: 3}"]);
}

#[tokio::test]
async fn what_is_merged_already_is_not_written_again() {
    let pipeline = Pipeline::new();
    let staged = pipeline.staged(9, "id\n3\n").await;
    pipeline.merged(std::slice::from_ref(&staged)).await.unwrap();
    let puts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&puts);
    pipeline.ours().before(move |_, operation, _| {
        counted.fetch_add(u32::from(operation == "put"), Ordering::SeqCst);
    });
    assert!(!is_written(&pipeline.merged(&[staged]).await.unwrap()));
    assert_eq!(puts.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_new_version_of_a_file_replaces_its_former_rows() {
    let pipeline = Pipeline::new();
    let (one, other) = (pipeline.staged(2, "id\n1\n").await, pipeline.staged(9, "id\n3\n").await);
    pipeline.merged(&[one, other]).await.unwrap();
    let newer = pipeline.staged(2, "id\n10\n11\n").await;
    pipeline.merged(&[newer]).await.unwrap();
    assert_eq!(pipeline.rows(), ["{id: 10}", "{id: 11}", "{id: 3}"]);
}

#[tokio::test]
async fn rows_whose_fragments_expired_are_carried_over() {
    let expired: [&[u8]; 4] = [&[], &[2], &[9], &[2, 5, 9]];
    for expired in expired {
        let pipeline = Pipeline::new();
        let mut staged = Vec::new();
        for (second, csv) in [(2, "id,n\n1,a\n2,b\n"), (5, "id\n3\n"), (9, "n,id\nc,4\n")] {
            staged.push(pipeline.staged(second, csv).await);
        }
        pipeline.merged(&staged).await.unwrap();
        for second in expired {
            pipeline.ours().expire(&staging(*second));
        }
        let late = pipeline.staged(7, "id,n\n35,late\n").await;
        pipeline.merged(&[late]).await.unwrap();
        assert_eq!(
            pipeline.rows(),
            [
                r#"{id: 1, n: "a"}"#,
                r#"{id: 2, n: "b"}"#,
                "{id: 3, n: null}",
                r#"{id: 35, n: "late"}"#,
                r#"{id: 4, n: "c"}"#
            ],
            "{expired:?}"
        );
        // And again: what was carried once is carried still, and nothing is written.
        let again = pipeline.merged(&[pipeline.staged(7, "id,n\n35,late\n").await]).await.unwrap();
        assert!(!is_written(&again), "{expired:?}");
    }
}

#[tokio::test]
async fn whoever_was_overtaken_begins_anew() {
    let pipeline = Arc::new(Pipeline::new());
    let early = pipeline.staged(2, "id\n1\n").await;
    // Another stages and merges between our look and our write.
    let other = Pipeline::new();
    let staged = [other.staged(2, "id\n1\n").await, other.staged(9, "id\n3\n").await];
    other.merged(&staged).await.unwrap();
    let (fragment, merged) = (other.ours().peek(&staging(9)).unwrap(), other.ours().peek(&output()).unwrap());
    let once = AtomicU32::new(0);
    pipeline.ours().before(move |ours, operation, key| {
        if operation == "put" && *key == output() && once.fetch_add(1, Ordering::SeqCst) == 0 {
            ours.place(&staging(9), &fragment.1, &[]);
            ours.place(&output(), &merged.1, &[("windrow-inputs", &merged.0.metadata["windrow-inputs"])]);
        }
    });
    pipeline.merged(&[early]).await.unwrap();
    assert_eq!(pipeline.rows(), ["{id: 1}", "{id: 3}"]);
}

#[tokio::test]
async fn a_fragment_that_is_replaced_while_it_is_read_begins_it_anew() {
    let pipeline = Pipeline::new();
    let staged = [pipeline.staged(2, "id\n1\n").await, pipeline.staged(9, "id\n3\n").await];
    let newer = Pipeline::new();
    newer.staged(2, "id\n10\n").await;
    let (_, newer) = newer.ours().peek(&staging(2)).unwrap();
    let once = AtomicU32::new(0);
    pipeline.ours().before(move |ours, operation, key| {
        if operation == "get" && *key == staging(2) && once.fetch_add(1, Ordering::SeqCst) == 0 {
            ours.place(key, &newer, &[]);
        }
    });
    pipeline.merged(&staged).await.unwrap();
    assert_eq!(pipeline.rows(), ["{id: 10}", "{id: 3}"]);
}

#[tokio::test]
async fn an_execution_never_ends_well_without_its_own_rows() {
    let pipeline = Pipeline::new();
    let staged = pipeline.staged(2, "id\n1\n").await;
    pipeline.ours().expire(&staging(2));
    let error = pipeline.merged(std::slice::from_ref(&staged)).await.unwrap_err();
    assert_eq!(error.failure(), Failure::FragmentMissing, "nothing staged, nothing written");
    let other = pipeline.staged(9, "id\n3\n").await;
    let error = pipeline.merged(&[staged]).await.unwrap_err();
    assert_eq!(error.failure(), Failure::FragmentMissing, "another's rows only");
    assert_eq!(pipeline.rows(), ["{id: 3}"], "which are merged all the same");
    assert!(!is_written(&pipeline.merged(&[other]).await.unwrap()));
}

#[tokio::test]
async fn a_window_that_never_rests_is_given_up() {
    let pipeline = Pipeline::new();
    let staged = pipeline.staged(2, "id\n1\n").await;
    let mut version = 0;
    pipeline.ours().before(move |ours, operation, key| {
        if operation == "get" && *key == staging(2) {
            version += 1;
            ours.place(key, format!("version {version}").as_bytes(), &[]);
        }
    });
    assert_eq!(pipeline.merged(&[staged]).await.unwrap_err().failure(), Failure::WindowChanged);
    assert!(pipeline.ours().peek(&output()).is_none());
}

#[tokio::test]
async fn windows_of_another_length_are_refused() {
    let pipeline = Pipeline::new();
    let staged = pipeline.staged(2, "id\n1\n").await;
    pipeline.merged(&[staged]).await.unwrap();
    let late = pipeline.staged(9, "id\n3\n").await;
    let error = pipeline.merged_as(window(10), &[late]).await.unwrap_err();
    assert_eq!(error.failure(), Failure::WindowLengthChanged);
    assert!(error.to_string().contains("5 minutes, and this stack makes windows of 10"), "{error}");
}

#[tokio::test]
async fn an_object_that_windrow_did_not_write_is_named() {
    let pipeline = Pipeline::new();
    let staged = pipeline.staged(2, "id\n1\n").await;
    pipeline.ours().place(&output(), b"PAR1 this is none PAR1", &[]);
    let error = pipeline.merged(&[staged]).await.unwrap_err();
    assert_eq!(error.failure(), Failure::CorruptObject);
    assert!(error.to_string().contains("`output/ms-20210101T180000Z.parquet`"), "{error}");
}
