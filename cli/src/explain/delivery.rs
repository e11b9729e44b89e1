//! Whether the publisher has the window's object as it stands.

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use jiff::Timestamp;
use role::{Access, PublisherRole, RoleConfig};
use serde::Serialize;
use window::failure::explained;
use window::lineage::DELIVERED_ETAG_METADATA;
use window::{Bucket, ETag, ObjectKey, SourcePrefix};

use crate::aws::Error;
use crate::seen::time;
use crate::{Session, Stack};

/// What stands at the publisher's.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Delivery {
    pub(super) state: State,
    pub(super) bucket: String,
    pub(super) key: String,
    /// When what stands there was written.
    pub(super) written: Option<Timestamp>,
    /// Which version of ours it is a copy of.
    pub(super) etag: Option<ETag>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    /// Our object as it stands.
    Delivered,
    /// Another version of ours, which is not the one that stands.
    OtherVersion,
    /// Nothing.
    NotDelivered,
    /// Something of which it cannot be said whether it is ours as it stands.
    Something,
}

/// Our own object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ours<'a> {
    /// It could not be looked at.
    NotSeen,
    /// There is none.
    Absent,
    /// This version of it stands.
    Stands(&'a ETag),
}

/// Looks with the publisher's role where the operator may assume it, else with the operator's own rights.
pub(super) async fn look(session: &Session, output: &ObjectKey, ours: Ours<'_>) -> Result<Delivery, Error> {
    let stack = &session.stack;
    let bucket = stack.parameter("SourceBucket");
    let prefix: SourcePrefix =
        stack.parameter("SourcePrefix").parse().map_err(|error| Error::Other(format!("{error}")))?;
    let key = prefix.destination_key(output);
    let head = head(session, bucket, &prefix, &key).await?;
    let etag = head.as_ref().and_then(|head| head.metadata()?.get(DELIVERED_ETAG_METADATA));
    let etag = etag.map(|etag| ETag::from(etag.as_str()));
    Ok(Delivery {
        state: state(ours, head.is_some(), etag.as_ref()),
        bucket: bucket.to_owned(),
        key: key.into(),
        written: head.as_ref().and_then(|head| head.last_modified().and_then(time)),
        etag,
    })
}

/// By whether something stands there, and of which version of ours it says that it is a copy.
fn state(ours: Ours<'_>, stands: bool, copy_of: Option<&ETag>) -> State {
    match (ours, copy_of) {
        _ if !stands => State::NotDelivered,
        (Ours::Stands(ours), Some(copied)) if ours == copied => State::Delivered,
        (Ours::Stands(_) | Ours::Absent, Some(_)) => State::OtherVersion,
        (Ours::NotSeen, Some(_)) | (_, None) => State::Something,
    }
}

async fn head(
    session: &Session,
    bucket: &str,
    prefix: &SourcePrefix,
    key: &ObjectKey,
) -> Result<Option<HeadObjectOutput>, Error> {
    let aws = &session.aws;
    let role = publishers_role(session, bucket, prefix)?;
    let refusal = match role.granted().await {
        Ok(()) => {
            let config = aws_sdk_s3::config::Builder::from(&aws.config).credentials_provider(role).build();
            let name = session.stack.parameter("SourceRoleArn");
            match head_by(&aws_sdk_s3::Client::from_conf(config), bucket, key).await {
                Ok(head) => return Ok(head),
                Err(why) => format!("As `{name}`, which you may assume: {why}"),
            }
        }
        Err(refusal) => format!("Tried: {refusal}"),
    };
    head_by(&aws.s3(), bucket, key).await.map_err(|why| {
        Error::Other(format!(
            "s3://{bucket}/{key} cannot be looked at. {refusal}. As `{}`: {why}. You need `sts:AssumeRole` on {}, and \
             its trust policy must let you; or else `s3:GetObject` and `s3:ListBucket` on the publisher's bucket",
            aws.caller,
            session.stack.parameter("SourceRoleArn")
        ))
    })
}

/// The role that `deliver` uses, narrowed to looking.
fn publishers_role(session: &Session, bucket: &str, prefix: &SourcePrefix) -> Result<PublisherRole, Error> {
    let Stack { name, .. } = &session.stack;
    let arn = session.stack.parameter("SourceRoleArn").to_owned();
    let bucket: Bucket = bucket.parse().map_err(|error| Error::Other(format!("{error}")))?;
    let external_id = session.stack.parameter("SourceExternalId");
    let config = RoleConfig {
        external_id: Some(external_id.to_owned()).filter(|id| !id.is_empty()),
        session_name: role::session_name("explain", name, None),
        policy: role::reading(&arn, &bucket, &prefix.output()),
        arn,
    };
    Ok(PublisherRole::new(aws_sdk_sts::Client::new(&session.aws.config), config))
}

/// An error says why it cannot be known. The answers to HEAD have no body, and so no code.
async fn head_by(
    client: &aws_sdk_s3::Client,
    bucket: &str,
    key: &ObjectKey,
) -> Result<Option<HeadObjectOutput>, String> {
    let answer = client.head_object().bucket(bucket).key(key.as_str()).send().await;
    answer.map(Some).or_else(|error| match error.raw_response().map(|answer| answer.status().as_u16()) {
        Some(404) => Ok(None),
        Some(403) => Err("S3 answers 403, denied".to_owned()),
        Some(301) => Err("S3 answers 301, the bucket is in another Region".to_owned()),
        Some(status) => Err(format!("S3 answers {status}")),
        None => Err(explained(&error)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delivered_is_what_carries_our_version_and_no_other() {
        let (new, old) = (ETag::from("new"), ETag::from("old"));
        let stands = Ours::Stands(&new);
        for (ours, theirs, expected) in [
            (stands, Some(&new), State::Delivered),
            (stands, Some(&old), State::OtherVersion),
            (Ours::Absent, Some(&old), State::OtherVersion),
            (stands, None, State::Something),
            (Ours::NotSeen, Some(&new), State::Something),
        ] {
            assert_eq!(state(ours, true, theirs), expected, "{ours:?} {theirs:?}");
        }
        for ours in [stands, Ours::Absent, Ours::NotSeen] {
            assert_eq!(state(ours, false, None), State::NotDelivered, "{ours:?}");
        }
    }
}
