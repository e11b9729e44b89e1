//! One CSV to one fragment.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read, Seek, Write};

use parquet::errors::ParquetError;

use crate::batch::{Batch, Row, Unreadable};
use crate::column::{ColumnChunks, ColumnLane, Plan};
use crate::decode::{self, DecodeError, Text};
use crate::encode::{Limits, Tools};
use crate::file::{self, FileWriter};
use crate::fragment::{self, FragmentColumn};
use crate::lanes::{self, Next};
use crate::notcsv;
use crate::records::{self, Found, Records};
use crate::rejected::{self, RejectedCode, Rejection};
use crate::survey::{self, SurveyLane};
use crate::types::{ColumnTypes, Pin, Type, TypeSet};
use crate::value;

/// Records by which a file is judged to be a CSV.
const JUDGED_RECORDS: u64 = 1_000;
/// As many as a spreadsheet has at most. It bounds memory.
const MAX_COLUMNS: usize = 16_384;
/// Characters of a value that a message quotes.
const QUOTED_CHARS: usize = 100;
/// A row group holds so much text, or so many rows and one more batch.
const GROUP_TEXT_BYTES: usize = 48 * 1024 * 1024;
const GROUP_ROWS: usize = file::ROW_GROUP_ROWS - records::BATCH_BYTES;

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

/// What is written to, and begun again where the first try failed.
pub trait Output: Write + Send {
    /// Throws away what was written.
    ///
    /// # Errors
    ///
    /// Where it cannot.
    fn restart(&mut self) -> io::Result<()>;
}

impl Output for File {
    fn restart(&mut self) -> io::Result<()> {
        self.rewind()?;
        self.set_len(0)
    }
}

impl Output for Vec<u8> {
    fn restart(&mut self) -> io::Result<()> {
        self.clear();
        Ok(())
    }
}

impl<O: Output> Output for &mut O {
    fn restart(&mut self) -> io::Result<()> {
        (**self).restart()
    }
}

/// Converts a CSV to a fragment, and its rejected rows to lines of JSON.
///
/// The input is read from its start. Each column's type is taken from its first values; where a later value turns out
/// not to have it, or the text is not UTF-8 after all, the input is read again and the outputs are written anew. Memory
/// does not grow with the input. As many threads work on it as the machine has processors.
///
/// `metadata` is called at the end, for what shall stand in the fragment's key-value metadata. Equal inputs and `types`
/// (and metadata) give equal bytes.
///
/// An empty input gives a fragment without columns, a header alone one without rows.
///
/// # Errors
///
/// [`ConvertError::NotCsv`] where the input is no CSV; this is for good. The others where reading or writing failed,
/// or the input did not stay the same. What was written by then is to be thrown away.
pub fn convert<I, O, J>(
    input: I,
    types: &ColumnTypes,
    metadata: impl FnOnce(&Summary) -> Vec<(String, String)>,
    output: O,
    rejected: J,
) -> Result<Summary, ConvertError>
where
    I: Read + Seek,
    O: Output,
    J: Output,
{
    convert_with(lanes::threads(), input, types, metadata, output, rejected)
}

fn convert_with<I, O, J>(
    threads: usize,
    mut input: I,
    types: &ColumnTypes,
    metadata: impl FnOnce(&Summary) -> Vec<(String, String)>,
    mut output: O,
    mut rejected: J,
) -> Result<Summary, ConvertError>
where
    I: Read + Seek,
    O: Output,
    J: Output,
{
    let mut legacy = false;
    let mut survey = None;
    loop {
        let settings = Settings { threads, types, legacy };
        match write(&mut input, settings, survey.as_ref(), &mut output, &mut rejected) {
            Ok(written) => return written.finish(metadata, rejected),
            Err(Stop::NotUtf8) if !legacy => {
                legacy = true;
                survey = None;
            }
            Err(Stop::Misfit) if survey.is_none() => match Survey::of(&mut input, settings) {
                Ok(found) => survey = Some(found),
                Err(Stop::NotUtf8) if !legacy => legacy = true,
                Err(stop) => return Err(stop.into()),
            },
            Err(stop) => return Err(stop.into()),
        }
        output.restart().map_err(|error| ConvertError::Write(ParquetError::External(Box::new(error))))?;
        rejected.restart().map_err(ConvertError::Rejected)?;
    }
}

/// How one reading is done.
#[derive(Clone, Copy)]
struct Settings<'a> {
    threads: usize,
    types: &'a ColumnTypes,
    /// Whether the text is Windows-1252.
    legacy: bool,
}

/// Why a reading ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It has to be done over, as Windows-1252.
    NotUtf8,
    /// A value does not have the type that the first values had, or is spelled otherwise.
    Misfit,
    Failed(ConvertError),
}

impl From<Stop> for ConvertError {
    fn from(stop: Stop) -> Self {
        match stop {
            // Windows-1252 is never not UTF-8, and what the whole was found to be, it is.
            Stop::NotUtf8 | Stop::Misfit => Self::Changed,
            Stop::Failed(error) => error,
        }
    }
}

impl From<ConvertError> for Stop {
    fn from(error: ConvertError) -> Self {
        Self::Failed(error)
    }
}

impl From<ParquetError> for Stop {
    fn from(error: ParquetError) -> Self {
        Self::Failed(ConvertError::Write(error))
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

/// A CSV being read: its rows, and what becomes of records that are none.
struct Reading<'a, J> {
    records: Records<Text<'a>>,
    encoding: &'static str,
    delimiter: u8,
    names: Vec<String>,
    /// The columns whose pin a value can fail.
    pinned: Vec<Pinned>,
    rejected: J,
    rows: u64,
    rejected_rows: u64,
    /// Of the first records, how many cannot be read, and the first of them.
    unreadable: u64,
    first_unreadable: String,
    is_judged: bool,
}

/// A column whose values have to have a type.
struct Pinned {
    index: usize,
    pin: Pin,
    /// The types that the values so far leave.
    among: TypeSet,
}

impl<'a, J: Write> Reading<'a, J> {
    fn open<I: Read + Seek>(input: &'a mut I, settings: Settings<'_>, rejected: J) -> Result<Self, Stop> {
        let text = decode::open(input, settings.legacy)?;
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
        let pinned = names.iter().enumerate().filter_map(|(index, name)| {
            let pin = settings.types.get(name).filter(|pin| *pin != Pin::String)?;
            Some(Pinned { index, pin, among: pin.types() })
        });
        Ok(Self {
            pinned: pinned.collect(),
            records,
            encoding,
            delimiter,
            names,
            rejected,
            rows: 0,
            rejected_rows: 0,
            unreadable: 0,
            first_unreadable: String::new(),
            is_judged: false,
        })
    }

    /// Reads the next rows. `false` where there are no more.
    fn next(&mut self, batch: &mut Batch) -> Result<bool, Stop> {
        let more = self.records.batch(self.names.len(), batch)?;
        let before = self.rows + self.rejected_rows;
        for (at, Unreadable { before: rows, row, found, fields }) in batch.unreadable.iter().enumerate() {
            if before + ((at + rows) as u64) < JUDGED_RECORDS {
                self.unreadable += 1;
                if self.unreadable == 1 {
                    let place = batch.place_of(*row);
                    let Rejection { message, .. } = unreadable_record(*found, *fields, self.names.len());
                    self.first_unreadable =
                        format!("line {}, byte offset {}: {message}", place.line, place.byte_offset);
                }
            }
        }
        let judged = JUDGED_RECORDS.min(before + (batch.rows.len() + batch.unreadable.len()) as u64);
        if !self.is_judged && (judged == JUDGED_RECORDS || !more) {
            self.is_judged = true;
            if self.unreadable * 2 > judged {
                let (count, first) = (self.unreadable, &self.first_unreadable);
                let evidence =
                    format!("{count} of the first {judged} records cannot be read, the first at {first}");
                return Err(Stop::Failed(ConvertError::NotCsv { evidence }));
            }
        }
        let mismatched = self.mismatched(batch);
        self.reject(batch, &mismatched).map_err(ConvertError::Rejected)?;
        self.rejected_rows += (batch.unreadable.len() + mismatched.len()) as u64;
        let mismatched: Vec<usize> = mismatched.into_iter().map(|(row, _)| row).collect();
        batch.remove(&mismatched);
        self.rows += batch.rows.len() as u64;
        Ok(more)
    }

    /// The rows in which some value does not have its column's pinned type.
    fn mismatched(&mut self, batch: &Batch) -> Vec<(usize, Rejection)> {
        let mut mismatched = Vec::new();
        if self.pinned.is_empty() {
            return mismatched;
        }
        for row in 0..batch.rows.len() {
            let failed = self.pinned.iter().find(|pinned| {
                let text = batch.field(row, pinned.index);
                !pinned.is_null(text) && value::fit(text, pinned.among).types == TypeSet::TEXT
            });
            if let Some(pinned) = failed {
                let name = &self.names[pinned.index];
                mismatched.push((row, pinned.rejection(name, batch.field(row, pinned.index))));
                continue;
            }
            // A rejected row says nothing about any column.
            for pinned in &mut self.pinned {
                let text = batch.field(row, pinned.index);
                if pinned.pin == Pin::Timestamp && !pinned.is_null(text) {
                    pinned.among = pinned.among.and(value::fit(text, pinned.among).types);
                }
            }
        }
        mismatched
    }

    /// Writes a batch's rejected records, in their order.
    fn reject(&mut self, batch: &Batch, mismatched: &[(usize, Rejection)]) -> io::Result<()> {
        let mut write = |row: Row, rejection: &Rejection| {
            rejected::write(&mut self.rejected, batch.place_of(row), rejection, batch.raw(row))
        };
        let mut mismatched = mismatched.iter().peekable();
        for Unreadable { before, row, found, fields } in &batch.unreadable {
            while let Some((at, rejection)) = mismatched.next_if(|(at, _)| at < before) {
                write(batch.rows[*at], rejection)?;
            }
            write(*row, &unreadable_record(*found, *fields, self.names.len()))?;
        }
        mismatched.try_for_each(|(at, rejection)| write(batch.rows[*at], rejection))
    }

    fn pins(&self, types: &ColumnTypes) -> Vec<Option<Pin>> {
        self.names.iter().map(|name| types.get(name)).collect()
    }
}

impl Pinned {
    fn is_null(&self, text: &[u8]) -> bool {
        survey::is_null(text, Some(self.pin))
    }

    fn rejection(&self, name: &str, text: &[u8]) -> Rejection {
        let shown: String = String::from_utf8_lossy(text).chars().take(QUOTED_CHARS).collect();
        let cut = if shown.len() < text.len() { "…" } else { "" };
        let others = if value::fit(text, self.pin.types()).types == TypeSet::TEXT {
            ""
        } else if self.among.has(Type::TimestampUtc) {
            " with an offset, as the column's others are"
        } else {
            " without an offset, as the column's others are"
        };
        let kind = self.pin.name();
        let message = format!("column `{name}` is pinned to {kind}, which `{shown}{cut}` is not{others}");
        Rejection { code: RejectedCode::TypeMismatch, message }
    }
}

/// What a whole input was found to be.
struct Survey {
    plans: Vec<Plan>,
    rows: u64,
    rejected_rows: u64,
}

impl Survey {
    /// Finds the types of all columns.
    fn of<I: Read + Seek>(input: &mut I, settings: Settings<'_>) -> Result<Self, Stop> {
        let mut reading = Reading::open(input, settings, io::sink())?;
        let pins = reading.pins(settings.types);
        let lanes = lanes::part(pins.len()).map(|range| SurveyLane::new(range.start, &pins[range]));
        let next = |batch: &mut Batch| Ok(if reading.next(batch)? { Next::Batch } else { Next::End });
        let nothing = |_: Vec<Option<Infallible>>| Ok(());
        let lanes = lanes::run(lanes, settings.threads, take_tools, next, nothing)?;
        let votes = lanes.into_iter().flat_map(SurveyLane::into_votes).map(Some);
        let plans = reading.names.iter().zip(pins).zip(votes);
        let plans = plans.map(|((name, pin), votes)| Plan { name: name.clone(), pin, votes }).collect();
        Ok(Self { plans, rows: reading.rows, rejected_rows: reading.rejected_rows })
    }
}

fn take_tools() -> Result<Tools, Stop> {
    Tools::take().map_err(|error| Stop::from(ParquetError::from(error)))
}

/// A fragment of which all is written but the footer.
struct Fragment<O: Write + Send> {
    file: FileWriter<O>,
    columns: Vec<FragmentColumn>,
    summary: Summary,
}

impl<O: Output> Fragment<O> {
    fn finish(
        self,
        metadata: impl FnOnce(&Summary) -> Vec<(String, String)>,
        mut rejected: impl Output,
    ) -> Result<Summary, ConvertError> {
        let described = fragment::describe(&self.columns).map_err(ConvertError::Write)?;
        let metadata = metadata(&self.summary).into_iter().chain([described]);
        self.file.finish(metadata).map_err(ConvertError::Write)?;
        rejected.flush().map_err(ConvertError::Rejected)?;
        Ok(self.summary)
    }
}

/// Reads a CSV and writes its columns: as a survey found them, or after their first values.
fn write<I: Read + Seek, O: Output, J: Output>(
    input: &mut I,
    settings: Settings<'_>,
    survey: Option<&Survey>,
    output: O,
    rejected: J,
) -> Result<Fragment<O>, Stop> {
    let mut reading = Reading::open(input, settings, io::BufWriter::new(rejected))?;
    let plans: Vec<Plan> = match survey {
        Some(Survey { plans, .. }) if plans.iter().map(|plan| &plan.name).eq(&reading.names) => plans.clone(),
        Some(_) => return Err(Stop::Failed(ConvertError::Changed)),
        None => {
            let columns = reading.names.iter().zip(reading.pins(settings.types));
            columns.map(|(name, pin)| Plan { name: name.clone(), pin, votes: None }).collect()
        }
    };
    let limits = Limits::of_columns(plans.len());
    let lanes = lanes::part(plans.len())
        .map(|range| ColumnLane::new(range.start, &plans[range], limits))
        .collect::<Result<Vec<_>, _>>()?;
    let (mut group_rows, mut group_bytes) = (0, 0);
    let next = |batch: &mut Batch| {
        if group_rows > GROUP_ROWS || group_bytes >= GROUP_TEXT_BYTES {
            (group_rows, group_bytes) = (0, 0);
            return Ok(Next::EndOfGroup);
        }
        if !reading.next(batch)? {
            return Ok(Next::End);
        }
        group_rows += batch.rows.len();
        group_bytes += batch.text.len();
        Ok(Next::Batch)
    };
    let (mut file, mut output) = (None, Some(output));
    let write = |group: Vec<Vec<ColumnChunks>>| {
        let group: Vec<ColumnChunks> = group.into_iter().flatten().collect();
        if let Some(output) = output.take() {
            file = Some(FileWriter::new(output, fields(&plans, &group))?);
        }
        let (data, texts): (Vec<_>, Vec<_>) =
            group.into_iter().map(|chunks| (chunks.data, chunks.texts)).unzip();
        if let Some(file) = &mut file {
            file.write(data.into_iter().chain(texts.into_iter().flatten()))?;
        }
        Ok(())
    };
    let lanes = lanes::run(lanes, settings.threads, take_tools, next, write)?;
    let found = (reading.rows, reading.rejected_rows);
    if survey.is_some_and(|survey| (survey.rows, survey.rejected_rows) != found) {
        return Err(Stop::Failed(ConvertError::Changed));
    }
    let mut next_text = plans.len();
    let columns = lanes.iter().flat_map(|lane| &lane.columns).enumerate();
    let columns: Vec<_> = columns.map(|(index, column)| column.describe(index, &mut next_text)).collect();
    let named = |column: &FragmentColumn| Column { name: column.name.clone(), kind: column.kind };
    let summary = Summary {
        rows: reading.rows,
        rejected_rows: reading.rejected_rows,
        encoding: reading.encoding,
        delimiter: char::from(reading.delimiter),
        columns: columns.iter().map(named).collect(),
    };
    reading.rejected.flush().map_err(ConvertError::Rejected)?;
    let no_group = || ParquetError::General("a file that was not begun".to_owned());
    Ok(Fragment { file: file.ok_or_else(no_group)?, columns, summary })
}

/// The columns of a fragment: those of the CSV, then those of texts.
fn fields(plans: &[Plan], group: &[ColumnChunks]) -> Vec<(String, Type)> {
    let columns = || plans.iter().zip(group);
    let data = columns().map(|(plan, chunks)| (plan.name.clone(), chunks.kind));
    let texts = columns().filter(|(_, chunks)| chunks.texts.is_some());
    data.chain(texts.map(|(plan, _)| (fragment::text_column(&plan.name), Type::Text))).collect()
}

/// Reads the header: none where there is no record at all.
fn header_names(records: &mut Records<Text<'_>>) -> Result<Vec<String>, Stop> {
    let found = records.read()?;
    let problem = match found {
        Found::End => return Ok(Vec::new()),
        Found::Record if records.len() > MAX_COLUMNS => {
            format!("the header has {} fields, more than {MAX_COLUMNS}", records.len())
        }
        Found::Record => {
            let fields: Vec<_> =
                (0..records.len()).map(|index| String::from_utf8_lossy(records.field(index))).collect();
            return Ok(crate::header::names(fields.iter().map(AsRef::as_ref)));
        }
        Found::UnclosedQuote => "a quote opens in the header and is not closed".to_owned(),
        Found::TooLong => "the header has no end".to_owned(),
    };
    let place = records.place();
    let evidence = format!("{problem}, line {}, byte offset {}", place.line, place.byte_offset);
    Err(Stop::Failed(ConvertError::NotCsv { evidence }))
}

/// Why a record cannot be a row of so many columns.
fn unreadable_record(found: Found, fields: usize, columns: usize) -> Rejection {
    let (code, message) = match found {
        Found::UnclosedQuote => {
            (RejectedCode::UnclosedQuote, "a quote opens on this line and is not closed".to_owned())
        }
        Found::TooLong => (RejectedCode::RecordTooLong, "the record is longer than 16 MiB".to_owned()),
        Found::Record | Found::End => {
            let code =
                if fields < columns { RejectedCode::TooFewFields } else { RejectedCode::TooManyFields };
            (code, format!("{fields} fields, while the header has {columns}"))
        }
    };
    Rejection { code, message }
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

    /// The first rows are looked at before any is read; what stands behind them may be otherwise.
    #[test]
    fn the_first_rows_may_mislead() {
        for before in [1, 10, 100, 1_000, 10_000] {
            for (first, odd, kind) in
                [("1", "x", Type::Text), ("1", "0.5", Type::Float64), ("1.50", "1.5", Type::Float64)]
            {
                let csv = format!("a,b\n{}{odd},y\n", format!("{first},y\n").repeat(before));
                let whole = table_of(&[&csv], "").swap_remove(0);
                assert_eq!(
                    (whole.1, whole.2.len()),
                    (kind, before + 1),
                    "{before} times {first}, then {odd}"
                );
                let texts = table_of(&[&csv, "a\nx\n"], "").swap_remove(0);
                let mut expected = vec![Some(first.to_owned()); before];
                expected.extend([Some(odd.to_owned()), Some("x".to_owned())]);
                assert!(texts.2 == expected, "{before} times {first}, then {odd}");
            }
        }
    }

    /// Which thread does what, and when, decides nothing.
    #[test]
    fn any_number_of_threads_writes_the_same_bytes() {
        let row = |row: u32| {
            let (kind, late) = (row % 7, if row > 90_000 { "x" } else { "" });
            format!(
                "{row},2021-01-01T00:{:02}:{:02}Z,kind {kind},{}.50,{late},\"a\"\"{row}\"\n",
                row % 60,
                row % 59,
                row % 999
            )
        };
        let csv: String = std::iter::once("a,b,c,d,e,f\n".to_owned()).chain((0..100_000).map(row)).collect();
        let written = |threads: usize| {
            let (mut output, mut rejected) = (Vec::new(), Vec::new());
            let pins = pins("a=int64");
            convert_with(threads, Cursor::new(&csv), &pins, |_| Vec::new(), &mut output, &mut rejected)
                .unwrap();
            output
        };
        let alone = written(1);
        for threads in [2, 3, 8] {
            assert!(written(threads) == alone, "{threads}");
        }
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

    /// The second reading finds the types, the third one has to find the same text.
    #[test]
    fn an_input_that_changes_is_seen() {
        let numbers = format!("a\n{}", "1\n".repeat(300_000));
        let text: &str = Box::leak(format!("{numbers}x\n").into_boxed_str());
        let longer: &str = Box::leak(format!("{text}y\n").into_boxed_str());
        let number: &str = Box::leak(format!("{numbers}1\n").into_boxed_str());
        for (readings, result) in [
            ([text, text, text], Ok(Type::Text)),
            ([text, number, number], Ok(Type::Int64)),
            ([text, text, longer], Err(())),
            ([text, text, "a\n1\n"], Err(())),
            ([text, text, "b\n1\n"], Err(())),
            ([text, text, ""], Err(())),
            ([text, number, text], Err(())),
            ([text, text, "a\n\u{e9}"], Err(())),
        ] {
            let input = Changing(readings.to_vec(), Cursor::new(""));
            let found = convert(input, &pins(""), |_| Vec::new(), Vec::new(), Vec::new());
            match (found, result) {
                (Ok(summary), Ok(kind)) => assert_eq!(summary.columns[0].kind, kind),
                (Err(ConvertError::Changed), Err(())) => {}
                (found, _) => panic!("{found:?}"),
            }
        }
    }
}
