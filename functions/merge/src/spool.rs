//! Objects brought to scratch space, all into one file: a window may have more fragments than a process may have files.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use store::{Head, Kind, Listed, Store};
use table::FileSlice;
use tokio::io::AsyncReadExt;
use window::{ETag, ObjectKey};

use crate::Error;

/// Requests that are under way at once.
const AT_ONCE: usize = 16;

/// An object as it was seen.
pub(crate) struct Version {
    pub(crate) key: ObjectKey,
    pub(crate) etag: ETag,
    bytes: u64,
}

impl Version {
    /// As it was listed.
    pub(crate) fn listed(Listed { key, etag, bytes, .. }: &Listed) -> Self {
        Self { key: key.clone(), etag: etag.clone(), bytes: *bytes }
    }

    /// As it was when it was asked for.
    pub(crate) fn of(key: &ObjectKey, head: &Head) -> Self {
        Self { key: key.clone(), etag: head.etag.clone(), bytes: head.bytes }
    }
}

/// Brings these versions of `objects`, in their order; `None` when one of them is not there any more.
pub(crate) async fn bring(ours: &impl Store, objects: &[Version]) -> Result<Option<Vec<FileSlice>>, Error> {
    let file = Arc::new(tempfile::tempfile().map_err(Error::internal("making a scratch file"))?);
    let mut end = 0;
    let places: Vec<(&Version, u64)> = objects
        .iter()
        .map(|object| {
            let start = end;
            end += object.bytes;
            (object, start)
        })
        .collect();
    let slices: Vec<Option<FileSlice>> = stream::iter(places)
        .map(|(object, start)| {
            let file = Arc::clone(&file);
            async move {
                let there = fetch(ours, object, &file, start).await?;
                Ok::<_, Error>(there.then(|| FileSlice::new(file, start..start + object.bytes)))
            }
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(slices.into_iter().collect())
}

/// Writes the object's bytes into `file` from `offset` on; `false` when this version is not there any more.
async fn fetch(ours: &impl Store, version: &Version, file: &File, offset: u64) -> Result<bool, Error> {
    let object = match ours.get(&version.key, Some(&version.etag)).await {
        Ok(Some(object)) => object,
        Ok(None) => return Ok(false),
        Err(error) if matches!(error.kind, Kind::Changed | Kind::Conflict) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let mut body = object.body;
    let mut chunk = vec![0; 256 * 1024];
    let mut read = 0;
    loop {
        let bytes =
            body.read(&mut chunk).await.map_err(|error| cut_off(version, read, &error.to_string()))?;
        if bytes == 0 {
            break;
        }
        read += bytes as u64;
        if read > version.bytes {
            return Err(cut_off(version, read, "it goes on after its end"));
        }
        let at = offset + read - bytes as u64;
        file.write_all_at(&chunk[..bytes], at).map_err(Error::internal("writing to a scratch file"))?;
    }
    if read < version.bytes {
        return Err(cut_off(version, read, "it ended early"));
    }
    Ok(true)
}

fn cut_off(version: &Version, read: u64, reason: &str) -> Error {
    let (key, bytes, reason) = (version.key.clone(), version.bytes, reason.to_owned());
    Error::CutOff { key, read, bytes, reason }
}
