//! A bucket: read, listed and written on conditions.
//!
//! [`Store`] is what `stage`, `merge` and `deliver` ask of a bucket; [`S3`] is the bucket itself. What is not an error in
//! the protocol is not one here: an object that is not there is `None`, a conditional write that others got ahead of is
//! [`Written::Lost`].

mod error;
#[cfg(feature = "memory")]
pub mod memory;
mod s3;

use std::collections::HashMap;
use std::future::Future;
use std::ops::Range;

use jiff::Timestamp;
use tokio::io::AsyncRead;
use window::{ETag, ObjectKey};

pub use error::{Kind, StoreError};
pub use s3::S3;

/// How often a protocol of conditional writes is begun anew before it gives up.
pub const ATTEMPTS: u32 = 8;

/// Lets others finish before attempt number `attempt` (from 1): a random time, up to 50 ms doubled with each attempt,
/// 2 s at most.
pub async fn pause(attempt: u32) {
    let most = 50_u64.saturating_mul(1 << attempt.clamp(1, 16).saturating_sub(1)).min(2000);
    tokio::time::sleep(std::time::Duration::from_millis(fastrand::u64(0..=most))).await;
}

/// An object's body, as it arrives. An error in mid-body ends it with an [`std::io::Error`].
pub type Body = Box<dyn AsyncRead + Send + Sync + Unpin>;

/// What is known of an object besides its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its version.
    pub etag: ETag,
    /// Its size, in bytes.
    pub bytes: u64,
    /// When this version was written, by the bucket's own clock; S3 tells whole seconds.
    pub modified: Timestamp,
    /// Its own metadata (what stands after `x-amz-meta-`).
    pub metadata: HashMap<String, String>,
}

/// An object that is being read.
pub struct Object {
    /// What is known of it.
    pub head: Head,
    /// What it holds.
    pub body: Body,
}

/// An object that was listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: ObjectKey,
    /// Its version.
    pub etag: ETag,
    /// Its size, in bytes.
    pub bytes: u64,
    /// When this version was written, by the bucket's own clock; S3 tells whole seconds.
    pub modified: Timestamp,
}

/// On what condition an object is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Only over this version.
    Replace(ETag),
    /// Only where there is none.
    Create,
    /// Whatever is there.
    Overwrite,
}

impl Condition {
    /// Only if nothing happened since `head` was asked for.
    pub fn unchanged_since(head: Option<&Head>) -> Self {
        head.map_or(Self::Create, |head| Self::Replace(head.etag.clone()))
    }
}

/// An object to be written.
#[derive(Debug, Clone, Copy)]
pub struct Put<'a> {
    /// Where to.
    pub key: &'a ObjectKey,
    /// On what condition.
    pub condition: &'a Condition,
    /// How many bytes the body holds, where that is known; a body of another length is an error.
    pub bytes: Option<u64>,
    /// `Content-Type`.
    pub content_type: &'a str,
    /// The object's own metadata.
    pub metadata: &'a [(&'static str, String)],
    /// A canned ACL; none is sent without.
    pub acl: Option<&'a str>,
}

/// What came of a conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// The object stands, as this version.
    As(ETag),
    /// The condition does not hold (404, 409 or 412): others wrote, or this very write succeeded and its reply was lost.
    Lost,
}

/// What Windrow asks of a bucket. Every failure is a [`StoreError`] that names operation, bucket and key.
pub trait Store: Send + Sync {
    /// What is known of an object; `None` where there is none.
    fn head(&self, key: &ObjectKey) -> impl Future<Output = Result<Option<Head>, StoreError>> + Send;

    /// An object; `None` where there is none. With `version`, only that version: [`Kind::Changed`] where it is another.
    fn get(
        &self,
        key: &ObjectKey,
        version: Option<&ETag>,
    ) -> impl Future<Output = Result<Option<Object>, StoreError>> + Send;

    /// The bytes of `range` of this version of an object; `None` where there is no object.
    fn get_range(
        &self,
        key: &ObjectKey,
        version: &ETag,
        range: Range<u64>,
    ) -> impl Future<Output = Result<Option<Object>, StoreError>> + Send;

    /// All objects whose keys begin with `prefix`, in the order of their keys.
    fn list(&self, prefix: &str) -> impl Future<Output = Result<Vec<Listed>, StoreError>> + Send;

    /// The first object, in the order of keys, whose key begins with `prefix`; `None` where there is none.
    fn first(&self, prefix: &str) -> impl Future<Output = Result<Option<ObjectKey>, StoreError>> + Send;

    /// Writes an object, whole or not at all.
    fn put(&self, put: Put<'_>, body: Body) -> impl Future<Output = Result<Written, StoreError>> + Send;
}
