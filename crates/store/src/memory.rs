//! A bucket in memory that keeps S3's promises: strong consistency, conditional writes, whole objects.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;
use window::{Bucket, ETag, ObjectKey};

use crate::{Body, Condition, Head, Kind, Listed, Object, Put, Store, StoreError, Written};

type Before = Box<dyn FnMut(&Memory, &str, &ObjectKey) + Send>;

/// A bucket in memory.
pub struct Memory {
    objects: Mutex<BTreeMap<ObjectKey, (Head, Vec<u8>)>>,
    /// When this bucket's clock stood at 1970: with tokio's time it can be paused and moved on.
    started: Instant,
    denied: Mutex<HashSet<(&'static str, ObjectKey)>>,
    before: Mutex<Option<Before>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            objects: Mutex::default(),
            started: Instant::now(),
            denied: Mutex::default(),
            before: Mutex::default(),
        }
    }
}

impl Memory {
    /// Puts an object there, whatever stood there before; as somebody else would.
    pub fn place(&self, key: &ObjectKey, bytes: &[u8], metadata: &[(&str, &str)]) -> ETag {
        let metadata: HashMap<String, String> =
            metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let etag = ETag::from(format!("{:032x}", hasher.finish()));
        let modified = Timestamp::UNIX_EPOCH + Duration::from_secs(self.started.elapsed().as_secs());
        let head = Head { etag: etag.clone(), bytes: bytes.len() as u64, modified, metadata };
        let mut objects = locked(&self.objects);
        objects.insert(key.clone(), (head, bytes.to_vec()));
        etag
    }

    /// Takes an object away, as a lifecycle rule would.
    pub fn expire(&self, key: &ObjectKey) {
        locked(&self.objects).remove(key);
    }

    /// What stands at `key`.
    pub fn peek(&self, key: &ObjectKey) -> Option<(Head, Vec<u8>)> {
        locked(&self.objects).get(key).cloned()
    }

    /// All keys.
    pub fn keys(&self) -> Vec<ObjectKey> {
        locked(&self.objects).keys().cloned().collect()
    }

    /// From now on `operation` (`head`, `get`, `put`) of `key` is refused with 403.
    pub fn deny(&self, operation: &'static str, key: &ObjectKey) {
        locked(&self.denied).insert((operation, key.clone()));
    }

    /// Runs `action` before each operation, with its name and key: others at work at the worst of moments.
    pub fn before(&self, action: impl FnMut(&Self, &str, &ObjectKey) + Send + 'static) {
        *locked(&self.before) = Some(Box::new(action));
    }

    fn enter(&self, operation: &'static str, key: &ObjectKey) -> Result<(), StoreError> {
        // Taken out while it runs, so that what it does in turn is done in peace.
        let action = locked(&self.before).take();
        if let Some(mut action) = action {
            action(self, operation, key);
            locked(&self.before).get_or_insert(action);
        }
        let denied = locked(&self.denied).contains(&(operation, key.clone()));
        if denied { Err(refusal(Kind::Denied, operation, key.as_str())) } else { Ok(()) }
    }

    fn read(
        &self,
        key: &ObjectKey,
        version: Option<&ETag>,
        range: Option<Range<u64>>,
    ) -> Result<Option<Object>, StoreError> {
        self.enter("get", key)?;
        let Some((head, bytes)) = self.peek(key) else {
            return Ok(None);
        };
        if version.is_some_and(|version| *version != head.etag) {
            return Err(refusal(Kind::Changed, "get", key.as_str()));
        }
        let bytes = match range {
            None => bytes,
            Some(range) => {
                let whole = 0..bytes.len();
                let start = usize::try_from(range.start).unwrap_or(whole.end).min(whole.end);
                let end = usize::try_from(range.end).unwrap_or(whole.end).min(whole.end);
                bytes[start..end].to_vec()
            }
        };
        Ok(Some(Object { head, body: Box::new(std::io::Cursor::new(bytes)) }))
    }
}

impl Store for Memory {
    async fn head(&self, key: &ObjectKey) -> Result<Option<Head>, StoreError> {
        self.enter("head", key)?;
        Ok(self.peek(key).map(|(head, _)| head))
    }

    async fn get(&self, key: &ObjectKey, version: Option<&ETag>) -> Result<Option<Object>, StoreError> {
        self.read(key, version, None)
    }

    async fn get_range(
        &self,
        key: &ObjectKey,
        version: &ETag,
        range: Range<u64>,
    ) -> Result<Option<Object>, StoreError> {
        self.read(key, Some(version), Some(range))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        if let Ok(prefix) = prefix.parse() {
            self.enter("list", &prefix)?;
        }
        let objects = locked(&self.objects);
        let listed =
            objects.iter().filter(|(key, _)| key.as_str().starts_with(prefix)).map(|(key, (head, _))| {
                Listed {
                    key: key.clone(),
                    etag: head.etag.clone(),
                    bytes: head.bytes,
                    modified: head.modified,
                }
            });
        Ok(listed.collect())
    }

    async fn first(&self, prefix: &str) -> Result<Option<ObjectKey>, StoreError> {
        Ok(self.list(prefix).await?.into_iter().next().map(|listed| listed.key))
    }

    async fn put(&self, put: Put<'_>, mut body: Body) -> Result<Written, StoreError> {
        let mut bytes = Vec::new();
        let read = body.read_to_end(&mut bytes).await;
        if read.is_err() || put.bytes.is_some_and(|announced| bytes.len() as u64 != announced) {
            return Err(refusal(Kind::Unavailable, "put", put.key.as_str()));
        }
        self.enter("put", put.key)?;
        let standing = self.peek(put.key).map(|(head, _)| head.etag);
        let holds = match (put.condition, &standing) {
            (Condition::Overwrite, _) | (Condition::Create, None) => true,
            (Condition::Replace(etag), Some(standing)) => etag == standing,
            (Condition::Create, Some(_)) | (Condition::Replace(_), None) => false,
        };
        if !holds {
            return Ok(Written::Lost);
        }
        let metadata: Vec<(&str, &str)> =
            put.metadata.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Ok(Written::As(self.place(put.key, &bytes, &metadata)))
    }
}

fn refusal(kind: Kind, operation: &'static str, key: &str) -> StoreError {
    // The name is a constant that is a bucket's name.
    #[expect(clippy::expect_used, reason = "a constant, and in tests only")]
    let bucket: Bucket = "memory".parse().expect("a bucket's name");
    StoreError { kind, operation, bucket, key: key.to_owned(), detail: "as the test wants it".to_owned() }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
