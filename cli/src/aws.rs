//! The operator's own credentials, and the stack that they lead to.

use std::collections::HashMap;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_cloudformation::error::{ProvideErrorMetadata, SdkError};
use window::failure::explained;

/// Why a command could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no Region to work in.
    #[error("no Region is set: set AWS_REGION, or `region` in your AWS profile")]
    NoRegion,
    /// There are no credentials, or none that AWS knows.
    #[error(
        "AWS does not take your credentials ({detail}): sign in as for the AWS CLI (`aws sts get-caller-identity` shows \
         whether that works), then try again"
    )]
    Credentials {
        /// What was wrong with them.
        detail: String,
    },
    /// The operator lacks a permission.
    #[error(
        "`{caller}` may not `{action}`: ask whoever administers the account for that permission ({detail})"
    )]
    Denied {
        /// Who asked.
        caller: String,
        /// The IAM action.
        action: &'static str,
        /// What AWS said.
        detail: String,
    },
    /// The stack is not there.
    #[error(
        "there is no stack `{stack}` in {region} of account {account}: `--stack NAME` or WINDROW_STACK names another"
    )]
    NoStack {
        /// Its name.
        stack: String,
        /// Where it was looked for.
        region: String,
        /// In which account.
        account: String,
    },
    /// AWS refused, or did not answer.
    #[error("`{action}` failed: {detail}")]
    Aws {
        /// The IAM action.
        action: &'static str,
        /// What AWS or the connection said.
        detail: String,
    },
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

/// Codes by which the services say that the caller may not.
const DENIED: &[&str] =
    &["AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation", "Forbidden"];
/// Codes by which they say that they do not know the caller.
const UNKNOWN_CALLER: &[&str] = &[
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
];

/// AWS, as the operator sees it.
pub(crate) struct Aws {
    pub(crate) config: SdkConfig,
    pub(crate) region: String,
    pub(crate) account: String,
    /// The operator's ARN.
    pub(crate) caller: String,
}

impl Aws {
    /// Finds out who is asking.
    pub(crate) async fn connect() -> Result<Self, Error> {
        let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
        let region = config.region().ok_or(Error::NoRegion)?.to_string();
        let mut aws = Self { config, region, account: String::new(), caller: "you".to_owned() };
        let identity = aws_sdk_sts::Client::new(&aws.config).get_caller_identity().send().await;
        let identity = identity.map_err(|error| aws.failed("sts:GetCallerIdentity", &error))?;
        aws.account = identity.account.unwrap_or_default();
        aws.caller = identity.arn.unwrap_or(aws.caller);
        Ok(aws)
    }

    /// What a request's failure means to the operator. `action` is what IAM calls it.
    pub(crate) fn failed<E, R>(&self, action: &'static str, error: &SdkError<E, R>) -> Error
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
        R: std::fmt::Debug + 'static,
    {
        let detail = match error {
            SdkError::ServiceError(refusal) => {
                let code = refusal.err().code().unwrap_or("without a code");
                let message = refusal.err().message().unwrap_or("without a message");
                let detail = format!("{code}: {message}");
                if DENIED.contains(&code) {
                    return Error::Denied { caller: self.caller.clone(), action, detail };
                }
                if UNKNOWN_CALLER.contains(&code) {
                    return Error::Credentials { detail };
                }
                detail
            }
            // Without the SDK's own debug text, which repeats all of it.
            error => explained(error),
        };
        if detail.contains("credentials") && !matches!(error, SdkError::ServiceError(_)) {
            return Error::Credentials { detail };
        }
        Error::Aws { action, detail }
    }

    /// The stack of that name: its parameters, outputs, and what its resources are called.
    pub(crate) async fn stack(&self, name: &str) -> Result<Stack, Error> {
        let client = aws_sdk_cloudformation::Client::new(&self.config);
        let described = client.describe_stacks().stack_name(name).send().await;
        let described = described.map_err(|error| match error.code() {
            Some("ValidationError") => self.no_stack(name),
            _ => self.failed("cloudformation:DescribeStacks", &error),
        })?;
        let stack =
            described.stacks.unwrap_or_default().into_iter().next().ok_or_else(|| self.no_stack(name))?;
        let outputs = stack.outputs.unwrap_or_default().into_iter();
        let parameters = stack.parameters.unwrap_or_default().into_iter();
        let listed = client.describe_stack_resources().stack_name(name).send().await;
        let listed = listed.map_err(|error| self.failed("cloudformation:DescribeStackResources", &error))?;
        let resources = listed.stack_resources.unwrap_or_default().into_iter();
        Ok(Stack {
            name: name.to_owned(),
            outputs: outputs.filter_map(|output| Some((output.output_key?, output.output_value?))).collect(),
            parameters: parameters
                .filter_map(|one| Some((one.parameter_key?, one.parameter_value?)))
                .collect(),
            resources: resources
                .filter_map(|one| Some((one.logical_resource_id?, one.physical_resource_id?)))
                .collect(),
        })
    }

    fn no_stack(&self, name: &str) -> Error {
        let (region, account) = (self.region.clone(), self.account.clone());
        Error::NoStack { stack: name.to_owned(), region, account }
    }

    pub(crate) fn s3(&self) -> aws_sdk_s3::Client {
        aws_sdk_s3::Client::new(&self.config)
    }

    pub(crate) fn lambda(&self) -> aws_sdk_lambda::Client {
        aws_sdk_lambda::Client::new(&self.config)
    }

    pub(crate) fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.config)
    }

    pub(crate) fn step_functions(&self) -> aws_sdk_sfn::Client {
        aws_sdk_sfn::Client::new(&self.config)
    }

    pub(crate) fn iam(&self) -> aws_sdk_iam::Client {
        aws_sdk_iam::Client::new(&self.config)
    }

    /// SNS in `region`, which may be another than the stack's.
    pub(crate) fn sns(&self, region: &str) -> aws_sdk_sns::Client {
        let region = aws_config::Region::new(region.to_owned());
        aws_sdk_sns::Client::from_conf(
            aws_sdk_sns::config::Builder::from(&self.config).region(region).build(),
        )
    }
}

/// One deployed stack.
pub(crate) struct Stack {
    pub(crate) name: String,
    outputs: HashMap<String, String>,
    parameters: HashMap<String, String>,
    resources: HashMap<String, String>,
}

impl Stack {
    /// An output of the template, as `BucketName`.
    pub(crate) fn output(&self, key: &str) -> Result<&str, Error> {
        self.outputs.get(key).map(String::as_str).ok_or_else(|| self.lacks("output", key))
    }

    /// A parameter's value, empty where it has none.
    pub(crate) fn parameter(&self, key: &str) -> &str {
        self.parameters.get(key).map_or("", String::as_str)
    }

    /// What the resource of that logical id is called.
    pub(crate) fn resource(&self, logical_id: &str) -> Result<&str, Error> {
        self.resources.get(logical_id).map(String::as_str).ok_or_else(|| self.lacks("resource", logical_id))
    }

    fn lacks(&self, what: &str, key: &str) -> Error {
        Error::Other(format!("the stack `{}` has no {what} `{key}`: is it one of Windrow?", self.name))
    }
}
