//! What an object of ours says of itself, read from its end.

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use jiff::Timestamp;
use table::Footer;
use window::ETag;
use window::failure::explained;
use window::lineage::DIGEST_METADATA;

use crate::Aws;
use crate::aws::Error;
use crate::seen::time;

/// What is read from an object's end at first: the footer of nearly every one lies within.
const TAIL_BYTES: u64 = 128 * 1024;
/// How often it is read anew when it is another by then.
const ATTEMPTS: u32 = 5;

/// An object, and its Parquet footer.
pub(super) struct Object {
    pub(super) etag: ETag,
    pub(super) version: Option<String>,
    pub(super) written: Option<Timestamp>,
    pub(super) bytes: u64,
    /// The digest of what it is made of, in a window's object.
    pub(super) digest: Option<String>,
    key: String,
    footer: Footer,
}

impl Object {
    /// What stands in its metadata as JSON.
    pub(super) fn says<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        let text = self.footer.metadata(name).ok_or_else(|| {
            Error::Other(format!("`{}` has no `{name}` in its metadata: Windrow did not write it", self.key))
        })?;
        serde_json::from_str(text)
            .map_err(|error| Error::Other(format!("`{name}` of `{}` cannot be read: {error}", self.key)))
    }
}

/// The object at `key`, by as few bytes as will do; `None` where there is none.
pub(super) async fn read(aws: &Aws, bucket: &str, key: &str) -> Result<Option<Object>, Error> {
    read_version(aws, bucket, key, None).await
}

/// The same of that version of it.
pub(super) async fn read_version(
    aws: &Aws,
    bucket: &str,
    key: &str,
    version: Option<&str>,
) -> Result<Option<Object>, Error> {
    let unreadable =
        |error: table::InputError| Error::Other(format!("`{key}` cannot be read: {}", explained(&error)));
    for _ in 0..ATTEMPTS {
        let Some((head, mut tail)) = tail(aws, bucket, (key, version), TAIL_BYTES, None).await? else {
            return Ok(None);
        };
        let etag = ETag::from(head.e_tag().unwrap_or_default());
        let needed = Footer::bytes(&tail).map_err(unreadable)?;
        if needed > tail.len() as u64 {
            match self::tail(aws, bucket, (key, version), needed, Some(&etag)).await? {
                Some((_, longer)) => tail = longer,
                None => continue,
            }
        }
        return Ok(Some(Object {
            etag,
            version: head.version_id().map(str::to_owned),
            written: head.last_modified().and_then(time),
            bytes: length(&head),
            digest: head.metadata().and_then(|all| all.get(DIGEST_METADATA)).cloned(),
            key: key.to_owned(),
            footer: Footer::read(&tail).map_err(unreadable)?,
        }));
    }
    Err(Error::Other(format!("`{key}` is written again and again: try once more")))
}

/// How long the whole object is.
fn length(part: &GetObjectOutput) -> u64 {
    let whole = part.content_range().and_then(|range| range.rsplit('/').next()?.parse().ok());
    whole.unwrap_or_else(|| part.content_length().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0))
}

/// The last `bytes` bytes of the object, or all of it; `None` where there is none, or none of that `etag`.
async fn tail(
    aws: &Aws,
    bucket: &str,
    (key, version): (&str, Option<&str>),
    bytes: u64,
    etag: Option<&ETag>,
) -> Result<Option<(GetObjectOutput, Vec<u8>)>, Error> {
    let request = aws.s3().get_object().bucket(bucket).key(key).set_version_id(version.map(str::to_owned));
    let request = request.range(format!("bytes=-{bytes}"));
    let mut answer = match request.set_if_match(etag.map(ETag::quoted)).send().await {
        Ok(answer) => answer,
        Err(error) if matches!(error.code(), Some("NoSuchKey" | "NoSuchVersion" | "PreconditionFailed")) => {
            return Ok(None);
        }
        Err(error) => return Err(aws.failed("s3:GetObject", &error)),
    };
    let body = std::mem::take(&mut answer.body).collect().await;
    let body = body.map_err(|error| Error::Other(format!("`{key}` broke off: {error}")))?;
    Ok(Some((answer, body.to_vec())))
}
