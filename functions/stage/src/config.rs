//! What `stage` is told by its environment.

use role::RoleConfig;
use settings::{SettingError, Settings};
use table::ColumnTypes;
use window::{Bucket, SourcePrefix};

/// What `stage` is told by its environment.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our bucket.
    pub bucket: Bucket,
    /// The publisher's bucket.
    pub source_bucket: Bucket,
    /// The folder under whose `input/` announced files lie.
    pub source_prefix: SourcePrefix,
    /// The publisher's role.
    pub source_role_arn: String,
    /// The external id that the publisher's role wants, if it wants one.
    pub source_external_id: Option<String>,
    /// Columns whose type is not left to their values.
    pub column_types: ColumnTypes,
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
            source_bucket: settings.required("SOURCE_BUCKET")?,
            source_prefix: settings.required("SOURCE_PREFIX")?,
            source_role_arn: settings.required("SOURCE_ROLE_ARN")?,
            source_external_id: settings.optional("SOURCE_EXTERNAL_ID")?,
            column_types: settings.optional("COLUMN_TYPES")?.unwrap_or_default(),
            stack_name: settings.required("STACK_NAME")?,
            log_stream: settings.optional("AWS_LAMBDA_LOG_STREAM_NAME")?,
        })
    }

    /// How the publisher's role is assumed: to read below `input/`, and nothing else.
    pub fn role(&self) -> RoleConfig {
        RoleConfig {
            policy: role::reading(&self.source_role_arn, &self.source_bucket, &self.source_prefix.input()),
            arn: self.source_role_arn.clone(),
            external_id: self.source_external_id.clone(),
            session_name: role::session_name("stage", &self.stack_name, self.log_stream.as_deref()),
        }
    }
}
