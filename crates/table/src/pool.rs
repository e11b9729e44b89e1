//! Memory that is handed on from one file to the next.
//!
//! For a small file, getting memory (and zstd's contexts, which ask what the processor can do) costs as much as the
//! work itself, and a function converts one small file after the other.

use std::sync::{Mutex, PoisonError};

/// Values that are kept for whoever needs one next.
pub(crate) struct Pool<T>(Mutex<Vec<T>>);

/// How many are kept.
const KEPT: usize = 64;

impl<T> Pool<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    pub(crate) fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Keeps a value, as whoever takes it expects it, unless there are enough.
    pub(crate) fn put(&self, value: T) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(value);
        }
    }
}
