//! What a fragment says about its columns beside Parquet's own schema.
//!
//! A fragment is a Parquet file: first the columns of the CSV, each with the first type that holds it; then, for
//! each of these in which some text is not what its type renders, a column with that text, null elsewhere. So the
//! texts survive until the whole window's types are known.

use parquet::errors::ParquetError;
use serde::{Deserialize, Serialize};

use crate::style::Style;
use crate::types::{Type, TypeSet};

/// The key of the metadata that describes a fragment's columns.
pub const COLUMNS_KEY: &str = "windrow.columns";

/// Raised when an older build cannot read what this one writes.
const VERSION: u32 = 2;
/// The oldest that is still read: it knew no styles.
const OLDEST_VERSION: u32 = 1;

/// A column of a fragment.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct FragmentColumn {
    pub(crate) name: String,
    /// Its place in the file.
    pub(crate) index: usize,
    #[serde(rename = "type")]
    pub(crate) kind: Type,
    /// The types that hold all its values; every type where it has none, and so no vote.
    pub(crate) fits: TypeSet,
    /// How its texts are spelled, but for those that are kept.
    #[serde(default, skip_serializing_if = "Style::is_canonical")]
    pub(crate) style: Style,
    /// The place of the column of its texts, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<usize>,
}

/// What the column of a column's texts is called; only a person who looks at a fragment sees it.
pub(crate) fn text_column(name: &str) -> String {
    format!("{name} (text)")
}

#[derive(Deserialize, Serialize)]
struct Described {
    version: u32,
    columns: Vec<FragmentColumn>,
}

/// The pair of metadata that describes these columns.
pub(crate) fn describe(columns: &[FragmentColumn]) -> Result<(String, String), ParquetError> {
    let json = serde_json::to_string(&Described { version: VERSION, columns: columns.to_vec() });
    Ok((COLUMNS_KEY.to_owned(), json.map_err(|error| ParquetError::External(Box::new(error)))?))
}

/// Reads the metadata's value.
pub(crate) fn from_json(json: &str) -> Result<Vec<FragmentColumn>, String> {
    let described: Described = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let Described { version, columns } = described;
    if !(OLDEST_VERSION..=VERSION).contains(&version) {
        return Err(format!(
            "version {version} of its columns is not known, only {OLDEST_VERSION} to {VERSION}"
        ));
    }
    Ok(columns)
}
