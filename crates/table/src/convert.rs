//! One CSV to one fragment.

use std::io::{self, Read, Seek, Write};

use parquet::errors::ParquetError;

use crate::decode::{self, DecodeError, Text};
use crate::fragment::{self, FragmentColumn};
use crate::notcsv;
use crate::records::{self, Found, Records};
use crate::rejected::{self, RejectedCode, Rejection};
use crate::sheet::{BATCH_TEXT_BYTES, Builder, Sheet};
use crate::types::{ColumnTypes, Pin, Type, TypeSet};
use crate::value::{self, Fit};

/// Records by which a file is judged to be a CSV.
const JUDGED_RECORDS: u64 = 1_000;
/// Characters of a value that a message quotes.
const QUOTED_CHARS: usize = 100;

/// What a CSV was found to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Summary {
    /// Rows written.
    pub rows: u64,
    /// Rows rejected.
    pub rejected_rows: u64,
    /// `utf-8`, `utf-16le`, `utf-16be` or `windows-1252`.
    pub encoding: &'static str,
    /// What parts fields: `,`, `;`, tab or `|`.
    pub delimiter: char,
    /// Its columns, in their order; none for an empty file.
    pub columns: Vec<Column>,
}

/// A column's name and type.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Column {
    /// As in the header, trimmed; generated where it was empty or repeated.
    pub name: String,
    /// Its type.
    pub kind: Type,
}

/// Why a CSV was not converted.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// It is none: binary, markup, damaged, or more than half of its first 1,000 records cannot be read.
    #[error("not a CSV: {evidence}")]
    NotCsv {
        /// The first evidence, with its place.
        evidence: String,
    },
    /// The input changed between its two readings.
    #[error("the input changed while it was read")]
    Changed,
    /// Reading the input failed.
    #[error("cannot read the input")]
    Read(#[source] io::Error),
    /// Writing the fragment failed.
    #[error("cannot write the fragment")]
    Write(#[source] ParquetError),
    /// Writing the rejected rows failed.
    #[error("cannot write the rejected rows")]
    Rejected(#[source] io::Error),
}

/// Converts a CSV to a fragment, and its rejected rows to lines of JSON.
///
/// The input is read from its start, and then once more: first to find each column's type, then to write. Memory does
/// not grow with it. `metadata` is called at the end, for what shall stand in the fragment's key-value metadata.
/// Equal inputs and `types` (and metadata) give equal bytes.
///
/// An empty input gives a fragment without columns, a header alone one without rows.
///
/// # Errors
///
/// [`ConvertError::NotCsv`] where the input is no CSV; this is for good. The others where reading or writing failed,
/// or the input did not stay the same. What was written by then is to be thrown away.
pub fn convert<I, O, J>(
    mut input: I,
    types: &ColumnTypes,
    metadata: impl FnOnce(&Summary) -> Vec<(String, String)>,
    output: O,
    mut rejected: J,
) -> Result<Summary, ConvertError>
where
    I: Read + Seek,
    O: Write + Send,
    J: Write,
{
    let survey = match Survey::of(&mut input, types, false) {
        Err(Stop::NotUtf8) => Survey::of(&mut input, types, true),
        other => other,
    }?;
    let summary = survey.write(&mut input, metadata, output, &mut rejected)?;
    rejected.flush().map_err(ConvertError::Rejected)?;
    Ok(summary)
}

/// Why a reading ended early.
enum Stop {
    /// It has to be done over, as Windows-1252.
    NotUtf8,
    Failed(ConvertError),
}

impl From<Stop> for ConvertError {
    fn from(stop: Stop) -> Self {
        match stop {
            // Windows-1252 is never not UTF-8, and a second reading meets what the first let through.
            Stop::NotUtf8 => Self::Changed,
            Stop::Failed(error) => error,
        }
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        match DecodeError::from(error) {
            DecodeError::NotUtf8 => Self::NotUtf8,
            DecodeError::Input(error) => Self::Failed(ConvertError::Read(error)),
            DecodeError::Damaged(evidence) => Self::Failed(ConvertError::NotCsv { evidence }),
        }
    }
}

/// What the first reading found.
struct Survey {
    legacy: bool,
    encoding: &'static str,
    delimiter: u8,
    columns: Vec<Votes>,
    rows: u64,
    rejected: u64,
}

/// What is known of a column's type.
struct Votes {
    name: String,
    pin: Option<Pin>,
    /// The types that hold all values so far.
    types: TypeSet,
    /// The types that would render some value otherwise than it stood.
    odd: TypeSet,
    /// Whether a null word was seen.
    words: bool,
}

impl Votes {
    fn new(name: String, types: &ColumnTypes) -> Self {
        let pin = types.get(&name);
        // Text is in every set, so that it says nothing: only a null word makes a column of texts odd.
        Self { name, pin, types: TypeSet::ALL, odd: TypeSet::TEXT, words: false }
    }

    /// The pin, where it is one that a value can fail.
    fn strict_pin(&self) -> Option<Pin> {
        self.pin.filter(|pin| *pin != Pin::String)
    }

    fn is_null(&self, text: &[u8]) -> bool {
        text.is_empty() || (self.pin != Some(Pin::String) && value::is_null_word(text))
    }

    /// The type that a value has to have, if the column's pin leaves it none.
    fn mismatch(&self, text: &[u8]) -> Option<Pin> {
        let pin = self.strict_pin()?;
        let among = self.types.and(pin.types());
        (!self.is_null(text) && value::fit(text, among).types == TypeSet::TEXT).then_some(pin)
    }

    fn see(&mut self, text: &[u8]) {
        if self.is_null(text) {
            self.words |= !text.is_empty();
            return;
        }
        // Nothing is narrower than text.
        if self.types == TypeSet::TEXT {
            return;
        }
        let among = self.pin.map_or(self.types, |pin| self.types.and(pin.types()));
        let Fit { types, canonical } = value::fit(text, among);
        self.types = among.and(types);
        self.odd = self.odd.or(types.without(canonical));
    }

    fn kind(&self) -> Type {
        match self.pin {
            Some(pin) if !self.types.votes() => pin.default_type(),
            _ => self.types.first(),
        }
    }

    fn has_texts(&self) -> bool {
        let kind = self.kind();
        kind != Type::Text && (self.words || self.odd.has(kind))
    }
}

impl Survey {
    fn of<I: Read + Seek>(input: &mut I, types: &ColumnTypes, legacy: bool) -> Result<Self, Stop> {
        let text = decode::open(input, legacy)?;
        let encoding = text.encoding.name();
        let mut records = Records::new(text);
        let start = records.peek(notcsv::START_BYTES)?;
        let whole = start.len() < notcsv::START_BYTES;
        let start = &start[..start.len().min(notcsv::START_BYTES)];
        if let Some(evidence) = notcsv::evidence(start) {
            return Err(Stop::Failed(ConvertError::NotCsv { evidence }));
        }
        let delimiter = records::find_delimiter(start, whole);
        records.set_delimiter(delimiter);
        let names = header_names(&mut records)?;
        let columns = names.into_iter().map(|name| Votes::new(name, types)).collect();
        let mut survey = Self { legacy, encoding, delimiter, columns, rows: 0, rejected: 0 };
        survey.read(&mut records)?;
        Ok(survey)
    }

    fn read(&mut self, records: &mut Records<Text<'_>>) -> Result<(), Stop> {
        // The first record that could not be read, and how many.
        let mut unreadable: Option<(String, u64)> = None;
        let mut judged = 0;
        loop {
            let found = records.read()?;
            if judged < JUDGED_RECORDS && found != Found::End {
                judged += 1;
            }
            if let Some(rejection) = unreadable_record(found, records, self.columns.len()) {
                self.rejected += 1;
                if self.rows + self.rejected <= JUDGED_RECORDS {
                    let place = records.place();
                    let (_, count) = unreadable.get_or_insert_with(|| {
                        let (line, offset) = (place.line, place.byte_offset);
                        (format!("line {line}, byte offset {offset}: {}", rejection.message), 0)
                    });
                    *count += 1;
                }
            } else if found == Found::Record {
                self.see(records);
            }
            if (found == Found::End || self.rows + self.rejected == JUDGED_RECORDS)
                && let Some((first, count)) = unreadable.as_ref().filter(|(_, count)| *count * 2 > judged)
            {
                let evidence =
                    format!("{count} of the first {judged} records cannot be read, the first at {first}");
                return Err(Stop::Failed(ConvertError::NotCsv { evidence }));
            }
            if found == Found::End {
                return Ok(());
            }
        }
    }

    fn see(&mut self, records: &Records<Text<'_>>) {
        // Pins first: a rejected row must not say anything about the other columns.
        let fits = |(index, votes): (usize, &Votes)| votes.mismatch(records.field(index)).is_none();
        if !self.columns.iter().enumerate().all(fits) {
            self.rejected += 1;
            return;
        }
        for (index, votes) in self.columns.iter_mut().enumerate() {
            votes.see(records.field(index));
        }
        self.rows += 1;
    }

    fn write<I: Read + Seek, O: Write + Send>(
        &self,
        input: &mut I,
        metadata: impl FnOnce(&Summary) -> Vec<(String, String)>,
        output: O,
        rejected: &mut impl Write,
    ) -> Result<Summary, ConvertError> {
        let columns = self.fragment_columns();
        let data = columns.iter().map(|column| (column.name.clone(), column.kind));
        let texts = columns.iter().filter(|column| column.text.is_some());
        let texts = texts.map(|column| (format!("{} (text)", column.name), Type::Text));
        let fields: Vec<(String, Type)> = data.chain(texts).collect();
        let fields = fields.iter().map(|(name, kind)| (name.as_str(), *kind));
        let mut sheet = Sheet::new(output, fields).map_err(ConvertError::Write)?;

        let text = decode::open(input, self.legacy).map_err(Stop::from)?;
        let mut records = Records::new(text);
        records.set_delimiter(self.delimiter);
        let names = header_names(&mut records)?;
        if !names.iter().eq(self.columns.iter().map(|votes| &votes.name)) {
            return Err(ConvertError::Changed);
        }
        let (mut rows, mut rejected_rows) = (0, 0);
        let mut batch_bytes = 0;
        loop {
            let found = records.read().map_err(Stop::from)?;
            if found == Found::End {
                break;
            }
            let rejection = unreadable_record(found, &records, columns.len())
                .or_else(|| self.mismatched_record(&records));
            if let Some(rejection) = rejection {
                rejected::write(rejected, records.place(), &rejection, records.raw())
                    .map_err(ConvertError::Rejected)?;
                rejected_rows += 1;
                continue;
            }
            append(&mut sheet, &columns, &self.columns, &records)?;
            rows += 1;
            batch_bytes += records.raw().len();
            let early = batch_bytes >= BATCH_TEXT_BYTES;
            sheet.end_rows(1, early).map_err(ConvertError::Write)?;
            if sheet.pending() == 0 {
                batch_bytes = 0;
            }
        }
        if (rows, rejected_rows) != (self.rows, self.rejected) {
            return Err(ConvertError::Changed);
        }
        let summary = Summary {
            rows,
            rejected_rows,
            encoding: self.encoding,
            delimiter: char::from(self.delimiter),
            columns: columns
                .iter()
                .map(|column| Column { name: column.name.clone(), kind: column.kind })
                .collect(),
        };
        let described = fragment::describe(&columns).map_err(ConvertError::Write)?;
        sheet.finish(metadata(&summary).into_iter().chain([described])).map_err(ConvertError::Write)?;
        Ok(summary)
    }

    fn fragment_columns(&self) -> Vec<FragmentColumn> {
        let mut next_text = self.columns.len();
        let describe = |(index, votes): (usize, &Votes)| FragmentColumn {
            name: votes.name.clone(),
            index,
            kind: votes.kind(),
            fits: votes.types,
            text: votes.has_texts().then(|| {
                next_text += 1;
                next_text - 1
            }),
        };
        self.columns.iter().enumerate().map(describe).collect()
    }

    /// The second reading's judgement on pinned columns, which by now have one type.
    fn mismatched_record(&self, records: &Records<Text<'_>>) -> Option<Rejection> {
        self.columns.iter().enumerate().find_map(|(index, votes)| {
            let text = records.field(index);
            let pin = votes.mismatch(text)?;
            let shown: String = String::from_utf8_lossy(text).chars().take(QUOTED_CHARS).collect();
            let cut = if shown.len() < text.len() { "…" } else { "" };
            Some(Rejection {
                code: RejectedCode::TypeMismatch,
                message: format!(
                    "column `{}` is pinned to {}, which `{shown}{cut}` is not{}",
                    votes.name,
                    pin.name(),
                    match (pin, votes.kind()) {
                        (Pin::Timestamp, Type::TimestampUtc) => " with an offset, as the column's others are",
                        (Pin::Timestamp, Type::TimestampLocal) =>
                            " without an offset, as the column's others are",
                        _ => "",
                    }
                ),
            })
        })
    }
}

/// Reads the header: none where there is no record at all.
fn header_names(records: &mut Records<Text<'_>>) -> Result<Vec<String>, Stop> {
    let found = records.read()?;
    let problem = match found {
        Found::End => return Ok(Vec::new()),
        Found::Record => {
            let fields: Vec<_> =
                (0..records.len()).map(|index| String::from_utf8_lossy(records.field(index))).collect();
            return Ok(crate::header::names(fields.iter().map(AsRef::as_ref)));
        }
        Found::UnclosedQuote => "a quote opens in the header and is not closed",
        Found::TooLong => "the header has no end",
    };
    let place = records.place();
    let evidence = format!("{problem}, line {}, byte offset {}", place.line, place.byte_offset);
    Err(Stop::Failed(ConvertError::NotCsv { evidence }))
}

/// Why a record cannot be a row of so many columns.
fn unreadable_record(found: Found, records: &Records<Text<'_>>, columns: usize) -> Option<Rejection> {
    let (code, message) = match found {
        Found::End => return None,
        Found::UnclosedQuote => {
            (RejectedCode::UnclosedQuote, "a quote opens on this line and is not closed".to_owned())
        }
        Found::TooLong => (RejectedCode::RecordTooLong, "the record is longer than 16 MiB".to_owned()),
        Found::Record => {
            let fields = records.len();
            let code = match fields.cmp(&columns) {
                std::cmp::Ordering::Less => RejectedCode::TooFewFields,
                std::cmp::Ordering::Equal => return None,
                std::cmp::Ordering::Greater => RejectedCode::TooManyFields,
            };
            (code, format!("{fields} fields, while the header has {columns}"))
        }
    };
    Some(Rejection { code, message })
}

/// Appends a record to the columns and their texts.
fn append<O: Write + Send>(
    sheet: &mut Sheet<O>,
    columns: &[FragmentColumn],
    votes: &[Votes],
    records: &Records<Text<'_>>,
) -> Result<(), ConvertError> {
    let (data, texts) = sheet.columns().split_at_mut(columns.len());
    let mut texts = texts.iter_mut();
    for ((column, votes), builder) in columns.iter().zip(votes).zip(data) {
        let text = records.field(column.index);
        let is_text = column.kind == Type::Text;
        let is_null = if is_text { text.is_empty() } else { votes.is_null(text) };
        let canonical = if is_null {
            builder.append_nulls(1);
            text.is_empty()
        } else {
            // The first reading saw that every value fits.
            builder.append_text(text).ok_or(ConvertError::Changed)?
        };
        if column.text.is_some()
            && let Some(builder) = texts.next()
        {
            append_text_beside(builder, text, canonical);
        }
    }
    Ok(())
}

/// Keeps a text that its column's type does not render.
fn append_text_beside(builder: &mut Builder, text: &[u8], canonical: bool) {
    if canonical {
        builder.append_nulls(1);
    } else {
        builder.append_text(text);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, SeekFrom};

    use super::*;
    use crate::testing::{converted, pins, table_of};

    fn types_of(csv: &str, types: &str) -> Vec<(String, Type)> {
        let (.., summary) = converted(csv, types).unwrap();
        summary.columns.into_iter().map(|column| (column.name, column.kind)).collect()
    }

    fn evidence(csv: impl AsRef<[u8]>) -> String {
        match converted(csv, "") {
            Err(ConvertError::NotCsv { evidence }) => evidence,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_column_has_the_first_type_that_holds_every_value() {
        for (values, kind) in [
            (&["true", "FALSE", "NA"][..], Type::Boolean),
            (&["1", "-2", "", "null"], Type::Int64),
            (&["1", "2.5"], Type::Float64),
            (&["1", "NaN"], Type::Float64),
            (&["1", "nan"], Type::Int64),
            (&["-0"], Type::Float64),
            (&["9007199254740993", "0.5"], Type::Text),
            (&["00501"], Type::Text),
            (&["+1"], Type::Text),
            (&["12345678901234567890"], Type::Text),
            (&["2021-01-01"], Type::Date),
            (&["2021-01-01", "2021-01-01T00:00"], Type::Text),
            (&["2021-01-01T00:00Z", "2021-01-01 00:00+01"], Type::TimestampUtc),
            (&["2021-01-01T00:00", "2021-01-01 00:00:00.123456"], Type::TimestampLocal),
            (&["2021-01-01T00:00", "2021-01-01T00:00Z"], Type::Text),
            (&["true", "1"], Type::Text),
            (&["", ""], Type::Text),
            (&["NA", "N/A", "#N/A", "NULL", "null", "nan"], Type::Text),
            (&["na"], Type::Text),
            (&[" 1"], Type::Text),
        ] {
            let csv = format!("a\n\"{}\"", values.join("\"\n\""));
            assert_eq!(types_of(&csv, ""), [("a".to_owned(), kind)], "{values:?}");
        }
    }

    #[test]
    fn a_pin_sets_the_type() {
        for (value, pin, kind) in [
            ("1", "string", Type::Text),
            ("1", "int64", Type::Int64),
            ("1", "float64", Type::Float64),
            ("true", "boolean", Type::Boolean),
            ("2021-01-01", "date", Type::Date),
            ("2021-01-01T00:00", "timestamp", Type::TimestampLocal),
            ("2021-01-01T00:00Z", "timestamp", Type::TimestampUtc),
            ("NA", "boolean", Type::Boolean),
            ("NA", "int64", Type::Int64),
            ("NA", "float64", Type::Float64),
            ("NA", "date", Type::Date),
            ("NA", "timestamp", Type::TimestampUtc),
            ("NA", "string", Type::Text),
            ("", "string", Type::Text),
        ] {
            assert_eq!(
                types_of(&format!("A\n\"{value}\""), &format!("a={pin}")),
                [("A".to_owned(), kind)],
                "{value} {pin}"
            );
        }
    }

    #[test]
    fn null_words_are_text_where_the_pin_says_string() {
        let found = table_of(&["a\nNA\n\"\"\n1\n"], "a=string");
        assert_eq!(
            found,
            [("a".to_owned(), Type::Text, vec![Some("NA".to_owned()), None, Some("1".to_owned())])]
        );
    }

    #[test]
    fn rejected_rows_say_where_and_why_and_what_stood_there() {
        let csv = "a,b\r\n1,2\r\n\r\n3\r\n4,5,\"x\r\ny\"\r\n6,zwölf\r\n7,\"8\r\n9,10\r\n";
        let (_, rejected, summary) = converted(csv, "b=int64").unwrap();
        assert_eq!((summary.rows, summary.rejected_rows), (2, 4));
        assert_eq!(
            rejected,
            concat!(
                r#"{"line":4,"byte_offset":12,"code":"TooFewFields","message":"1 fields, while the header has 2","raw":"3"}"#,
                "\n",
                r#"{"line":5,"byte_offset":15,"code":"TooManyFields","message":"3 fields, while the header has 2","raw":"4,5,\"x\r\ny\""}"#,
                "\n",
                r#"{"line":7,"byte_offset":27,"code":"TypeMismatch","message":"column `b` is pinned to int64, which `zwölf` is not","raw":"6,zwölf"}"#,
                "\n",
                r#"{"line":8,"byte_offset":37,"code":"UnclosedQuote","message":"a quote opens on this line and is not closed","raw":"7,\"8"}"#,
                "\n",
            )
        );
    }

    #[test]
    fn a_rejected_row_says_nothing_about_other_columns() {
        let csv = "a,b,t\nx,text,2021-01-01T00:00\n1,2,2021-01-01T00:00Z\n2,3,2021-01-01T00:00\n";
        let (_, rejected, summary) = converted(csv, "a=int64,t=timestamp").unwrap();
        assert_eq!(summary.columns[1].kind, Type::Int64);
        assert_eq!(summary.columns[2].kind, Type::TimestampUtc);
        assert_eq!((summary.rows, summary.rejected_rows), (1, 2));
        assert!(
            rejected.contains("`2021-01-01T00:00` is not with an offset, as the column's others are"),
            "{rejected}"
        );
    }

    #[test]
    fn a_value_in_a_message_is_cut() {
        let (_, rejected, _) = converted(format!("a,b\n{},1\n", "é".repeat(200)), "a=date").unwrap();
        assert!(rejected.contains(&format!("`{}…` is not", "é".repeat(100))), "{rejected}");
    }

    #[test]
    fn a_file_without_rows_or_columns_is_no_error() {
        for (csv, columns) in
            [("", 0), ("\n\r\n", 0), ("\u{feff}", 0), ("a,b", 2), ("a,b\n", 2), ("\na,b\n\n", 2)]
        {
            let (fragment, rejected, summary) = converted(csv, "").unwrap();
            assert_eq!(
                (summary.rows, summary.rejected_rows, summary.columns.len()),
                (0, 0, columns),
                "{csv:?}"
            );
            assert_eq!(rejected, "");
            assert_eq!(crate::Input::fragment(fragment).unwrap().rows(), 0);
        }
    }

    #[test]
    fn encoding_and_delimiter_are_told() {
        for (csv, encoding, delimiter) in [
            (&b"a,b\n1,2\n"[..], "utf-8", ','),
            (b"a;b\n1;2\n", "utf-8", ';'),
            (b"a\tb\n1\t2\n", "utf-8", '\t'),
            (b"a|b\n1|2\n", "utf-8", '|'),
            (b"a,b\n1,\xe9\n", "windows-1252", ','),
            (b"\xff\xfea\0;\0b\0\n\0", "utf-16le", ';'),
        ] {
            let (.., summary) = converted(csv, "").unwrap();
            assert_eq!((summary.encoding, summary.delimiter), (encoding, delimiter), "{csv:?}");
        }
    }

    #[test]
    fn what_is_no_csv_says_why() {
        let half_bad = format!("a,b\n{}", "1\n1,2\n".repeat(500));
        assert!(converted(&half_bad, "").is_ok());
        let late = format!("a,b\n{}{}", "1,2\n".repeat(1_000), "1\n".repeat(5_000));
        assert_eq!(converted(&late, "").unwrap().2.rejected_rows, 5_000);
        let most_bad = format!("a,b\n1,2\n3\n{}", "1\n1,2\n1\n".repeat(1_000));
        for (csv, expected) in [
            (&b"a,b\n\0\n"[..], "binary: a NUL at byte offset 4, line 2"),
            (b"<html>\n", "markup: it begins with `<html` at byte offset 0, line 1"),
            (
                b"a,b\n1\n",
                "1 of the first 1 records cannot be read, the first at line 2, byte offset 4: 1 fields, while the header has 2",
            ),
            (b"a,\"b\n1,2\n", "a quote opens in the header and is not closed, line 1, byte offset 0"),
            (
                most_bad.as_bytes(),
                "666 of the first 1000 records cannot be read, the first at line 3, byte offset 8: 1 fields, while the header has 2",
            ),
            (b"\x1f\x8b\x08\0\0\0\0\0\0\xff", "damaged or incomplete compression: incomplete deflate stream"),
        ] {
            assert_eq!(evidence(csv), expected);
        }
    }

    #[test]
    fn a_pin_that_does_not_fit_makes_no_csv_of_a_file_less() {
        let (_, _, summary) = converted("a,b\nx,1\ny,2\n", "a=int64").unwrap();
        assert_eq!((summary.rows, summary.rejected_rows), (0, 2));
    }

    /// Gives another text each time that it is read from the start.
    struct Changing(Vec<&'static str>, Cursor<&'static str>);

    impl Read for Changing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1.read(buffer)
        }
    }

    impl Seek for Changing {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.1 = Cursor::new(self.0.remove(0));
            self.1.seek(to)
        }
    }

    #[test]
    fn an_input_that_changes_is_seen() {
        for after in ["a\nx\n", "a\n1\n2\n", "a\n", "b\n1\n", "", "a\n1,2\n"] {
            let input = Changing(vec!["a\n1\n", after], Cursor::new(""));
            let result = convert(input, &pins(""), |_| Vec::new(), Vec::new(), Vec::new());
            assert!(matches!(result, Err(ConvertError::Changed)), "{after:?} {result:?}");
        }
    }
}
