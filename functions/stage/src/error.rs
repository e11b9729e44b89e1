//! Why `stage` fails.

use lambda_runtime::Diagnostic;
use role::RoleError;
use store::{ATTEMPTS, Kind, StoreError};
use table::ConvertError;
use window::Failure;
use window::failure::explained;

/// Why a file was not staged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The step was called with something else than its payload, or with a file that is not the publisher's.
    #[error("invalid input: {reason}")]
    InvalidInput {
        /// What is wrong with it.
        reason: String,
    },
    /// The publisher's role could not be assumed.
    #[error(transparent)]
    Role(#[from] RoleError),
    /// The object is not there.
    #[error("there is no object `{key}` in `{bucket}`, nor `/{key}`")]
    SourceMissing {
        /// The source bucket.
        bucket: String,
        /// The key, without leading slash.
        key: String,
    },
    /// The source bucket answers 403.
    #[error("absent or denied: {0}")]
    SourceDenied(StoreError),
    /// The source bucket refuses for good, whoever asks: it is in another Region, or its objects have keys of their own.
    #[error("refused: {0}")]
    SourceRefused(StoreError),
    /// The source bucket does not answer as it should.
    #[error(transparent)]
    Source(StoreError),
    /// The object's body did not arrive whole.
    #[error("reading `{key}` ended after {read} of {bytes} bytes: {reason}")]
    SourceCutOff {
        /// The key.
        key: String,
        /// Bytes that arrived.
        read: u64,
        /// Bytes that were announced.
        bytes: u64,
        /// What the connection said.
        reason: String,
    },
    /// The object is no CSV.
    #[error("`{key}` is no CSV: {reason}")]
    NotCsv {
        /// The key.
        key: String,
        /// The first evidence.
        reason: String,
    },
    /// The object, or its fragment, was written anew each time.
    #[error("`{key}` was staged by others, or changed, each of the {ATTEMPTS} times that it was read")]
    SourceKeepsChanging {
        /// The key.
        key: String,
    },
    /// Our own bucket.
    #[error(transparent)]
    Storage(#[from] StoreError),
    /// Anything else: scratch space, a defect.
    #[error("{doing}: {reason}")]
    Internal {
        /// What was being done.
        doing: &'static str,
        /// What went wrong.
        reason: String,
    },
}

impl Error {
    pub(crate) fn internal(doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::Internal { doing, reason: error.to_string() }
    }

    pub(crate) fn source(error: StoreError) -> Self {
        match error.kind {
            Kind::Refused => Self::SourceRefused(error),
            _ => Self::Source(error),
        }
    }

    pub(crate) fn conversion(key: &str, error: ConvertError) -> Self {
        match error {
            ConvertError::NotCsv { evidence } => Self::NotCsv { key: key.to_owned(), reason: evidence },
            error => Self::Internal { doing: "converting", reason: explained(&error) },
        }
    }

    /// The name under which it is seen.
    pub fn failure(&self) -> Failure {
        match self {
            Self::InvalidInput { .. } => Failure::InvalidInput,
            Self::Role(error) => error.failure(),
            Self::SourceMissing { .. } => Failure::SourceMissing,
            Self::SourceDenied(_) | Self::SourceRefused(_) => Failure::SourceDenied,
            Self::Source(_) | Self::SourceCutOff { .. } => Failure::SourceUnavailable,
            Self::NotCsv { .. } => Failure::NotCsv,
            Self::SourceKeepsChanging { .. } => Failure::SourceKeepsChanging,
            Self::Storage(error) => match error.kind {
                Kind::Denied | Kind::Missing | Kind::Refused => Failure::StorageDenied,
                Kind::Changed | Kind::Conflict | Kind::Unavailable => Failure::StorageUnavailable,
            },
            Self::Internal { .. } => Failure::Internal,
        }
    }
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        Self { error_type: error.failure().to_string(), error_message: error.to_string() }
    }
}
