//! How one result is copied.

use role::Access;
use store::{ATTEMPTS, Condition, Head, Kind, Put, Store, StoreError, Written};
use telemetry::{Metric, Step};
use window::ObjectKey;
use window::lineage::{DELIVERED_ETAG_METADATA, DIGEST_METADATA};

use crate::{Deliver, Reason};

/// How a copy ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The destination now holds the result as it stands.
    Delivered,
    /// It did already.
    Unchanged,
    /// The result is not there any more: nothing to deliver.
    Gone,
}

impl Outcome {
    /// In words.
    pub(crate) const fn told(self) -> &'static str {
        match self {
            Self::Delivered => "result delivered",
            Self::Unchanged => "result stands there already",
            Self::Gone => "result is gone",
        }
    }
}

/// What is known of the destination before it is written.
enum Destination {
    /// This stands there, or nothing.
    Seen(Option<Head>),
    /// It cannot be looked at: absent without `ListBucket`, or not ours to read.
    Hidden,
}

impl<O: Store, T: Store, R: Access> Deliver<O, T, R> {
    /// Copies what stands at `key` now, unless the destination holds it already.
    pub(crate) async fn copy(&self, key: &ObjectKey, step: &mut Step) -> Result<Outcome, Reason> {
        let to = self.config.source_prefix.destination_key(key);
        // A hidden destination that is known to hold something.
        let mut occupied = false;
        for attempt in 1..=ATTEMPTS {
            let destination = match self.theirs.head(&to).await {
                Ok(head) => Destination::Seen(head),
                Err(error) if error.kind == Kind::Denied => Destination::Hidden,
                Err(error) => return Err(error.into()),
            };
            let Some(result) = self.ours.get(key, None).await? else {
                return Ok(Outcome::Gone);
            };
            let metadata = [
                (DIGEST_METADATA, result.head.metadata.get(DIGEST_METADATA).cloned().unwrap_or_default()),
                (DELIVERED_ETAG_METADATA, result.head.etag.to_string()),
            ];
            let condition = match &destination {
                Destination::Seen(Some(head)) if carries(head, &metadata) => return Ok(Outcome::Unchanged),
                Destination::Seen(head) => Condition::unchanged_since(head.as_ref()),
                Destination::Hidden if occupied => Condition::Overwrite,
                Destination::Hidden => Condition::Create,
            };
            let put = Put {
                key: &to,
                condition: &condition,
                bytes: Some(result.head.bytes),
                content_type: "application/vnd.apache.parquet",
                metadata: &metadata,
                acl: self.config.destination_acl.as_deref(),
            };
            match self.theirs.put(put, result.body).await? {
                // Where nothing kept an older copy from being written over a newer one: look whether it is still the newest.
                Written::As(_)
                    if condition != Condition::Overwrite || self.stands(key, &result.head).await? =>
                {
                    step.field("attempt", attempt);
                    step.count(Metric::BytesDelivered, result.head.bytes);
                    step.since(Metric::DeliveryFreshnessSeconds, result.head.modified);
                    return Ok(Outcome::Delivered);
                }
                Written::As(_) => {}
                Written::Lost => occupied = true,
            }
            store::pause(attempt).await;
        }
        Err(Reason::Contended)
    }

    async fn stands(&self, key: &ObjectKey, copied: &Head) -> Result<bool, StoreError> {
        Ok(self.ours.head(key).await?.is_none_or(|now| now.etag == copied.etag))
    }
}

fn carries(head: &Head, metadata: &[(&'static str, String)]) -> bool {
    metadata.iter().all(|(name, value)| head.metadata.get(*name) == Some(value))
}
