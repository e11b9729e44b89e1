//! Why `merge` fails.

use lambda_runtime::Diagnostic;
use store::{ATTEMPTS, Kind, StoreError};
use window::failure::explained;
use window::{Failure, FragmentId, ObjectKey};

/// Why a window was not merged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The step was called with something else than its payload.
    #[error("invalid input: {reason}")]
    InvalidInput {
        /// What is wrong with it.
        reason: String,
    },
    /// Others kept writing the same window.
    #[error("`{key}`, or what it is made of, changed each of the {ATTEMPTS} times that it was merged")]
    WindowChanged {
        /// The window's object.
        key: ObjectKey,
    },
    /// The window's object was made with windows of another length.
    #[error(
        "`{key}` holds a window of {standing} minutes, and this stack makes windows of {configured}: `WindowMinutes` is \
         fixed once data exists"
    )]
    WindowLengthChanged {
        /// The window's object.
        key: ObjectKey,
        /// Minutes of the object.
        standing: u8,
        /// Minutes of the stack.
        configured: u8,
    },
    /// Something that this execution staged is nowhere any more.
    #[error(
        "`{key}` does not hold the fragment `{fragment}` that this execution staged, and it is not staged any more"
    )]
    FragmentMissing {
        /// The window's object.
        key: ObjectKey,
        /// The fragment.
        fragment: FragmentId,
    },
    /// An object that Windrow wrote cannot be read as such.
    #[error("`{key}` is not as Windrow writes it: {reason}")]
    CorruptObject {
        /// The object.
        key: ObjectKey,
        /// What is wrong with it.
        reason: String,
    },
    /// An object's body did not arrive whole.
    #[error("reading `{key}` ended after {read} of {bytes} bytes: {reason}")]
    CutOff {
        /// The object.
        key: ObjectKey,
        /// Bytes that arrived.
        read: u64,
        /// Bytes that were announced.
        bytes: u64,
        /// What the connection said.
        reason: String,
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
    pub(crate) fn internal<E: std::error::Error>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Internal { doing, reason: explained(&error) }
    }

    pub(crate) fn corrupt<E: std::error::Error>(key: &ObjectKey) -> impl FnOnce(E) -> Self {
        move |error| Self::CorruptObject { key: key.clone(), reason: explained(&error) }
    }

    pub(crate) fn lacks(object: &ObjectKey, metadata: &str) -> Self {
        Self::CorruptObject { key: object.clone(), reason: format!("its metadata has no `{metadata}`") }
    }

    /// The name under which it is seen.
    pub fn failure(&self) -> Failure {
        match self {
            Self::InvalidInput { .. } => Failure::InvalidInput,
            Self::WindowChanged { .. } => Failure::WindowChanged,
            Self::WindowLengthChanged { .. } => Failure::WindowLengthChanged,
            Self::FragmentMissing { .. } => Failure::FragmentMissing,
            Self::CorruptObject { .. } => Failure::CorruptObject,
            Self::CutOff { .. } => Failure::StorageUnavailable,
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
