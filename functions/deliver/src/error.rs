//! Why `deliver` fails.

use lambda_runtime::Diagnostic;
use role::RoleError;
use store::{Kind, StoreError};
use window::Failure;

/// Why an event was not handled to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The event is no S3 notification.
    #[error("the event is no S3 notification: {reason}")]
    InvalidEvent {
        /// What is wrong with it.
        reason: String,
    },
    /// The publisher's role could not be assumed, so that nothing was tried.
    #[error(transparent)]
    Role(#[from] RoleError),
    /// Some objects could not be delivered. All others of the event were.
    #[error("{} of {records} objects could not be delivered: {}", failed.len(), texts(failed))]
    RecordsNotDelivered {
        /// The objects, and what went wrong.
        failed: Vec<NotDelivered>,
        /// How many objects the event names.
        records: usize,
    },
}

/// An object that could not be delivered.
#[derive(Debug, thiserror::Error)]
#[error("`{key}`: {reason}")]
pub struct NotDelivered {
    /// The object's key in our bucket.
    pub key: String,
    /// What went wrong.
    pub reason: Reason,
}

/// Why an object could not be delivered.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The notification's key is none.
    #[error("its key cannot be read")]
    Key,
    /// One of the two buckets refused, or did not answer.
    #[error("{advice}: {0}", advice = advice(.0))]
    Store(#[from] StoreError),
    /// Others kept writing the destination.
    #[error("the destination was written by others each of {} times that this was tried", store::ATTEMPTS)]
    Contended,
}

/// What to look at, for those who read this at night.
fn advice(error: &StoreError) -> &'static str {
    match error.kind {
        Kind::Denied => "refused",
        Kind::Missing => "the bucket is not there",
        Kind::Changed | Kind::Conflict => "it changed meanwhile",
        Kind::Unavailable => "no answer",
        Kind::Refused => "not taken",
    }
}

fn texts(failed: &[NotDelivered]) -> String {
    failed.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Error {
    /// The name under which it is seen.
    pub fn failure(&self) -> Failure {
        match self {
            Self::InvalidEvent { .. } => Failure::InvalidEvent,
            Self::Role(error) => error.failure(),
            Self::RecordsNotDelivered { .. } => Failure::RecordsNotDelivered,
        }
    }
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        Self { error_type: error.failure().to_string(), error_message: error.to_string() }
    }
}
