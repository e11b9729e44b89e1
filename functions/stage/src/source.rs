//! Reading one announced object, whole, to scratch space.

use std::fs::File;

use store::{Body, Kind, Object, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use window::{ETag, ObjectKey};

use crate::Error;

/// One version of a source object, as it lies in the bucket.
pub(crate) struct Spooled {
    /// Which version.
    pub(crate) etag: ETag,
    /// Its size.
    pub(crate) bytes: u64,
    /// Its bytes, in a file without a name that is gone when it is closed.
    pub(crate) file: File,
}

/// Reads `key`, or where that is absent `/key`.
pub(crate) async fn spool(theirs: &impl Store, bucket: &str, key: &ObjectKey) -> Result<Spooled, Error> {
    let Object { head, body } = find(theirs, bucket, key).await?;
    let file = tempfile::tempfile().map_err(Error::internal("making a scratch file"))?;
    let (file, read, cut_off) = copy(body, file).await?;
    if let Some(reason) = cut_off.or_else(|| (read != head.bytes).then(|| "its length is another".to_owned()))
    {
        return Err(Error::SourceCutOff { key: key.to_string(), read, bytes: head.bytes, reason });
    }
    Ok(Spooled { etag: head.etag, bytes: head.bytes, file })
}

async fn find(theirs: &impl Store, bucket: &str, key: &ObjectKey) -> Result<Object, Error> {
    let plain = theirs.get(key, None).await;
    if let Ok(Some(object)) = plain {
        return Ok(object);
    }
    // A missing key answers 403 to those who may not list: the other form may be there all the same.
    let denied = match plain {
        Err(error) if error.kind == Kind::Denied => Some(error),
        Err(error) => return Err(Error::source(error)),
        Ok(_) => None,
    };
    match (theirs.get(&key.with_leading_slash(), None).await, denied) {
        (Ok(Some(object)), _) => Ok(object),
        (Ok(None), Some(denied)) => Err(Error::SourceDenied(denied)),
        (Ok(None), None) => Err(Error::SourceMissing { bucket: bucket.to_owned(), key: key.to_string() }),
        (Err(error), denied) if error.kind == Kind::Denied => {
            Err(Error::SourceDenied(denied.unwrap_or(error)))
        }
        (Err(error), _) => Err(Error::source(error)),
    }
}

/// Copies `body` to `file`: how much arrived, and why no more did where the connection broke.
async fn copy(mut body: Body, file: File) -> Result<(File, u64, Option<String>), Error> {
    let mut file = tokio::fs::File::from_std(file);
    let mut chunk = vec![0; 256 * 1024];
    let mut read = 0;
    let cut_off = loop {
        match body.read(&mut chunk).await {
            Ok(0) => break None,
            Ok(bytes) => {
                file.write_all(&chunk[..bytes])
                    .await
                    .map_err(Error::internal("writing to a scratch file"))?;
                read += bytes as u64;
            }
            Err(error) => break Some(error.to_string()),
        }
    };
    file.flush().await.map_err(Error::internal("writing to a scratch file"))?;
    Ok((file.into_std().await, read, cut_off))
}
