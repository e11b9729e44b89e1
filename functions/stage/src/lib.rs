//! `stage`: one announced file is fetched and normalised, and its rows staged as a fragment of its window.
//!
//! Staging is conditional: what stands is looked at first, then the source is read, and the fragment is written only if
//! nothing happened since. So the slow reader of an older version can never overwrite the fragment of a newer one.

mod config;
mod error;
mod source;
mod trial;

use std::fs::File;
use std::io::Seek;

use role::Access;
use serde_json::Value;
use store::{ATTEMPTS, Condition, Head, Put, Store, Written};
use table::Summary;
use telemetry::{Metric, Step};
use window::lineage::{REJECTED_ETAG_METADATA, SOURCE_KEY, Source};
use window::payload::{StageInput, StageOutput, StageStatus};
use window::probe::{self, Answer};
use window::{ETag, FragmentId, ObjectKey};

pub use config::Config;
pub use error::Error;
use source::Spooled;

/// The two buckets, and what else `stage` needs.
pub struct Stage<O, T, R> {
    /// Our bucket, with the function's own rights.
    pub ours: O,
    /// The publisher's bucket, with those of the publisher's role.
    pub theirs: T,
    /// The publisher's role.
    pub role: R,
    /// What the environment says.
    pub config: Config,
}

/// A fragment, ready to be staged.
struct Fragment {
    file: File,
    rejected: File,
    summary: Summary,
}

impl<O: Store, T: Store, R: Access> Stage<O, T, R> {
    /// Answers `event`: a probe by trials, anything else as [`Self::handle`] does.
    ///
    /// # Errors
    ///
    /// Those of [`Self::handle`]; what goes wrong in a trial is no error.
    pub async fn answer(&self, event: Value) -> Result<Answer<StageOutput>, Error> {
        if probe::is_probe(&event) {
            return Ok(Answer::Probed { trials: self.trials().await });
        }
        self.handle(event).await.map(Answer::Done)
    }

    /// Stages the file that `event`, a [`StageInput`], names.
    ///
    /// # Errors
    ///
    /// [`Error`]; what was staged of the file before stands as it was.
    pub async fn handle(&self, event: Value) -> Result<StageOutput, Error> {
        let input: StageInput = serde_json::from_value(event)
            .map_err(|error| Error::InvalidInput { reason: error.to_string() })?;
        let mut step = Step::begin("stage", &self.config.stack_name);
        step.field("window", input.window.id());
        step.field("execution", input.execution.as_str());
        step.field("message_id", input.message_id.as_str());
        step.field("key", input.file.key.as_str());
        let outcome = self.stage(&input, &mut step).await;
        match &outcome {
            Ok(_) => {
                step.count(Metric::FilesStaged, 1);
                step.since(Metric::LatenessSeconds, input.window.end());
            }
            Err(error) if error.failure().is_given_up(input.retries) => {
                step.count(Metric::FilesRejected, 1);
            }
            Err(_) => step.field("retries", input.retries),
        }
        step.end("file staged", &outcome, Error::failure);
        outcome
    }

    async fn stage(&self, input: &StageInput, step: &mut Step) -> Result<StageOutput, Error> {
        self.check(input)?;
        self.role.granted().await?;
        let key = &input.file.key;
        let fragment = FragmentId::of(&input.bucket, key);
        let staged_key = fragment.staging_key(&input.window);
        let rejected_key = fragment.rejected_key(&input.window);
        for attempt in 1..=ATTEMPTS {
            let (staged, rejected) =
                tokio::try_join!(self.ours.head(&staged_key), self.ours.head(&rejected_key))?;
            let spooled = source::spool(&self.theirs, input.bucket.as_str(), key).await?;
            let (etag, bytes) = (spooled.etag.clone(), spooled.bytes);
            let built = self.build(input, spooled).await?;
            let summary = &built.summary;
            step.field("etag", etag.as_str());
            step.field("attempt", attempt);
            step.measure(Metric::BytesStaged, bytes);
            step.measure(Metric::RowsStaged, summary.rows);
            step.measure(Metric::RowsRejected, summary.rejected_rows);
            if summary.rejected_rows > 0
                && self.put_rejected(&rejected_key, rejected.as_ref(), &built.rejected, &etag).await?
                    == Written::Lost
            {
                store::pause(attempt).await;
                continue;
            }
            let condition = Condition::unchanged_since(staged.as_ref());
            match self
                .put(&staged_key, &condition, &built.file, "application/vnd.apache.parquet", &[])
                .await?
            {
                Written::As(etag) => {
                    return Ok(StageOutput {
                        index: input.index,
                        status: StageStatus::Staged,
                        fragment,
                        etag,
                    });
                }
                Written::Lost => store::pause(attempt).await,
            }
        }
        Err(Error::SourceKeepsChanging { key: key.to_string() })
    }

    /// The state machine passes on what `start` has checked. Checked again all the same, because whoever may start an
    /// execution by hand must not be able to point the publisher's role anywhere else.
    fn check(&self, input: &StageInput) -> Result<(), Error> {
        let key = &input.file.key;
        let elsewhere = self.config.source_prefix.key_of(key.as_str()).map(|allowed| allowed != *key);
        if input.bucket != self.config.source_bucket || elsewhere.unwrap_or(true) {
            let reason = format!("`{}/{key}` does not lie under the configured source", input.bucket);
            return Err(Error::InvalidInput { reason });
        }
        Ok(())
    }

    /// Normalises a source object. It works on files and for as long as it takes: beside the requests.
    async fn build(&self, input: &StageInput, spooled: Spooled) -> Result<Fragment, Error> {
        let (types, file) = (self.config.column_types.clone(), input.file.clone());
        let build = move || {
            let scratch = || tempfile::tempfile().map_err(Error::internal("making a scratch file"));
            let (mut fragment, mut rejected, mut csv) = (scratch()?, scratch()?, spooled.file);
            csv.rewind().map_err(Error::internal("reading a scratch file"))?;
            let source_of = |summary: &Summary| Source {
                key: file.key.clone(),
                etag: spooled.etag.clone(),
                time: file.time,
                rows: summary.rows,
                rejected_rows: summary.rejected_rows,
                bytes: spooled.bytes,
                encoding: summary.encoding.to_string(),
                delimiter: summary.delimiter.to_string(),
            };
            let metadata = |summary: &Summary| {
                let source = serde_json::to_string(&source_of(summary)).unwrap_or_default();
                vec![(SOURCE_KEY.to_owned(), source)]
            };
            let summary = table::convert(csv, &types, metadata, &mut fragment, &mut rejected)
                .map_err(|error| Error::conversion(file.key.as_str(), error))?;
            Ok(Fragment { file: fragment, rejected, summary })
        };
        tokio::task::spawn_blocking(build)
            .await
            .map_err(|panic| Error::Internal { doing: "converting", reason: panic.to_string() })?
    }

    async fn put_rejected(
        &self,
        key: &ObjectKey,
        standing: Option<&Head>,
        rows: &File,
        etag: &ETag,
    ) -> Result<Written, Error> {
        let metadata = [(REJECTED_ETAG_METADATA, etag.to_string())];
        self.put(key, &Condition::unchanged_since(standing), rows, "application/x-ndjson", &metadata).await
    }

    async fn put(
        &self,
        key: &ObjectKey,
        condition: &Condition,
        file: &File,
        content_type: &str,
        metadata: &[(&'static str, String)],
    ) -> Result<Written, Error> {
        let reading = Error::internal("reading a scratch file");
        let (mut file, bytes) = file
            .try_clone()
            .and_then(|file| file.metadata().map(|known| (file, known.len())))
            .map_err(reading)?;
        file.rewind().map_err(Error::internal("reading a scratch file"))?;
        let put = Put { key, condition, bytes: Some(bytes), content_type, metadata, acl: None };
        Ok(self.ours.put(put, Box::new(tokio::fs::File::from_std(file))).await?)
    }
}
