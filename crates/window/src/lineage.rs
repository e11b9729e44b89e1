//! What a window's object is made of.

use std::fmt::Write;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::name::{self, ETag, FragmentId, ObjectKey};

/// Key of the Parquet metadata that holds the window, a [`Window`](crate::Window) as JSON.
pub const WINDOW_KEY: &str = "windrow.window";
/// Key of the Parquet metadata of an output that holds its inputs, an array of [`Input`] in row order.
pub const LINEAGE_KEY: &str = "windrow.lineage";
/// Key of the Parquet metadata of a fragment that holds its [`Source`].
pub const SOURCE_KEY: &str = "windrow.source";
/// Name of the object's metadata (after `x-amz-meta-`) that holds the [`digest`] of its inputs.
pub const DIGEST_METADATA: &str = "windrow-inputs";
/// Name of a delivered object's metadata that holds the ETag of the object it is a copy of.
pub const DELIVERED_ETAG_METADATA: &str = "windrow-etag";
/// Name of the metadata of an object of rejected rows that holds the source's ETag: it counts only while the lineage has
/// that version.
pub const REJECTED_ETAG_METADATA: &str = "windrow-source-etag";

/// Raised whenever equal inputs would give other bytes than before.
const FORMAT_VERSION: u32 = 1;

/// What a fragment was read from, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The source object, without leading slash.
    pub key: ObjectKey,
    /// The version of it that was read.
    pub etag: ETag,
    /// The time that its name stands for.
    pub time: Timestamp,
    /// How many rows it gave.
    pub rows: u64,
    /// How many of its rows could not be read; they lie under `rejected/`.
    pub rejected_rows: u64,
    /// Its size, in bytes, as it lies in the source bucket.
    pub bytes: u64,
    /// The encoding that it was read in.
    pub encoding: String,
    /// What separates its fields.
    pub delimiter: String,
}

/// A fragment's [`Source`], and which fragment it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// What the fragment was read from.
    #[serde(flatten)]
    pub source: Source,
    /// The fragment.
    pub fragment: FragmentId,
    /// The version of the fragment that was merged.
    pub fragment_etag: ETag,
}

/// SHA-256, in hex, over everything that an output's bytes follow from: the format's version, the pinned column types
/// (in canonical form), and which version of each fragment went in, in any order.
pub fn digest<'a>(
    column_types: &str,
    inputs: impl IntoIterator<Item = (&'a FragmentId, &'a ETag)>,
) -> String {
    let mut inputs: Vec<_> = inputs.into_iter().collect();
    inputs.sort_unstable();
    let mut text = format!("windrow {FORMAT_VERSION}\n{column_types}\n");
    for (fragment, etag) in inputs {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{fragment} {etag}");
    }
    name::full_sha256(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_knows_versions_and_types_but_no_order() {
        let (one, two): (FragmentId, FragmentId) =
            ("1".repeat(32).parse().unwrap(), "2".repeat(32).parse().unwrap());
        let (a, b) = (ETag::from("a"), ETag::from("b"));
        let digest_of_both = digest("", [(&one, &a), (&two, &b)]);
        assert_eq!(digest_of_both, digest("", [(&two, &b), (&one, &a)]));
        assert_ne!(digest_of_both, digest("", [(&one, &b), (&two, &b)]));
        assert_ne!(digest_of_both, digest("", [(&one, &a)]));
        assert_ne!(digest_of_both, digest("id=string", [(&one, &a), (&two, &b)]));
    }

    #[test]
    fn an_input_is_one_flat_object() {
        let json = r#"{"key":"p/input/a.csv","etag":"e","time":"2021-01-01T18:01:31Z","rows":3,"rejected_rows":1,"bytes":99,"encoding":"utf-8","delimiter":",","fragment":"11111111111111111111111111111111","fragment_etag":"f"}"#;
        let input: Input = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&input).unwrap(), json);
    }
}
