//! What `merge` is told by its environment.

use settings::{SettingError, Settings};
use table::ColumnTypes;
use window::{Bucket, OutputPrefix};

/// What `merge` is told by its environment.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our bucket.
    pub bucket: Bucket,
    /// What the names of results begin with.
    pub output_prefix: OutputPrefix,
    /// Columns whose type is not left to their values.
    pub column_types: ColumnTypes,
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
            bucket: settings.required("BUCKET")?,
            output_prefix: settings.required("OUTPUT_PREFIX")?,
            column_types: settings.optional("COLUMN_TYPES")?.unwrap_or_default(),
            stack_name: settings.required("STACK_NAME")?,
        })
    }
}
