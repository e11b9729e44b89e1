//! The bucket itself.

use std::collections::HashMap;
use std::ops::Range;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart, ObjectCannedAcl,
};
use jiff::Timestamp;
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;
use window::failure::explained;
use window::{Bucket, ETag, ObjectKey};

use crate::{Body, Condition, Head, Kind, Listed, Object, Put, Store, StoreError, Written};

/// A body below this size is written in one request; a larger one in parts of at least this size.
const PART_BYTES: u64 = 16 * 1024 * 1024;
/// S3 takes no more parts than this.
const MOST_PARTS: u64 = 10_000;
/// Parts of one body that are under way at once. They and the one that is being read are all that memory holds of it.
const PARTS_AT_ONCE: usize = 4;

/// A bucket in S3, and the credentials to use it with.
#[derive(Debug, Clone)]
pub struct S3 {
    client: Client,
    bucket: Bucket,
}

impl S3 {
    /// `bucket`, as `client` sees it.
    pub fn new(client: Client, bucket: Bucket) -> Self {
        Self { client, bucket }
    }

    /// The bucket's name.
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    fn error<E>(
        &self,
        operation: &'static str,
        key: &ObjectKey,
        error: &SdkError<E, HttpResponse>,
    ) -> StoreError
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        StoreError::from_sdk(operation, &self.bucket, key.as_str(), error)
    }

    async fn read(
        &self,
        key: &ObjectKey,
        version: Option<&ETag>,
        range: Option<Range<u64>>,
    ) -> Result<Option<Object>, StoreError> {
        let answer = self
            .client
            .get_object()
            .bucket(self.bucket.as_str())
            .key(key.as_str())
            .set_if_match(version.map(ETag::quoted))
            // HTTP's ranges include their end.
            .set_range(range.map(|range| format!("bytes={}-{}", range.start, range.end.saturating_sub(1))))
            .send()
            .await
            .map_err(|error| self.error("GetObject", key, &error));
        match absent_as_none(answer)? {
            None => Ok(None),
            Some(answer) => self.object(key, answer).map(Some),
        }
    }

    fn object(&self, key: &ObjectKey, answer: GetObjectOutput) -> Result<Object, StoreError> {
        let known = (answer.e_tag, answer.content_length, answer.last_modified);
        let head = self.known("GetObject", key, known, answer.metadata)?;
        Ok(Object { head, body: Box::new(answer.body.into_async_read()) })
    }

    fn known(
        &self,
        operation: &'static str,
        key: &ObjectKey,
        (etag, bytes, modified): (Option<String>, Option<i64>, Option<DateTime>),
        metadata: Option<HashMap<String, String>>,
    ) -> Result<Head, StoreError> {
        let modified = modified.and_then(|time| Timestamp::from_second(time.secs()).ok());
        match (etag, bytes.map(u64::try_from), modified) {
            (Some(etag), Some(Ok(bytes)), Some(modified)) => {
                Ok(Head { etag: etag.into(), bytes, modified, metadata: metadata.unwrap_or_default() })
            }
            _ => Err(self.odd(operation, key, "its answer holds no ETag, no length or no time")),
        }
    }

    fn odd(&self, operation: &'static str, key: &ObjectKey, detail: &str) -> StoreError {
        StoreError::body(operation, &self.bucket, key.as_str(), detail.to_owned())
    }

    /// The next `bytes` bytes of `body`, or what is left of it.
    async fn part(&self, key: &ObjectKey, body: &mut Body, bytes: u64) -> Result<Vec<u8>, StoreError> {
        let mut part = Vec::new();
        body.take(bytes).read_to_end(&mut part).await.map_err(|error| {
            self.odd("PutObject", key, &format!("its body could not be read: {}", explained(&error)))
        })?;
        Ok(part)
    }

    /// A body that ends early, or goes on after its announced length, must not become an object.
    fn complete(&self, put: Put<'_>, bytes: u64) -> Result<(), StoreError> {
        match put.bytes {
            Some(announced) if announced != bytes => {
                let detail = format!("its body holds {bytes} bytes, not {announced} as announced");
                Err(self.odd("PutObject", put.key, &detail))
            }
            _ => Ok(()),
        }
    }

    async fn put_whole(&self, put: Put<'_>, body: Vec<u8>) -> Result<Written, StoreError> {
        self.complete(put, body.len() as u64)?;
        let (if_match, if_none_match) = headers(put.condition);
        let answer = self
            .client
            .put_object()
            .bucket(self.bucket.as_str())
            .key(put.key.as_str())
            .set_if_match(if_match)
            .set_if_none_match(if_none_match)
            .content_type(put.content_type)
            .set_metadata(Some(owned(put.metadata)))
            .set_acl(put.acl.map(ObjectCannedAcl::from))
            .body(ByteStream::from(body))
            .send()
            .await
            .map_err(|error| self.error("PutObject", put.key, &error));
        self.written("PutObject", put, answer.map(|answer| answer.e_tag))
    }

    async fn put_in_parts(&self, put: Put<'_>, first: Vec<u8>, rest: Body) -> Result<Written, StoreError> {
        let upload = self
            .client
            .create_multipart_upload()
            .bucket(self.bucket.as_str())
            .key(put.key.as_str())
            // As the parts have it: S3 refuses parts with a checksum that the upload did not announce. Of the whole
            // object, so that whoever reads it compares: of a checksum of checksums, the default, readers make no use.
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .checksum_type(ChecksumType::FullObject)
            .content_type(put.content_type)
            .set_metadata(Some(owned(put.metadata)))
            .set_acl(put.acl.map(ObjectCannedAcl::from))
            .send()
            .await
            .map_err(|error| self.error("CreateMultipartUpload", put.key, &error))?
            .upload_id
            .ok_or_else(|| self.odd("CreateMultipartUpload", put.key, "its answer holds no upload id"))?;
        let written = self.parts_of(put, first, rest, &upload).await;
        if !matches!(written, Ok(Written::As(_))) {
            let aborted = self
                .client
                .abort_multipart_upload()
                .bucket(self.bucket.as_str())
                .key(put.key.as_str())
                .upload_id(&upload)
                .send()
                .await;
            if let Err(error) = aborted {
                // Parts that stay behind cost storage only until the bucket's lifecycle removes them.
                tracing::warn!(
                    key = put.key.as_str(),
                    error = %DisplayErrorContext(error),
                    "multipart upload could not be aborted"
                );
            }
        }
        written
    }

    async fn parts_of(
        &self,
        put: Put<'_>,
        first: Vec<u8>,
        mut rest: Body,
        upload: &str,
    ) -> Result<Written, StoreError> {
        // Tasks, for parts to go on while the next one is read.
        let mut uploads = JoinSet::new();
        let mut completed = Vec::new();
        let (mut part, mut bytes) = (first, 0);
        for number in 1.. {
            let is_last = part.is_empty();
            while uploads.len() >= if is_last { 1 } else { PARTS_AT_ONCE } {
                let uploaded = uploads.join_next().await.transpose();
                let uploaded =
                    uploaded.map_err(|panic| self.odd("UploadPart", put.key, &panic.to_string()))?;
                completed.extend(uploaded.transpose()?);
            }
            if is_last {
                break;
            }
            bytes += part.len() as u64;
            let (s3, key, upload) = (self.clone(), put.key.clone(), upload.to_owned());
            uploads.spawn(async move { s3.upload_part(&key, &upload, number, part).await });
            part = self.part(put.key, &mut rest, part_bytes(put.bytes)).await?;
        }
        self.complete(put, bytes)?;
        completed.sort_by_key(CompletedPart::part_number);
        let completed = CompletedMultipartUpload::builder().set_parts(Some(completed));
        let (if_match, if_none_match) = headers(put.condition);
        let answer = self
            .client
            .complete_multipart_upload()
            .bucket(self.bucket.as_str())
            .key(put.key.as_str())
            .upload_id(upload)
            .set_if_match(if_match)
            .set_if_none_match(if_none_match)
            .multipart_upload(completed.build())
            .set_mpu_object_size(i64::try_from(bytes).ok())
            .send()
            .await
            .map_err(|error| self.error("CompleteMultipartUpload", put.key, &error));
        self.written("CompleteMultipartUpload", put, answer.map(|answer| answer.e_tag))
    }

    async fn upload_part(
        &self,
        key: &ObjectKey,
        upload: &str,
        number: i32,
        part: Vec<u8>,
    ) -> Result<CompletedPart, StoreError> {
        let answer = self
            .client
            .upload_part()
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .bucket(self.bucket.as_str())
            .key(key.as_str())
            .upload_id(upload)
            .part_number(number)
            .body(ByteStream::from(part))
            .send()
            .await
            .map_err(|error| self.error("UploadPart", key, &error))?;
        let part = CompletedPart::builder()
            .part_number(number)
            .set_e_tag(answer.e_tag)
            .set_checksum_crc32(answer.checksum_crc32);
        Ok(part.build())
    }

    fn written(
        &self,
        operation: &'static str,
        put: Put<'_>,
        answer: Result<Option<String>, StoreError>,
    ) -> Result<Written, StoreError> {
        match answer {
            Ok(Some(etag)) => Ok(Written::As(etag.into())),
            Ok(None) => Err(self.odd(operation, put.key, "its answer holds no ETag")),
            Err(error) => match (error.kind, put.condition) {
                // 404: the version that was to be replaced is gone.
                (Kind::Changed | Kind::Conflict, _) | (Kind::Missing, Condition::Replace(_)) => {
                    Ok(Written::Lost)
                }
                _ => Err(error),
            },
        }
    }
}

impl Store for S3 {
    async fn head(&self, key: &ObjectKey) -> Result<Option<Head>, StoreError> {
        let answer = self
            .client
            .head_object()
            .bucket(self.bucket.as_str())
            .key(key.as_str())
            .send()
            .await
            .map_err(|error| self.error("HeadObject", key, &error));
        match absent_as_none(answer)? {
            None => Ok(None),
            Some(answer) => {
                let known = (answer.e_tag, answer.content_length, answer.last_modified);
                self.known("HeadObject", key, known, answer.metadata).map(Some)
            }
        }
    }

    async fn get(&self, key: &ObjectKey, version: Option<&ETag>) -> Result<Option<Object>, StoreError> {
        self.read(key, version, None).await
    }

    async fn get_range(
        &self,
        key: &ObjectKey,
        version: &ETag,
        range: Range<u64>,
    ) -> Result<Option<Object>, StoreError> {
        self.read(key, Some(version), Some(range)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let odd = |detail: &str| StoreError::body("ListObjectsV2", &self.bucket, prefix, detail.to_owned());
        let mut pages =
            self.client.list_objects_v2().bucket(self.bucket.as_str()).prefix(prefix).into_paginator().send();
        let mut listed = Vec::new();
        while let Some(page) = pages.next().await {
            let page =
                page.map_err(|error| StoreError::from_sdk("ListObjectsV2", &self.bucket, prefix, &error))?;
            for object in page.contents.unwrap_or_default() {
                let modified = object.last_modified.and_then(|time| Timestamp::from_second(time.secs()).ok());
                let key = object.key.map(|key| key.parse());
                match (key, object.e_tag, object.size.map(u64::try_from), modified) {
                    (Some(Ok(key)), Some(etag), Some(Ok(bytes)), Some(modified)) => {
                        listed.push(Listed { key, etag: etag.into(), bytes, modified });
                    }
                    _ => return Err(odd("an object of its answer has no key, no ETag, no size or no time")),
                }
            }
        }
        Ok(listed)
    }

    async fn first(&self, prefix: &str) -> Result<Option<ObjectKey>, StoreError> {
        let page = self.client.list_objects_v2().bucket(self.bucket.as_str()).prefix(prefix).max_keys(1);
        let page = page
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("ListObjectsV2", &self.bucket, prefix, &error))?;
        let first = page.contents.unwrap_or_default().into_iter().next();
        Ok(first.and_then(|object| object.key?.parse().ok()))
    }

    async fn put(&self, put: Put<'_>, mut body: Body) -> Result<Written, StoreError> {
        let part_bytes = part_bytes(put.bytes);
        let first = self.part(put.key, &mut body, part_bytes).await?;
        if (first.len() as u64) < part_bytes {
            self.put_whole(put, first).await
        } else {
            self.put_in_parts(put, first, body).await
        }
    }
}

fn absent_as_none<T>(answer: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.kind == Kind::Missing => Ok(None),
        Err(error) => Err(error),
    }
}

/// `If-Match` and `If-None-Match`.
fn headers(condition: &Condition) -> (Option<String>, Option<String>) {
    match condition {
        Condition::Replace(etag) => (Some(etag.quoted()), None),
        Condition::Create => (None, Some("*".to_owned())),
        Condition::Overwrite => (None, None),
    }
}

fn owned(metadata: &[(&'static str, String)]) -> HashMap<String, String> {
    metadata.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// Parts so large that `bytes` need no more of them than S3 takes. Where it is not known how many there will be: 160 GiB.
fn part_bytes(bytes: Option<u64>) -> u64 {
    bytes.map_or(0, |bytes| bytes.div_ceil(MOST_PARTS)).max(PART_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_suffice_for_every_size() {
        for bytes in [PART_BYTES + 1, 5 << 30, 20 << 30, 5 << 40] {
            assert!(bytes.div_ceil(part_bytes(Some(bytes))) <= MOST_PARTS, "{bytes}");
        }
        assert_eq!(part_bytes(Some(20 << 30)), PART_BYTES);
    }
}
