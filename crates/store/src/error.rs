//! What a bucket answers when it does not do what it is asked: classified here, and nowhere else.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use window::Bucket;

/// What an error means to the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 404: the object is not there (any more), or the bucket is not.
    Missing,
    /// 403: we may not, or, without `ListBucket`, the object is not there.
    Denied,
    /// 412: another version stands there.
    Changed,
    /// 409: others write at this moment.
    Conflict,
    /// Throttled, 5xx, a timeout, a broken connection or body: may pass.
    Unavailable,
    /// Any other refusal: asking again would be refused again.
    Refused,
}

/// A request that failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{operation} of `s3://{bucket}/{key}`: {detail}")]
pub struct StoreError {
    /// What it means.
    pub kind: Kind,
    /// S3's name of the operation.
    pub operation: &'static str,
    /// The bucket.
    pub bucket: Bucket,
    /// The key, or the prefix of a listing.
    pub key: String,
    /// What S3 or the connection said.
    pub detail: String,
}

impl StoreError {
    pub(crate) fn from_sdk<E>(
        operation: &'static str,
        bucket: &Bucket,
        key: &str,
        error: &SdkError<E, HttpResponse>,
    ) -> Self
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        let (kind, detail) = match error {
            SdkError::ServiceError(refusal) => {
                let status = refusal.raw().status().as_u16();
                let code = refusal.err().code().unwrap_or("without a code");
                let message = refusal.err().message().unwrap_or("without a message");
                (kind_of(status, code), format!("HTTP {status}, {code}: {message}"))
            }
            error => (Kind::Unavailable, DisplayErrorContext(error).to_string()),
        };
        Self { kind, operation, bucket: bucket.clone(), key: key.to_owned(), detail }
    }

    pub(crate) fn body(operation: &'static str, bucket: &Bucket, key: &str, detail: String) -> Self {
        Self { kind: Kind::Unavailable, operation, bucket: bucket.clone(), key: key.to_owned(), detail }
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
fn kind_of(status: u16, code: &str) -> Kind {
    // The code first: CompleteMultipartUpload may fail within an answer of status 200.
    match code {
        // Credentials that ended while the request was on its way: the next one has new ones.
        "ExpiredToken"
        | "RequestTimeTooSkewed"
        | "RequestTimeout"
        | "SlowDown"
        | "IncompleteBody"
        // What arrived is not what was sent.
        | "BadDigest"
        | "XAmzContentChecksumMismatch"
        | "XAmzContentSHA256Mismatch"
        | "InternalError"
        | "ServiceUnavailable" => return Kind::Unavailable,
        "PreconditionFailed" => return Kind::Changed,
        // An upload that is not there any more was completed, and the reply lost, or aborted by another: look again.
        "ConditionalRequestConflict" | "OperationAborted" | "NoSuchUpload" => return Kind::Conflict,
        _ => {}
    }
    match status {
        403 => Kind::Denied,
        404 => Kind::Missing,
        409 => Kind::Conflict,
        412 => Kind::Changed,
        429 | 500.. => Kind::Unavailable,
        _ => Kind::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_classified_by_status_and_code() {
        for (status, code, kind) in [
            (404, "NoSuchKey", Kind::Missing),
            (404, "NoSuchBucket", Kind::Missing),
            (403, "AccessDenied", Kind::Denied),
            (403, "RequestTimeTooSkewed", Kind::Unavailable),
            (400, "ExpiredToken", Kind::Unavailable),
            (400, "BadDigest", Kind::Unavailable),
            (400, "XAmzContentSHA256Mismatch", Kind::Unavailable),
            (400, "InvalidArgument", Kind::Refused),
            (301, "PermanentRedirect", Kind::Refused),
            (409, "ConditionalRequestConflict", Kind::Conflict),
            (412, "PreconditionFailed", Kind::Changed),
            (503, "SlowDown", Kind::Unavailable),
            (200, "InternalError", Kind::Unavailable),
            (200, "PreconditionFailed", Kind::Changed),
            (200, "ConditionalRequestConflict", Kind::Conflict),
            (404, "NoSuchUpload", Kind::Conflict),
            (500, "InternalError", Kind::Unavailable),
        ] {
            assert_eq!(kind_of(status, code), kind, "{status} {code}");
        }
    }
}
