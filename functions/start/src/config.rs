//! What `start` is told by its environment.

use jiff::SignedDuration;
use jiff::tz::Offset;
use settings::{SettingError, Settings};
use window::{Bucket, SourcePrefix, WindowLength, file_time};

/// What `start` is told by its environment.
#[derive(Debug, Clone)]
pub struct Config {
    /// The state machine whose executions are started.
    pub state_machine_arn: String,
    /// The only bucket that a message may name.
    pub source_bucket: Bucket,
    /// The folder under whose `input/` announced files lie.
    pub source_prefix: SourcePrefix,
    /// How long windows are.
    pub window_length: WindowLength,
    /// How long a window waits for files after its end, in seconds.
    pub grace_seconds: u32,
    /// The offset from UTC of a file's time that has none.
    pub default_offset: Offset,
    /// How far a file's time may lie ahead of the message that announces it.
    pub max_future: SignedDuration,
    /// The stack, by which its metrics are told from another's.
    pub stack_name: String,
}

impl Config {
    /// Reads the variables that the template sets.
    ///
    /// # Errors
    ///
    /// [`SettingError`] names the variable that is missing or wrong.
    pub fn read<F: Fn(&str) -> Option<String>>(settings: &Settings<F>) -> Result<Self, SettingError> {
        Ok(Self {
            state_machine_arn: settings.required("STATE_MACHINE_ARN")?,
            source_bucket: settings.required("SOURCE_BUCKET")?,
            source_prefix: settings.required("SOURCE_PREFIX")?,
            window_length: settings.required("WINDOW_MINUTES")?,
            grace_seconds: settings.required("GRACE_SECONDS")?,
            default_offset: settings.required_as("DEFAULT_OFFSET", file_time::parse_offset)?,
            max_future: SignedDuration::from_mins(settings.required::<u32>("MAX_FUTURE_MINUTES")?.into()),
            stack_name: settings.required("STACK_NAME")?,
        })
    }
}
