//! Why `start` fails.

use lambda_runtime::Diagnostic;
use window::Failure;
use window::name::NameError;

use crate::plan::Refused;

/// Files that are named one by one in an error's text; the others are counted.
const NAMED: usize = 20;
/// Bytes that each of them gets, so that the whole text stays within 4 KiB.
const BYTES_PER_NAME: usize = 180;

/// Why `start` fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The event or the message in it is not what was agreed upon.
    #[error("invalid message: {reason}")]
    InvalidMessage {
        /// What is wrong with it.
        reason: String,
    },
    /// The message names another bucket than the source's.
    #[error("the message names the bucket `{named}`, and this stack reads from `{expected}` only")]
    WrongBucket {
        /// The bucket, as the message has it.
        named: String,
        /// The source bucket.
        expected: String,
    },
    /// Some files were refused. All others were started.
    #[error("{}", refused_text(refused, *files))]
    RefusedFiles {
        /// The files, and why each was refused.
        refused: Vec<Refused>,
        /// How many files the message names.
        files: usize,
    },
    /// Step Functions did not take some executions. All others were started.
    #[error("{}", not_started_text(not_started, refused, *executions, *files))]
    ExecutionsNotStarted {
        /// Names of the executions, and what Step Functions answered.
        not_started: Vec<(String, String)>,
        /// How many executions the message gave.
        executions: usize,
        /// Files that were refused besides.
        refused: Vec<Refused>,
        /// How many files the message names.
        files: usize,
    },
}

impl Error {
    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self::InvalidMessage { reason: cut(&reason.into(), 2000) }
    }

    pub(crate) fn wrong_bucket(named: &str, expected: &window::Bucket) -> Self {
        Self::WrongBucket { named: cut(named, 200), expected: expected.to_string() }
    }

    pub(crate) fn not_a_bucket(error: &NameError) -> Self {
        Self::invalid(format!("`s3_bucket`: {error}"))
    }

    /// The name under which it is seen.
    pub fn failure(&self) -> Failure {
        match self {
            Self::InvalidMessage { .. } => Failure::InvalidMessage,
            Self::WrongBucket { .. } => Failure::WrongBucket,
            Self::RefusedFiles { .. } => Failure::RefusedFiles,
            Self::ExecutionsNotStarted { .. } => Failure::ExecutionsNotStarted,
        }
    }
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        Self { error_type: error.failure().to_string(), error_message: error.to_string() }
    }
}

fn refused_text(refused: &[Refused], files: usize) -> String {
    let heading = format!("{} of {files} files were refused, the others are on their way", refused.len());
    listed(&heading, refused.iter().map(|file| file.reason.clone()))
}

fn not_started_text(
    not_started: &[(String, String)],
    refused: &[Refused],
    executions: usize,
    files: usize,
) -> String {
    let besides = match refused.len() {
        0 => String::new(),
        refused => format!(", and {refused} of {files} files were refused"),
    };
    let heading = format!("{} of {executions} executions could not be started{besides}", not_started.len());
    let failures = not_started.iter().map(|(name, reason)| format!("`{name}`: {reason}"));
    listed(&heading, failures.chain(refused.iter().map(|file| file.reason.clone())))
}

fn listed(heading: &str, lines: impl Iterator<Item = String>) -> String {
    let lines: Vec<String> = lines.collect();
    let named: Vec<String> = lines.iter().take(NAMED).map(|line| cut(line, BYTES_PER_NAME)).collect();
    let more = lines.len().saturating_sub(NAMED);
    let rest = if more == 0 { String::new() } else { format!("; and {more} more") };
    format!("{heading}: {}{rest}", named.join("; "))
}

/// `text`, or as many whole characters of its beginning and (a third) its end as fit into `bytes`: a name comes first, and
/// what is wrong with it last.
fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    // `…` has three bytes.
    let (room, of_end) = (bytes.saturating_sub(3), bytes / 3);
    let begin = text.floor_char_boundary(room.saturating_sub(of_end));
    let end = text.ceil_char_boundary(text.len() - of_end);
    format!("{}…{}", &text[..begin], &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_twenty_files_counts_the_rest_and_stays_within_4_kib() {
        let refused: Vec<Refused> = (0..300)
            .map(|index| Refused { reason: format!("`{index}-{}`: no time", "ü".repeat(500)) })
            .collect();
        let text = Error::RefusedFiles { refused, files: 400 }.to_string();
        assert!(
            text.starts_with("300 of 400 files were refused, the others are on their way: `0-üü"),
            "{text}"
        );
        assert!(text.contains("`19-") && !text.contains("`20-"), "{text}");
        assert!(text.ends_with("and 280 more"), "{text}");
        assert!(text.len() <= 4096, "{} bytes", text.len());
    }

    #[test]
    fn however_long_a_name_is_the_reason_is_told() {
        let reason = format!("`{}` is not a key: it is longer than 1,023 bytes", "ü".repeat(5000));
        let text = Error::RefusedFiles { refused: vec![Refused { reason }], files: 1 }.to_string();
        assert!(
            text.contains(": `üü") && text.contains("üü` is not a key: it is longer than 1,023 bytes"),
            "{text}"
        );
    }
}
