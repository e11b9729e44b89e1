//! Buckets, keys and ids, and where each object lies.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::window::Window;

/// The longest key that S3 takes, in bytes.
const LONGEST_KEY: usize = 1024;

/// Lower-case hex of the SHA-256 of `bytes`, its first 32 digits.
pub(crate) fn short_sha256(bytes: &[u8]) -> String {
    let mut hex = full_sha256(bytes);
    hex.truncate(32);
    hex
}

/// Lower-case hex of the SHA-256 of `bytes`.
pub(crate) fn full_sha256(bytes: &[u8]) -> String {
    use fmt::Write;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Why a text is not the name of a thing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: {reason}")]
pub struct NameError {
    text: String,
    what: &'static str,
    reason: &'static str,
}

impl NameError {
    fn new(text: &str, what: &'static str, reason: &'static str) -> Self {
        Self { text: text.to_owned(), what, reason }
    }
}

/// Text-like newtypes: how each is shown, borrowed and written as JSON.
macro_rules! text {
    ($name:ident) => {
        impl $name {
            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }
    };
}

/// A bucket's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bucket(String);
text!(Bucket);

impl FromStr for Bucket {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let good =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
        if (3..=63).contains(&text.len()) && text.bytes().all(good) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::new(text, "a bucket", "expected 3 to 63 of a-z, 0-9, `-` and `.`"))
        }
    }
}

impl Bucket {
    /// Reads a bucket's ARN (of any partition), or its bare name.
    ///
    /// # Errors
    ///
    /// [`NameError`] for anything else, the ARN of an object among them.
    pub fn from_arn_or_name(text: &str) -> Result<Self, NameError> {
        let name = match text.strip_prefix("arn:") {
            None => text,
            Some(rest) => rest
                .split_once(":s3:::")
                .filter(|(partition, _)| partition.starts_with("aws") && !partition.contains(':'))
                .map(|(_, name)| name)
                .ok_or_else(|| {
                    NameError::new(text, "a bucket", "expected `arn:<partition>:s3:::<bucket>`")
                })?,
        };
        name.parse().map_err(|error: NameError| NameError::new(text, error.what, error.reason))
    }
}

/// An object's key, without the leading slash that a message puts between bucket and key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectKey(pub(crate) String);
text!(ObjectKey);

impl FromStr for ObjectKey {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refuse = |reason| Err(NameError::new(text, "a key", reason));
        match text.len() {
            0 => refuse("it is empty"),
            // With a slash before it (see `with_leading_slash`) it must still be a key.
            LONGEST_KEY.. => refuse("it is longer than 1,023 bytes"),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

impl ObjectKey {
    /// The same key with the slash before it: S3 keeps leading slashes, so an object may really be called so.
    #[must_use]
    pub fn with_leading_slash(&self) -> Self {
        Self(format!("/{}", self.0))
    }

    /// What stands after the last slash.
    pub fn base_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

/// An object's ETag, without quotes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct ETag(String);

impl ETag {
    /// As text, without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As it stands in HTTP headers, with quotes.
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

impl From<&str> for ETag {
    fn from(text: &str) -> Self {
        Self(text.trim_matches('"').to_owned())
    }
}

impl From<String> for ETag {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<ETag> for String {
    fn from(etag: ETag) -> Self {
        etag.0
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Which source object a fragment was read from: 32 hex digits of the SHA-256 of `bucket/key`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FragmentId(String);
text!(FragmentId);

impl FragmentId {
    /// The id of the fragment of `bucket/key`.
    pub fn of(bucket: &Bucket, key: &ObjectKey) -> Self {
        Self(short_sha256(format!("{bucket}/{key}").as_bytes()))
    }

    /// Where its rows are staged.
    pub fn staging_key(&self, window: &Window) -> ObjectKey {
        ObjectKey(format!("{}{self}{FRAGMENT_ENDING}", staging_prefix(window)))
    }

    /// Where its rows that could not be read are kept.
    pub fn rejected_key(&self, window: &Window) -> ObjectKey {
        ObjectKey(format!("rejected/{window}/{self}.jsonl"))
    }

    /// The id of the fragment that is staged at `key`; `None` if that is no fragment's place.
    pub fn from_staging_key(window: &Window, key: &ObjectKey) -> Option<Self> {
        key.as_str().strip_prefix(&staging_prefix(window))?.strip_suffix(FRAGMENT_ENDING)?.parse().ok()
    }
}

impl FromStr for FragmentId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::new(text, "a fragment id", "expected 32 hex digits in lower case"))
        }
    }
}

const FRAGMENT_ENDING: &str = ".parquet";

/// Under which all fragments of `window`, and nothing else, are staged.
pub fn staging_prefix(window: &Window) -> String {
    format!("staging/{window}/")
}

/// What the names of results begin with: what the publisher's account may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputPrefix(String);
text!(OutputPrefix);

impl FromStr for OutputPrefix {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if (1..=64).contains(&text.len()) && text.bytes().all(good) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::new(
                text,
                "a prefix of results",
                "expected 1 to 64 of A-Z, a-z, 0-9, `-`, `_` and `.`",
            ))
        }
    }
}

impl OutputPrefix {
    /// Where the result of `window` lies in our bucket.
    pub fn output_key(&self, window: &Window) -> ObjectKey {
        ObjectKey(format!("output/{self}{window}.parquet"))
    }

    /// Whether `key` has the form of a result's key in our bucket.
    pub fn is_output(&self, key: &ObjectKey) -> bool {
        self.window_id(key).is_some()
    }

    /// What stands in the place of the window's id, where `key` has the form of a result's key in our bucket.
    pub fn window_id<'a>(&self, key: &'a ObjectKey) -> Option<&'a str> {
        key.as_str()
            .strip_prefix("output/")
            .and_then(|name| name.strip_prefix(self.as_str()))
            .and_then(|name| name.strip_suffix(".parquet"))
            .filter(|window| !window.is_empty() && !window.contains('/'))
    }
}

/// The folder of the source bucket under which the publisher keeps `input/`, and takes `output/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePrefix(String);
text!(SourcePrefix);

impl FromStr for SourcePrefix {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refuse = |reason| Err(NameError::new(text, "a source prefix", reason));
        if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return refuse("expected folders joined by `/`, without one before, after or doubled");
        }
        // These are wild cards in IAM policies.
        if text.contains(['*', '?', '$']) {
            return refuse("`*`, `?` and `$` are not taken");
        }
        Ok(Self(text.to_owned()))
    }
}

impl SourcePrefix {
    /// Where announced files lie, with the slash at the end.
    pub fn input(&self) -> String {
        format!("{self}/input/")
    }

    /// Where results are delivered to, with the slash at the end.
    pub fn output(&self) -> String {
        format!("{self}/output/")
    }

    /// Where the result at `key` of our bucket is delivered to in the source bucket.
    pub fn destination_key(&self, key: &ObjectKey) -> ObjectKey {
        ObjectKey(format!("{}{}", self.output(), key.base_name()))
    }

    /// The key that a message means by `announced`: without the one slash that separates it from the bucket.
    ///
    /// # Errors
    ///
    /// [`NameError`] when the key is none, does not lie under `<prefix>/input/`, or holds a `.` or `..` segment, which
    /// something on the way might resolve.
    pub fn key_of(&self, announced: &str) -> Result<ObjectKey, NameError> {
        let key: ObjectKey = announced.strip_prefix('/').unwrap_or(announced).parse()?;
        let refuse = |reason| Err(NameError::new(announced, "a key of the source", reason));
        match key.as_str().strip_prefix(&self.input()) {
            None => refuse("it does not lie under the source prefix's `input/`"),
            Some("") => refuse("it names a folder"),
            Some(rest) if rest.split('/').any(|part| matches!(part, "." | "..")) => {
                refuse("it holds a `.` or `..` segment")
            }
            Some(_) => Ok(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::WindowLength;
    use proptest::prelude::*;

    fn prefix() -> SourcePrefix {
        "infra-eng/x".parse().unwrap()
    }

    fn window() -> Window {
        Window::of("2021-01-01T18:01:31Z".parse().unwrap(), WindowLength::from_minutes(5).unwrap()).unwrap()
    }

    #[test]
    fn a_bucket_is_named_by_arn_or_by_name() {
        for text in [
            "arn:aws:s3:::macroscope-interviews",
            "arn:aws-us-gov:s3:::macroscope-interviews",
            "macroscope-interviews",
        ] {
            assert_eq!(Bucket::from_arn_or_name(text).unwrap().as_str(), "macroscope-interviews", "{text}");
        }
        for text in [
            "",
            "ab",
            "Bucket",
            "arn:aws:s3:::",
            "arn:aws:s3:::bucket/key",
            "arn:aws:s3:us-east-1::bucket",
            "arn:aws:sqs:::bucket",
            "arn:s3:::bucket",
            "arn:evil:s3:::bucket",
            "arn:aws:x:s3:::bucket",
            "bucket name",
            "arn:aws:s3:us-east-1:111122223333:accesspoint/bucket",
            "arn:aws:s3::111122223333:accesspoint/bucket.mrap",
            "arn:aws:s3-object-lambda:us-east-1:111122223333:accesspoint/bucket",
            "arn:aws:s3:::*",
            "arn:aws:s3:::bucket/",
            "arn:aws:s3:::bucket:x",
            "arn:aws:s3:::arn:aws:s3:::bucket",
            "ARN:aws:s3:::bucket",
            "s3://bucket",
            "bucket/../other",
            "bucket.s3.amazonaws.com/other",
            "buck\u{435}t",
            "bucket\0",
            "bucket\n",
            " bucket",
        ] {
            assert!(Bucket::from_arn_or_name(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_message_can_name_keys_under_input_only() {
        for (announced, key) in [
            ("/infra-eng/x/input/a.csv", "infra-eng/x/input/a.csv"),
            ("infra-eng/x/input/a.csv", "infra-eng/x/input/a.csv"),
            ("/infra-eng/x/input/deep/a.csv", "infra-eng/x/input/deep/a.csv"),
            // Keys are literal: none of these is anything to S3 but a name below `input/`.
            ("/infra-eng/x/input/a%2F..%2Fb.csv", "infra-eng/x/input/a%2F..%2Fb.csv"),
            ("/infra-eng/x/input/%2e%2e%2foutput/b.csv", "infra-eng/x/input/%2e%2e%2foutput/b.csv"),
            ("/infra-eng/x/input//a.csv", "infra-eng/x/input//a.csv"),
            ("/infra-eng/x/input/..\\..\\output\\a.csv", "infra-eng/x/input/..\\..\\output\\a.csv"),
            ("/infra-eng/x/input/.../a.csv", "infra-eng/x/input/.../a.csv"),
            ("/infra-eng/x/input/a?versionId=1#b.csv", "infra-eng/x/input/a?versionId=1#b.csv"),
            (
                "/infra-eng/x/input/\u{ff0e}\u{ff0e}\u{ff0f}a.csv",
                "infra-eng/x/input/\u{ff0e}\u{ff0e}\u{ff0f}a.csv",
            ),
            ("/infra-eng/x/input/.\u{200b}./a.csv", "infra-eng/x/input/.\u{200b}./a.csv"),
            ("/infra-eng/x/input/\u{202e}vsc.a", "infra-eng/x/input/\u{202e}vsc.a"),
            ("/infra-eng/x/input/\0/\r\n.csv", "infra-eng/x/input/\0/\r\n.csv"),
        ] {
            assert_eq!(prefix().key_of(announced).unwrap().as_str(), key, "{announced}");
        }
        for announced in [
            "",
            "/",
            "/infra-eng/x/input/",
            "//infra-eng/x/input/a.csv",
            "/infra-eng/x/output/a.csv",
            "/infra-eng/y/input/a.csv",
            "/infra-eng/x/inputs/a.csv",
            "/infra-eng/x/input/../output/a.csv",
            "/infra-eng/x/input/./a.csv",
            "/infra-eng/x/input/..",
            "/infra-eng/x/input/../input/a.csv",
            "/infra-eng/x/input/a/..",
            "/infra-eng/x/input/a/../../../../b/a.csv",
            "/infra-eng/x/./input/a.csv",
            "/infra-eng/y/../x/input/a.csv",
            "../infra-eng/x/input/a.csv",
            "/infra-eng/x/input",
            "/infra-eng/x/inputx/a.csv",
            "/infra-eng/x-evil/input/a.csv",
            "/infra-eng/x/input%2Fa.csv",
            "/infra-eng/x%2Finput/a.csv",
            "/infra-eng/x\\input\\a.csv",
            "/infra-eng\u{ff0f}x/input/a.csv",
            "/infra-eng/x/input\u{2215}a.csv",
            "/infra-eng/x\u{200b}/input/a.csv",
            "/infra-\u{435}ng/x/input/a.csv",
            "/\0/infra-eng/x/input/a.csv",
            " /infra-eng/x/input/a.csv",
            "\u{feff}/infra-eng/x/input/a.csv",
            "/Infra-eng/x/input/a.csv",
            "/infra-eng/x/Input/a.csv",
            "/infra-eng//x/input/a.csv",
            "///infra-eng/x/input/a.csv",
            "s3://b/infra-eng/x/input/a.csv",
            "arn:aws:s3:::b/infra-eng/x/input/a.csv",
            "https://b.s3.amazonaws.com/infra-eng/x/input/a.csv",
        ] {
            assert!(prefix().key_of(announced).is_err(), "{announced}");
        }
    }

    #[test]
    fn a_key_is_counted_in_bytes_with_room_for_a_leading_slash() {
        let of_bytes = |bytes: usize| format!("infra-eng/x/input/{}", "ü".repeat((bytes - 18) / 2));
        for (key, is_good) in [(of_bytes(1022), true), (of_bytes(1024), false), (of_bytes(20_000), false)] {
            assert_eq!(prefix().key_of(&key).is_ok(), is_good, "{} bytes", key.len());
            assert_eq!(prefix().key_of(&format!("/{key}")).is_ok(), is_good, "{} bytes", key.len());
        }
    }

    proptest! {
        /// However a key is put together, what is let through lies below `input/`, as it stands and once resolved.
        #[test]
        fn no_key_leads_out_of_input(
            segments in proptest::collection::vec(
                prop_oneof![
                    Just(""), Just("."), Just(".."), Just("..."), Just("infra-eng"), Just("x"), Just("input"), Just("output"),
                    Just("..\\"), Just("%2e%2e"), Just("..%2f"), Just("\0"), Just("\u{ff0e}\u{ff0e}"), Just("a.csv"),
                ],
                0..10,
            ),
            under_input in any::<bool>(),
        ) {
            let announced = format!("{}{}", if under_input { "/infra-eng/x/input/" } else { "" }, segments.join("/"));
            if let Ok(key) = prefix().key_of(&announced) {
                prop_assert_eq!(key.as_str(), announced.strip_prefix('/').unwrap_or(&announced));
                let mut resolved = Vec::new();
                for segment in key.as_str().split('/') {
                    match segment {
                        "." => {}
                        ".." => { resolved.pop(); }
                        segment => resolved.push(segment),
                    }
                }
                prop_assert!(resolved.join("/").starts_with("infra-eng/x/input/"), "{}", key);
            }
        }
    }

    #[test]
    fn a_source_prefix_can_widen_no_policy() {
        for text in ["", "/a", "a/", "a//b", "a/../b", "a/*", "a?", "a/${x}"] {
            assert!(text.parse::<SourcePrefix>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_object_has_its_place() {
        let key: ObjectKey = "infra-eng/x/input/a.csv".parse().unwrap();
        let fragment = FragmentId::of(&"macroscope-interviews".parse().unwrap(), &key);
        // printf %s macroscope-interviews/infra-eng/x/input/a.csv | sha256sum | cut -c1-32
        assert_eq!(fragment.as_str(), "32894a24779887c39c8df0fe89eb7166");
        let staged = fragment.staging_key(&window());
        assert_eq!(staged.as_str(), format!("staging/20210101T180000Z/{fragment}.parquet"));
        assert_eq!(FragmentId::from_staging_key(&window(), &staged), Some(fragment.clone()));
        assert_eq!(
            fragment.rejected_key(&window()).as_str(),
            format!("rejected/20210101T180000Z/{fragment}.jsonl")
        );
        let output = "ms-".parse::<OutputPrefix>().unwrap().output_key(&window());
        assert_eq!(output.as_str(), "output/ms-20210101T180000Z.parquet");
        assert_eq!(
            prefix().destination_key(&output).as_str(),
            "infra-eng/x/output/ms-20210101T180000Z.parquet"
        );
    }

    #[test]
    fn results_are_told_from_what_else_lies_in_the_bucket() {
        let results: OutputPrefix = "ms-".parse().unwrap();
        for (key, expected) in [
            ("output/ms-20210101T180000Z.parquet", true),
            ("output/ms-.parquet", false),
            ("output/other.parquet", false),
            ("output/ms-20210101T180000Z.csv", false),
            ("output/ms-a/b.parquet", false),
            ("staging/20210101T180000Z/ms-1.parquet", false),
        ] {
            assert_eq!(results.is_output(&key.parse().unwrap()), expected, "{key}");
        }
    }

    #[test]
    fn an_etag_is_the_same_with_and_without_quotes() {
        assert_eq!(ETag::from("\"abc\""), ETag::from("abc"));
        assert_eq!(ETag::from("abc").quoted(), "\"abc\"");
    }
}
