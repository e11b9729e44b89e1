//! Rows that could not be read.

use std::io::{self, Write};

use serde::Serialize;

use crate::records::Place;

/// Why a row was rejected; the name is part of the contract.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub enum RejectedCode {
    /// Fewer fields than the header.
    TooFewFields,
    /// More fields than the header.
    TooManyFields,
    /// A value that its column's pinned type does not hold.
    TypeMismatch,
    /// A quote opens and is not closed.
    UnclosedQuote,
    /// Longer than is read at once; the raw text is its start.
    RecordTooLong,
}

/// A rejected row without its place and text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Rejection {
    pub(crate) code: RejectedCode,
    pub(crate) message: String,
}

#[derive(Serialize)]
struct RejectedRow<'a> {
    line: u64,
    byte_offset: u64,
    code: RejectedCode,
    message: &'a str,
    raw: &'a str,
}

/// Writes a rejected row as a line of JSON.
pub(crate) fn write(out: &mut impl Write, place: Place, rejection: &Rejection, raw: &[u8]) -> io::Result<()> {
    let raw = String::from_utf8_lossy(raw);
    let row = RejectedRow {
        line: place.line,
        byte_offset: place.byte_offset,
        code: rejection.code,
        message: &rejection.message,
        raw: &raw,
    };
    serde_json::to_writer(&mut *out, &row)?;
    out.write_all(b"\n")
}
