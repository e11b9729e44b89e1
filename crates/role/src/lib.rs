//! The publisher's role, assumed and narrowed to what one function does there.
//!
//! The provider of aws-config would do, but hides a refusal inside the failure of whichever call came first. Here a
//! refusal has its own error, so that it can be told from a refusal by S3.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{self, ProvideCredentials, error::CredentialsError, future};
use aws_sdk_sts::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use serde_json::json;
use tokio::sync::Mutex;
use window::{Bucket, Failure};

/// A role that is assumed from a role is lent for an hour at most; asking for longer is an error.
const LENT_FOR_SECONDS: i32 = 3600;
/// Renewed when less than this is left, so that no request starts with credentials that end under it.
const RENEWED_BEFORE: Duration = Duration::from_mins(5);

/// Why the publisher's role could not be assumed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RoleError {
    /// STS refuses: the role is absent, does not trust us, or wants another external id. (It does not say which.)
    #[error("the publisher's role `{role}` cannot be assumed: {detail}")]
    Denied {
        /// The role's ARN.
        role: String,
        /// What STS answered.
        detail: String,
    },
    /// STS does not answer.
    #[error("STS did not answer when assuming `{role}`: {detail}")]
    Unavailable {
        /// The role's ARN.
        role: String,
        /// What happened.
        detail: String,
    },
}

impl RoleError {
    /// The name under which it is seen.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Denied { .. } => Failure::RoleDenied,
            Self::Unavailable { .. } => Failure::RoleUnavailable,
        }
    }
}

/// Access to the publisher's account, as a function needs it: given, or refused with a reason.
pub trait Access: Send + Sync {
    /// Whether requests can be made now.
    fn granted(&self) -> impl Future<Output = Result<(), RoleError>> + Send;

    /// The same, of a trial: whether it is still granted to who asks anew.
    fn granted_anew(&self) -> impl Future<Output = Result<(), RoleError>> + Send {
        self.granted()
    }
}

/// The publisher's role. Gives credentials that are kept for as long as they last; its clones share them.
#[derive(Debug, Clone)]
pub struct PublisherRole(Arc<Role>);

/// Which role is assumed, and how.
#[derive(Debug, Clone)]
pub struct RoleConfig {
    /// The role's ARN.
    pub arn: String,
    /// The external id that it wants, if it wants one.
    pub external_id: Option<String>,
    /// What the publisher sees in CloudTrail; see [`session_name`].
    pub session_name: String,
    /// The session policy that narrows it, as JSON; 2,048 characters at most.
    pub policy: String,
}

#[derive(Debug)]
struct Role {
    sts: aws_sdk_sts::Client,
    config: RoleConfig,
    lent: Mutex<Option<(Credentials, SystemTime)>>,
}

impl PublisherRole {
    /// The role of `config`. Nothing is asked of STS before credentials are needed.
    pub fn new(sts: aws_sdk_sts::Client, config: RoleConfig) -> Self {
        Self(Arc::new(Role { sts, config, lent: Mutex::new(None) }))
    }
}

impl Access for PublisherRole {
    async fn granted(&self) -> Result<(), RoleError> {
        self.0.credentials().await.map(|_| ())
    }

    async fn granted_anew(&self) -> Result<(), RoleError> {
        self.0.lent.lock().await.take();
        self.granted().await
    }
}

impl Role {
    /// Credentials of the role, assumed anew when those at hand end soon.
    ///
    /// # Errors
    ///
    /// [`RoleError`], by whether trying again may help.
    #[expect(
        clippy::disallowed_methods,
        reason = "credentials end by the wall clock; nothing else is decided by it"
    )]
    async fn credentials(&self) -> Result<Credentials, RoleError> {
        let mut lent = self.lent.lock().await;
        if let Some((credentials, expiry)) = &*lent
            && SystemTime::now() + RENEWED_BEFORE < *expiry
        {
            return Ok(credentials.clone());
        }
        let answer = self
            .sts
            .assume_role()
            .role_arn(&self.config.arn)
            .role_session_name(&self.config.session_name)
            .set_external_id(self.config.external_id.clone())
            .policy(&self.config.policy)
            .duration_seconds(LENT_FOR_SECONDS)
            .send()
            .await
            .map_err(|error| self.classify(&error))?;
        let Some(answer) = answer.credentials else {
            return Err(RoleError::Unavailable {
                role: self.config.arn.clone(),
                detail: "its answer holds no credentials".to_owned(),
            });
        };
        // An expiry before 1970 would be nonsense: such credentials are asked for again at once.
        let expiry = SystemTime::try_from(answer.expiration).unwrap_or(SystemTime::UNIX_EPOCH);
        let credentials = Credentials::new(
            answer.access_key_id,
            answer.secret_access_key,
            Some(answer.session_token),
            Some(expiry),
            "publisher's role",
        );
        *lent = Some((credentials.clone(), expiry));
        Ok(credentials)
    }

    fn classify<E, R>(&self, error: &SdkError<E, R>) -> RoleError
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
        R: std::fmt::Debug,
    {
        let role = self.config.arn.clone();
        match error {
            SdkError::ServiceError(refusal)
                if matches!(
                    refusal.err().code(),
                    Some(
                        "AccessDenied"
                            | "AccessDeniedException"
                            | "ValidationError"
                            | "NoSuchEntity"
                            | "MalformedPolicyDocument"
                            | "PackedPolicyTooLarge"
                            | "RegionDisabledException"
                    )
                ) =>
            {
                let code = refusal.err().code().unwrap_or_default();
                let message = refusal.err().message().unwrap_or_default();
                RoleError::Denied { role, detail: format!("{code}: {message}") }
            }
            error => RoleError::Unavailable { role, detail: DisplayErrorContext(error).to_string() },
        }
    }
}

impl ProvideCredentials for PublisherRole {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let lent: provider::Result = self.0.credentials().await.map_err(CredentialsError::provider_error);
            lent
        })
    }
}

/// The longest name of a session that STS takes.
const LONGEST_SESSION_NAME: usize = 64;
/// Hex digits of an environment's id that a session's name holds.
const ENVIRONMENT_DIGITS: usize = 16;

/// What a session is called: the function, the stack, and the end of the name of the log stream of the environment that
/// the function runs in, so that a line of the publisher's CloudTrail leads to the lines of our log.
pub fn session_name(function: &str, stack: &str, log_stream: Option<&str>) -> String {
    // `2026/11/24/[$LATEST]0123456789abcdef0123456789abcdef`
    let environment = log_stream.and_then(|name| name.rsplit(']').next()).unwrap_or_default();
    let environment: String =
        environment.chars().filter(char::is_ascii_hexdigit).take(ENVIRONMENT_DIGITS).collect();
    let ending = if environment.is_empty() { environment } else { format!("-{environment}") };
    let taken = |char: &char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.');
    let beginning = format!("windrow-{function}-{stack}").chars().filter(taken).collect::<String>();
    format!("{beginning:.width$}{ending}", width = LONGEST_SESSION_NAME - ending.len())
}

/// The session policy of whoever reads below `prefix` of `bucket`, in either form of a key, with and without leading
/// slash. Without `ListBucket` a missing key would answer 403 instead of 404.
pub fn reading(role_arn: &str, bucket: &Bucket, prefix: &str) -> String {
    let bucket = bucket_arn(role_arn, bucket);
    let objects = [format!("{bucket}/{prefix}*"), format!("{bucket}//{prefix}*")];
    policy(&bucket, &["s3:GetObject"], &objects, &["kms:Decrypt"])
}

/// The session policy of whoever writes below `prefix` of `bucket` (with an ACL or without one), and looks at what stands
/// there.
pub fn writing(role_arn: &str, bucket: &Bucket, prefix: &str, with_acl: bool) -> String {
    let bucket = bucket_arn(role_arn, bucket);
    let mut actions = vec!["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"];
    if with_acl {
        actions.push("s3:PutObjectAcl");
    }
    policy(&bucket, &actions, &[format!("{bucket}/{prefix}*")], &["kms:Decrypt", "kms:GenerateDataKey"])
}

/// The session policy of whoever only lists `bucket`.
pub fn listing(role_arn: &str, bucket: &Bucket) -> String {
    let resource = bucket_arn(role_arn, bucket);
    json!({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": resource}],
    })
    .to_string()
}

fn policy(bucket_arn: &str, actions: &[&str], objects: &[String], key_actions: &[&str]) -> String {
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": actions, "Resource": objects},
            {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": bucket_arn},
            // For a bucket with a key of its own. A session policy only narrows: the role itself must allow it too.
            {
                "Effect": "Allow",
                "Action": key_actions,
                "Resource": "*",
                "Condition": {"StringLike": {"kms:ViaService": "s3.*"}},
            },
        ],
    })
    .to_string()
}

/// In the role's own partition: `aws`, `aws-us-gov`, …
fn bucket_arn(role_arn: &str, bucket: &Bucket) -> String {
    let partition = role_arn.split(':').nth(1).unwrap_or("aws");
    format!("arn:{partition}:s3:::{bucket}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLE: &str = "arn:aws-us-gov:iam::111111111111:role/windrow";

    #[test]
    fn a_sessions_name_says_function_stack_and_environment_and_is_not_too_long() {
        let stream = "2026/11/24/[$LATEST]0123456789abcdef0123456789abcdef";
        assert_eq!(session_name("stage", "prod", Some(stream)), "windrow-stage-prod-0123456789abcdef");
        assert_eq!(session_name("deliver", "prod", None), "windrow-deliver-prod");
        assert_eq!(session_name("deliver", "prod", Some("odd/…")), "windrow-deliver-prod-dd");
        let name = session_name("deliver", &"long".repeat(32), Some(stream));
        assert_eq!(name.len(), LONGEST_SESSION_NAME);
        assert!(
            name.starts_with("windrow-deliver-longlong") && name.ends_with("-0123456789abcdef"),
            "{name}"
        );
    }

    #[test]
    fn a_session_is_narrowed_to_one_folder_in_the_roles_partition() {
        let bucket = "macroscope-interviews".parse().unwrap();
        let reading = reading(ROLE, &bucket, "infra-eng/x/input/");
        assert!(
            reading.contains(r#""arn:aws-us-gov:s3:::macroscope-interviews/infra-eng/x/input/*""#),
            "{reading}"
        );
        assert!(
            reading.contains(r#""arn:aws-us-gov:s3:::macroscope-interviews//infra-eng/x/input/*""#),
            "{reading}"
        );
        assert!(!reading.contains("PutObject") && !reading.contains("kms:GenerateDataKey"), "{reading}");
        let writing = |with_acl| writing(ROLE, &bucket, "infra-eng/x/output/", with_acl);
        assert!(writing(true).contains("s3:PutObjectAcl") && !writing(false).contains("Acl"));
        let writing = writing(false);
        assert!(
            writing.contains(r#""arn:aws-us-gov:s3:::macroscope-interviews/infra-eng/x/output/*""#),
            "{writing}"
        );
        assert!(!writing.contains("input"), "{writing}");
    }
}
