//! `deliver`: an S3 notification about a result comes in, and the result is copied to the publisher's bucket.
//!
//! Notifications come repeated, late and in any order. So what is copied is never a version that a notification speaks
//! of, but the one that stands there now; and it is written only over what was seen before it was read. What stands at
//! the destination in the end is the newest.

mod config;
mod copy;
mod error;
mod trial;

use std::collections::BTreeSet;

use aws_lambda_events::s3::{S3Event, S3EventRecord};
use percent_encoding::percent_decode_str;
use role::Access;
use serde_json::Value;
use store::Store;
use telemetry::Step;
use window::probe::{self, Answer};
use window::{Failure, ObjectKey};

pub use config::Config;
pub use copy::Outcome;
pub use error::{Error, NotDelivered, Reason};

/// The two buckets, and what else `deliver` needs.
pub struct Deliver<O, T, R> {
    /// Our bucket, with the function's own rights.
    pub ours: O,
    /// The publisher's bucket, with those of the publisher's role.
    pub theirs: T,
    /// The publisher's role.
    pub role: R,
    /// What the environment says.
    pub config: Config,
}

/// What `deliver` answers: how many objects of the event ended in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Output {
    /// Copied.
    pub delivered: usize,
    /// Stood there already.
    pub unchanged: usize,
    /// Not there any more.
    pub gone: usize,
    /// No results: test events, other prefixes, other buckets, removals.
    pub ignored: usize,
}

impl<O: Store, T: Store, R: Access> Deliver<O, T, R> {
    /// Answers `event`: a probe by trials, anything else as [`Self::handle`] does.
    ///
    /// # Errors
    ///
    /// Those of [`Self::handle`]; what goes wrong in a trial is no error.
    pub async fn answer(&self, event: Value) -> Result<Answer<Output>, Error> {
        if probe::is_probe(&event) {
            return Ok(Answer::Probed { trials: self.trials().await });
        }
        self.handle(event).await.map(Answer::Done)
    }

    /// Delivers each result that `event` names.
    ///
    /// # Errors
    ///
    /// [`Error`], after everything that could be delivered was.
    pub async fn handle(&self, event: Value) -> Result<Output, Error> {
        let mut output = Output::default();
        let Some(event) = notification(event)? else {
            output.ignored = 1;
            return Ok(output);
        };
        let records = event.records.len();
        let mut failed = Vec::new();
        let mut keys = BTreeSet::new();
        for record in event.records {
            match self.result_of(&record) {
                Ok(Some(key)) => {
                    keys.insert(key);
                }
                Ok(None) => output.ignored += 1,
                Err(key) => failed.push(NotDelivered { key, reason: Reason::Key }),
            }
        }
        if !keys.is_empty() {
            self.role.granted().await?;
        }
        for key in keys {
            let mut step = Step::begin("deliver", &self.config.stack_name);
            step.field("key", key.as_str());
            step.field("window", self.config.output_prefix.window_id(&key));
            let outcome = self.copy(&key, &mut step).await;
            step.end(outcome.as_ref().map_or("", |outcome| outcome.told()), &outcome, |_| {
                Failure::RecordsNotDelivered
            });
            match outcome {
                Ok(Outcome::Delivered) => output.delivered += 1,
                Ok(Outcome::Unchanged) => output.unchanged += 1,
                Ok(Outcome::Gone) => output.gone += 1,
                Err(reason) => failed.push(NotDelivered { key: key.into(), reason }),
            }
        }
        if failed.is_empty() { Ok(output) } else { Err(Error::RecordsNotDelivered { failed, records }) }
    }

    /// The result that a record speaks of; `None` where it speaks of something else; an error with the key that cannot be
    /// read.
    fn result_of(&self, record: &S3EventRecord) -> Result<Option<ObjectKey>, String> {
        let created = record.event_name.as_deref().is_some_and(|name| name.starts_with("ObjectCreated:"));
        let in_our_bucket = record.s3.bucket.name.as_deref() == Some(self.config.bucket.as_str());
        if !created || !in_our_bucket {
            return Ok(None);
        }
        let encoded = record.s3.object.key.as_deref().unwrap_or_default();
        // Keys in notifications, and only there, are form-url-encoded.
        let spaced = encoded.replace('+', " ");
        let decoded = percent_decode_str(&spaced).decode_utf8().map_err(|_| encoded.to_owned())?;
        let key: ObjectKey = decoded.parse().map_err(|_| encoded.to_owned())?;
        Ok(self.config.output_prefix.is_output(&key).then_some(key))
    }
}

/// The notification; `None` for the test event that S3 sends when notifications are set up.
fn notification(event: Value) -> Result<Option<S3Event>, Error> {
    if event.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
        return Ok(None);
    }
    serde_json::from_value(event).map(Some).map_err(|error| Error::InvalidEvent { reason: error.to_string() })
}
