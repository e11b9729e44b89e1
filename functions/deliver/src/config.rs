//! What `deliver` is told by its environment.

use role::RoleConfig;
use settings::{SettingError, Settings};
use window::{Bucket, OutputPrefix, SourcePrefix};

/// What `deliver` is told by its environment.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our bucket.
    pub bucket: Bucket,
    /// What the names of results begin with.
    pub output_prefix: OutputPrefix,
    /// The publisher's bucket.
    pub source_bucket: Bucket,
    /// The folder under whose `output/` results are delivered.
    pub source_prefix: SourcePrefix,
    /// The publisher's role.
    pub source_role_arn: String,
    /// The external id that the publisher's role wants, if it wants one.
    pub source_external_id: Option<String>,
    /// The canned ACL that delivered objects get; none is sent without.
    pub destination_acl: Option<String>,
    /// The stack, by which its sessions and metrics are told from another's.
    pub stack_name: String,
    /// The log stream of the environment that this runs in, where there is one.
    pub log_stream: Option<String>,
}

impl Config {
    /// Reads the variables that the template sets.
    ///
    /// # Errors
    ///
    /// [`SettingError`] names the variable that is missing or wrong.
    pub fn read<F: Fn(&str) -> Option<String>>(settings: &Settings<F>) -> Result<Self, SettingError> {
        Ok(Self {
            bucket: settings.required("BUCKET")?,
            output_prefix: settings.required("OUTPUT_PREFIX")?,
            source_bucket: settings.required("SOURCE_BUCKET")?,
            source_prefix: settings.required("SOURCE_PREFIX")?,
            source_role_arn: settings.required("SOURCE_ROLE_ARN")?,
            source_external_id: settings.optional("SOURCE_EXTERNAL_ID")?,
            destination_acl: settings.optional("DESTINATION_ACL")?,
            stack_name: settings.required("STACK_NAME")?,
            log_stream: settings.optional("AWS_LAMBDA_LOG_STREAM_NAME")?,
        })
    }

    /// How the publisher's role is assumed: to write below `output/`, and nothing else.
    pub fn role(&self) -> RoleConfig {
        RoleConfig {
            policy: role::writing(
                &self.source_role_arn,
                &self.source_bucket,
                &self.source_prefix.output(),
                self.destination_acl.is_some(),
            ),
            arn: self.source_role_arn.clone(),
            external_id: self.source_external_id.clone(),
            session_name: role::session_name("deliver", &self.stack_name, self.log_stream.as_deref()),
        }
    }
}
