//! The rows of a file that could not be read, and why.

use std::collections::BTreeMap;

use aws_sdk_s3::error::ProvideErrorMetadata;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt};
use window::lineage::{Input, REJECTED_ETAG_METADATA};
use window::{ETag, Window};

use crate::Aws;
use crate::aws::Error;

/// Rows of a file that are shown.
const SHOWN: usize = 3;

/// Why rows of a file were rejected.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Rejected {
    /// How many, by code.
    pub(super) by_code: BTreeMap<String, u64>,
    /// The first of them.
    pub(super) first: Vec<Row>,
}

/// A line of `rejected/…jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) line: u64,
    pub(super) byte_offset: u64,
    pub(super) code: String,
    pub(super) message: String,
    /// As it stood in the file; only who asks for it is shown it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) raw: Option<String>,
}

/// Those of the version of the file that is in the window's object; an error says why nothing can be told of them.
pub(super) async fn read(
    aws: &Aws,
    bucket: &str,
    window: &Window,
    input: &Input,
    with_raw: bool,
) -> Result<Rejected, Error> {
    let key = input.fragment.rejected_key(window);
    let answer = match aws.s3().get_object().bucket(bucket).key(key.as_str()).send().await {
        Ok(answer) => answer,
        Err(error) if error.code() == Some("NoSuchKey") => {
            return Err(Error::Other(format!("`{key}` is no longer kept")));
        }
        Err(error) => return Err(aws.failed("s3:GetObject", &error)),
    };
    let etag = answer.metadata().and_then(|all| all.get(REJECTED_ETAG_METADATA));
    if etag.map(|etag| ETag::from(etag.as_str())).as_ref() != Some(&input.source.etag) {
        return Err(Error::Other(format!("`{key}` is of another version of the file")));
    }
    let rows = gathered(answer.body.into_async_read(), with_raw).await;
    rows.map_err(|error| Error::Other(format!("`{key}` cannot be read: {error}")))
}

async fn gathered(mut lines: impl AsyncBufRead + Unpin, with_raw: bool) -> std::io::Result<Rejected> {
    let mut rejected = Rejected::default();
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).await? > 0 {
        let mut row: Row = serde_json::from_slice(&line)?;
        *rejected.by_code.entry(row.code.clone()).or_default() += 1;
        if rejected.first.len() < SHOWN {
            row.raw = row.raw.filter(|_| with_raw);
            rejected.first.push(row);
        }
        line.clear();
    }
    Ok(rejected)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = concat!(
        r#"{"line":4,"byte_offset":12,"code":"TooFewFields","message":"1 fields","raw":"3"}"#,
        "\n",
        r#"{"line":5,"byte_offset":15,"code":"TooManyFields","message":"3 fields","raw":"4,5,6"}"#,
        "\n",
        r#"{"line":6,"byte_offset":21,"code":"TooFewFields","message":"1 fields","raw":"7"}"#,
        "\n",
        r#"{"line":7,"byte_offset":23,"code":"TooFewFields","message":"1 fields","raw":"8"}"#,
        "\n",
    );

    fn of(text: &str, with_raw: bool) -> std::io::Result<Rejected> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        runtime.block_on(gathered(text.as_bytes(), with_raw))
    }

    #[test]
    fn all_are_counted_the_first_are_shown_and_their_text_only_when_asked_for() {
        let rejected = of(LINES, false).unwrap();
        let counts = [("TooFewFields".to_owned(), 3), ("TooManyFields".to_owned(), 1)];
        assert_eq!(rejected.by_code, BTreeMap::from(counts));
        assert_eq!(rejected.first.iter().map(|row| row.line).collect::<Vec<_>>(), [4, 5, 6]);
        assert!(rejected.first.iter().all(|row| row.raw.is_none()));
        assert_eq!(of(LINES, true).unwrap().first[1].raw.as_deref(), Some("4,5,6"));
    }

    #[test]
    fn what_is_no_such_line_is_an_error_and_nothing_is_nothing() {
        assert!(of("{\"line\":", false).is_err());
        assert_eq!(of("", false).unwrap(), Rejected::default());
    }
}
