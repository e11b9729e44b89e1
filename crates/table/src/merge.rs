//! Fragments, and rows carried from a former output, to one Parquet object.

use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::reader::ChunkReader;

use crate::batch::Span;
use crate::chunks::{Cells, ChunkReading, Chunks};
use crate::convert::Column;
use crate::encode::{Chunk, ChunkEncoder, Limits, Tools};
use crate::file::{self, FileWriter, ROW_GROUP_ROWS};
use crate::fragment::{FragmentColumn, describe};
use crate::input::{Group, Input, InputError};
use crate::join;
use crate::lanes::{self, Lane, Next};
use crate::style::Style;
use crate::types::{ColumnTypes, Type, TypeSet};
use crate::value::{self, Micros};

/// A row group that is written anew holds so much of texts and numbers, or so many rows and one more batch.
const GROUP_BYTES: usize = 48 * 1024 * 1024;
const GROUP_ROWS: usize = ROW_GROUP_ROWS - 8192;
/// Texts are put together until they are worth being encoded.
const TEXT_BYTES: usize = 64 * 1024;
/// Small inputs are taken together until they are worth being handed from one thread to another.
const BATCH_BYTES: usize = 256 * 1024;

/// Stands in an output that would have no column: DuckDB, for one, refuses a file without columns, and with it every
/// query over the folder that it lies in. The name is the one that an empty header field gets.
const NO_COLUMNS: &str = "column_1";

/// Why a merge failed.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// An input could not be read.
    #[error("cannot read input {input}")]
    Input {
        /// Its place among the inputs, from 0.
        input: usize,
        /// What is the matter with it.
        source: InputError,
    },
    /// Writing failed.
    #[error("cannot write the merged rows")]
    Write(#[source] ParquetError),
}

/// What a merge wrote.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Merged {
    /// Rows.
    pub rows: u64,
    /// The size of the file.
    pub bytes: u64,
    /// Its columns, in their order.
    pub columns: Vec<Column>,
}

/// Merges inputs, in the order in which their rows shall stand.
///
/// Columns are united by name, case aside: the first spelling wins, and they stand in the order of first appearance.
/// Each has the first type that holds it in every input that has a say; where no one type does, it is text, with
/// exactly what stood in each CSV. A column without any value is text, or what it is pinned to.
///
/// Memory does not grow with the rows. Equal inputs, `types` and `metadata` give equal bytes.
///
/// Where no input has a column (and so none has a row), the file has one without rows, `column_1`, as not every reader
/// takes a file without any. [`Merged::columns`] does not name it, and it is not carried on by [`Input::rows_of`].
///
/// # Errors
///
/// Where an input cannot be read any more, or writing failed.
pub fn merge<R, W>(
    inputs: &[Input<R>],
    types: &ColumnTypes,
    metadata: Vec<(String, String)>,
    output: W,
) -> Result<Merged, MergeError>
where
    R: ChunkReader + 'static,
    W: Write + Send,
{
    let columns = unite(inputs, types);
    let mut fields: Vec<(&str, Type)> =
        columns.iter().map(|column| (column.name.as_str(), column.kind)).collect();
    if fields.is_empty() {
        fields.push((NO_COLUMNS, Type::Text));
    }
    let mut merge = Merge {
        file: FileWriter::new(output, fields.iter().copied()).map_err(MergeError::Write)?,
        lanes: MergeLane::all(&columns).map_err(MergeError::Write)?,
        rows: 0,
    };
    let places: HashMap<String, usize> =
        columns.iter().enumerate().map(|(index, column)| (column.name.to_lowercase(), index)).collect();
    let mut pending = Vec::new();
    for (index, input) in inputs.iter().enumerate() {
        let route = Arc::new(Route::new(input, &columns, &places));
        for group in input.groups() {
            if group.is_large() && route.agrees(input, &columns) {
                merge.encode(inputs, std::mem::take(&mut pending))?;
                merge.copy(index, input, group, &route)?;
            } else if !input.columns.is_empty() {
                pending.push(Part { input: index, group: group.clone(), route: route.clone() });
            }
        }
    }
    merge.encode(inputs, pending)?;
    // So that the stand-in is known for what it is.
    let described = if columns.is_empty() { Some(describe(&[]).map_err(MergeError::Write)?) } else { None };
    let rows = merge.rows;
    let bytes = merge.file.finish(metadata.into_iter().chain(described)).map_err(MergeError::Write)?;
    Ok(Merged { rows, bytes, columns })
}

/// A merge under way.
struct Merge<W: Write + Send> {
    file: FileWriter<W>,
    lanes: Vec<MergeLane>,
    rows: u64,
}

/// Rows that are decoded and encoded again.
struct Part {
    input: usize,
    group: Group,
    route: Arc<Route>,
}

impl<W: Write + Send> Merge<W> {
    /// Writes parts as row groups of their own.
    fn encode<R: ChunkReader + 'static>(
        &mut self,
        inputs: &[Input<R>],
        parts: Vec<Part>,
    ) -> Result<(), MergeError> {
        if parts.is_empty() {
            return Ok(());
        }
        self.rows += parts.iter().map(|part| part.group.rows.len() as u64).sum::<u64>();
        let mut parts = parts.into_iter();
        let mut reading: Option<(Arc<Opened>, Group)> = None;
        let (mut group_rows, mut group_bytes) = (0, 0);
        let next = |Rows(next): &mut Rows| {
            next.clear();
            let mut bytes = 0;
            loop {
                let is_complete = group_rows > GROUP_ROWS || group_bytes >= GROUP_BYTES;
                if !next.is_empty() && (is_complete || bytes >= BATCH_BYTES) {
                    return Ok(Next::Batch);
                }
                if is_complete {
                    (group_rows, group_bytes) = (0, 0);
                    return Ok(Next::EndOfGroup);
                }
                let (opened, group) = if let Some(reading) = &mut reading {
                    reading
                } else {
                    let Some(Part { input, group, route }) = parts.next() else {
                        return Ok(if next.is_empty() { Next::End } else { Next::Batch });
                    };
                    let chunks = inputs[input]
                        .open(&group)
                        .map_err(|error| MergeError::Input { input, source: error.into() })?;
                    let opened = Opened { input, rows: group.rows.clone(), route, chunks };
                    reading.insert((Arc::new(opened), group))
                };
                let rows = group.rows.len().min(group.batch_rows);
                group_rows += rows;
                group_bytes += group.bytes_of(rows);
                bytes += group.bytes_of(rows);
                next.push((Arc::clone(opened), rows));
                group.rows.start += rows;
                if group.rows.is_empty() {
                    reading = None;
                }
            }
        };
        let file = &mut self.file;
        let write =
            |group: Vec<Vec<Chunk>>| file.write(group.into_iter().flatten()).map_err(MergeError::Write);
        let lanes = std::mem::take(&mut self.lanes);
        self.lanes = lanes::run(lanes, lanes::threads(), take_tools, next, write)?;
        Ok(())
    }

    /// Copies a row group as it is; columns that the input lacks are null.
    fn copy<R: ChunkReader + 'static>(
        &mut self,
        index: usize,
        input: &Input<R>,
        group: &Group,
        route: &Route,
    ) -> Result<(), MergeError> {
        let failed = |error: ParquetError| MergeError::Input { input: index, source: error.into() };
        let (reader, metadata) = input.indexed().map_err(failed)?;
        let mut tools = take_tools()?;
        let encoders =
            self.lanes.iter_mut().flat_map(|lane| &mut lane.columns).map(|column| &mut column.encoder);
        let chunks = encoders.zip(&route.sources).map(|(encoder, source)| {
            if let Some(source) = source {
                return join::chunk(reader, &metadata, group.index, source.data, encoder);
            }
            encoder.append_nulls(group.rows.len(), &mut tools)?;
            encoder.finish(&mut tools).map(join::Pages::new)
        });
        self.file.copy(chunks).map_err(failed)?;
        tools.leave();
        self.rows += group.rows.len() as u64;
        Ok(())
    }
}

fn take_tools() -> Result<Tools, MergeError> {
    Tools::take().map_err(|error| MergeError::Write(error.into()))
}

/// A part that is being read.
struct Opened {
    input: usize,
    rows: Range<usize>,
    route: Arc<Route>,
    chunks: Box<dyn Chunks>,
}

/// Rows on their way: so many of one part, and of the next if it is a small one.
#[derive(Default)]
struct Rows(Vec<(Arc<Opened>, usize)>);

/// Neighbouring columns of the merged object.
struct MergeLane {
    first: usize,
    columns: Vec<MergeColumn>,
    read: Read,
}

struct MergeColumn {
    encoder: ChunkEncoder,
    reading: Option<Reading>,
}

impl MergeLane {
    fn all(columns: &[Column]) -> Result<Vec<Self>, ParquetError> {
        let limits = Limits::of_columns(columns.len());
        let column = |Column { name, kind }: &Column| {
            let encoder = ChunkEncoder::new(*kind, file::descriptor(name, *kind)?, limits);
            Ok(MergeColumn { encoder, reading: None })
        };
        let lane = |range: Range<usize>| {
            let first = range.start;
            let columns = columns[range].iter().map(column).collect::<Result<_, ParquetError>>()?;
            Ok(Self { first, columns, read: Read::default() })
        };
        lanes::part(columns.len()).map(lane).collect()
    }
}

impl Lane for MergeLane {
    type Batch = Rows;
    type Yield = Vec<Chunk>;
    type Error = MergeError;

    fn take(&mut self, rows: &Rows, tools: &mut Tools) -> Result<(), MergeError> {
        for (place, column) in (self.first..).zip(&mut self.columns) {
            for (part, rows) in &rows.0 {
                match &part.route.sources[place] {
                    Some(source) => column.append(part, source, *rows, &mut self.read, tools)?,
                    None => column.encoder.append_nulls(*rows, tools).map_err(MergeError::Write)?,
                }
            }
        }
        Ok(())
    }

    fn end_group(&mut self, _: bool, tools: &mut Tools) -> Result<Vec<Chunk>, MergeError> {
        let chunks = self.columns.iter_mut().map(|column| column.encoder.finish(tools));
        chunks.collect::<Result<_, _>>().map_err(MergeError::Write)
    }
}

/// A column of a part that is being read.
struct Reading {
    data: ChunkReading,
    text: Option<ChunkReading>,
    /// Rows that are still to come.
    left: usize,
}

impl Reading {
    fn start(part: &Opened, source: &Source) -> Result<Self, ParquetError> {
        let start = |index: usize, kind: Type| {
            let mut column = part.chunks.column(index, kind)?;
            if part.rows.start > 0 {
                column.skip(part.rows.start)?;
            }
            Ok::<_, ParquetError>(column)
        };
        Ok(Self {
            data: start(source.data, source.kind)?,
            text: source.text.map(|index| start(index, Type::Text)).transpose()?,
            left: part.rows.len(),
        })
    }

    /// Reads rows, no more than so many. Gives back how many.
    fn read(&mut self, most: usize, read: &mut Read) -> Result<usize, ParquetError> {
        let mut rows = most.min(self.data.at_hand());
        if let Some(text) = &mut self.text {
            rows = rows.min(text.at_hand());
            text.read(rows, &mut read.texts)?;
        }
        self.data.read(rows, &mut read.data)?;
        self.left -= rows;
        Ok(rows)
    }
}

/// What was read last, and memory for what is made of it.
#[derive(Default)]
struct Read {
    data: Cells,
    texts: Cells,
    widened: Vec<f64>,
    text: Vec<u8>,
    spans: Vec<Option<Span>>,
}

impl MergeColumn {
    /// Appends the part's next rows.
    fn append(
        &mut self,
        part: &Opened,
        source: &Source,
        rows: usize,
        read: &mut Read,
        tools: &mut Tools,
    ) -> Result<(), MergeError> {
        let failed = |error: ParquetError| MergeError::Input { input: part.input, source: error.into() };
        let reading = match &mut self.reading {
            Some(reading) => reading,
            None => self.reading.insert(Reading::start(part, source).map_err(failed)?),
        };
        let mut left = rows;
        while left > 0 {
            let rows = reading.read(left, read).map_err(failed)?;
            left -= rows;
            source.append(rows, read, &mut self.encoder, tools).map_err(MergeError::Write)?;
        }
        if reading.left == 0 {
            self.reading = None;
        }
        Ok(())
    }
}

/// The columns of all inputs, with the types that hold them in all.
fn unite<R>(inputs: &[Input<R>], types: &ColumnTypes) -> Vec<Column> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut united: Vec<(String, TypeSet)> = Vec::new();
    for column in inputs.iter().flat_map(|input| &input.columns) {
        let place = *places.entry(column.name.to_lowercase()).or_insert_with(|| {
            united.push((column.name.clone(), TypeSet::ALL));
            united.len() - 1
        });
        united[place].1 = united[place].1.and(column.fits);
    }
    let choose_type = |(name, fits): (String, TypeSet)| {
        let kind = match types.get(&name) {
            Some(pin) if !fits.votes() => pin.default_type(),
            Some(pin) => fits.and(pin.types()).first(),
            None => fits.first(),
        };
        Column { name, kind }
    };
    united.into_iter().map(choose_type).collect()
}

/// How an input's columns become those of the merged object.
struct Route {
    /// For each merged column, what it is made of.
    sources: Vec<Option<Source>>,
}

/// Columns of the input, by their places.
struct Source {
    kind: Type,
    style: Style,
    data: usize,
    text: Option<usize>,
}

impl Route {
    fn new<R>(input: &Input<R>, columns: &[Column], places: &HashMap<String, usize>) -> Self {
        let mut sources: Vec<Option<Source>> = columns.iter().map(|_| None).collect();
        for FragmentColumn { name, index, kind, fits, style, text } in &input.columns {
            let Some(place) = places.get(&name.to_lowercase()) else { continue };
            // A column without a value is null in every type, and has texts only where it becomes text.
            let is_text = columns[*place].kind == Type::Text;
            if fits.votes() || is_text {
                let text = text.filter(|_| is_text);
                sources[*place] = Some(Source { kind: *kind, style: style.clone(), data: *index, text });
            }
        }
        Self { sources }
    }

    /// Whether all columns have the same type there and in the merged object.
    fn agrees<R>(&self, input: &Input<R>, columns: &[Column]) -> bool {
        let agree = |(source, column): (&Option<Source>, &Column)| {
            source.as_ref().is_none_or(|source| source.kind == column.kind)
        };
        !input.columns.is_empty() && self.sources.iter().zip(columns).all(agree)
    }
}

impl Source {
    /// Appends rows that were read.
    fn append(
        &self,
        rows: usize,
        read: &mut Read,
        encoder: &mut ChunkEncoder,
        tools: &mut Tools,
    ) -> Result<(), ParquetError> {
        let Cells { valid, booleans, integers, doubles, days, .. } = &read.data;
        match (self.kind, encoder.kind()) {
            (_, Type::Text) => self.append_texts(rows, read, encoder, tools),
            (Type::Boolean, Type::Boolean) => encoder.append_bool(booleans, valid, tools),
            (Type::Int64, Type::Int64)
            | (Type::TimestampUtc, Type::TimestampUtc)
            | (Type::TimestampLocal, Type::TimestampLocal) => encoder.append_i64(integers, valid, tools),
            (Type::Int64, Type::Float64) => {
                read.widened.clear();
                read.widened.extend(integers.iter().map(|whole| value::as_float64(*whole)));
                encoder.append_f64(&read.widened, valid, tools)
            }
            (Type::Float64, Type::Float64) => encoder.append_f64(doubles, valid, tools),
            (Type::Date, Type::Date) => encoder.append_i32(days, valid, tools),
            // The types were chosen so that this does not happen.
            (kind, other) => {
                Err(ParquetError::General(format!("a column of type {kind:?} in one of type {other:?}")))
            }
        }
    }

    /// Appends what stood in the CSV: the text that was kept, or else the value in its style.
    fn append_texts(
        &self,
        rows: usize,
        read: &mut Read,
        encoder: &mut ChunkEncoder,
        tools: &mut Tools,
    ) -> Result<(), ParquetError> {
        let Read { data, texts, text, spans, .. } = read;
        let mut encode = |text: &mut Vec<u8>, spans: &mut Vec<Option<Span>>| {
            // All at once, which is far quicker than one by one.
            str::from_utf8(text).map_err(|error| ParquetError::External(Box::new(error)))?;
            encoder.append_texts(text, spans.drain(..), tools)?;
            text.clear();
            Ok::<_, ParquetError>(())
        };
        let mut kept = texts.texts.iter();
        let mut values = 0;
        for row in 0..rows {
            let has_value = data.valid.get(row).is_none_or(|valid| *valid);
            let is_kept = self.text.is_some() && texts.valid.get(row).is_none_or(|valid| *valid);
            let start = text.len();
            if is_kept && let Some(kept) = kept.next() {
                text.extend_from_slice(kept.data());
            } else if has_value {
                self.write_value(text, data, values)?;
            }
            values += usize::from(has_value);
            let span = Span { start: narrow(start), end: narrow(text.len()) };
            spans.push((has_value || is_kept).then_some(span));
            if text.len() >= TEXT_BYTES {
                encode(text, spans)?;
            }
        }
        encode(text, spans)
    }

    /// Renders the value of this number, as the CSV would have it.
    fn write_value(&self, out: &mut Vec<u8>, cells: &Cells, value: usize) -> Result<(), ParquetError> {
        let Self { kind, style, .. } = self;
        let rendered = &mut Rendered(out);
        match kind {
            Type::Boolean => style.write_boolean(rendered, cells.booleans[value]),
            Type::Int64 => value::write_int64(rendered, cells.integers[value]),
            Type::Float64 => style.write_float64(rendered, cells.doubles[value]),
            Type::Date => value::write_date(rendered, cells.days[value]),
            Type::TimestampUtc | Type::TimestampLocal => {
                let micros = Micros { micros: cells.integers[value], utc: *kind == Type::TimestampUtc };
                style.write_timestamp(rendered, micros)
            }
            Type::Text => {
                out.extend_from_slice(cells.texts[value].data());
                Ok(())
            }
        }
        .map_err(|error| ParquetError::External(Box::new(error)))
    }
}

/// Takes what is rendered.
struct Rendered<'a>(&'a mut Vec<u8>);

impl fmt::Write for Rendered<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Texts are encoded long before they are 4 GiB.
fn narrow(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use parquet::file::metadata::ParquetMetaDataReader;

    use super::*;
    use crate::COLUMNS_KEY;
    use crate::testing::{ReadColumn, converted, fragment, merged, pins, read, table_of};

    fn column(name: &str, kind: Type, cells: &[&str]) -> ReadColumn {
        let cell = |cell: &&str| (!cell.is_empty()).then(|| (*cell).to_owned());
        (name.to_owned(), kind, cells.iter().map(cell).collect())
    }

    #[test]
    fn columns_are_united_by_name() {
        let found = table_of(&["a,B\n1,2\n", "b,c\n3,4\n", "A\n5\n"], "");
        let expected = [
            column("a", Type::Int64, &["1", "", "5"]),
            column("B", Type::Int64, &["2", "3", ""]),
            column("c", Type::Int64, &["", "4", ""]),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_column_has_the_first_type_that_holds_it_in_every_file() {
        for (files, kind, cells) in [
            (&["1", "2.5"][..], Type::Float64, &["1.0", "2.5"][..]),
            (&["1", "NA", "\"\""], Type::Int64, &["1", "", ""]),
            (&["NA", "\"\"", "null"], Type::Text, &["NA", "", "null"]),
            (&["1", "true"], Type::Text, &["1", "true"]),
            (&["TRUE", "01"], Type::Text, &["TRUE", "01"]),
            (&["1.50", "x"], Type::Text, &["1.50", "x"]),
            (&["1.5", "-0", "NaN", "1e5", "x"], Type::Text, &["1.5", "-0", "NaN", "1e5", "x"]),
            (&["9007199254740993", "0.5"], Type::Text, &["9007199254740993", "0.5"]),
            (&["9007199254740992", "0.5"], Type::Float64, &["9007199254740992.0", "0.5"]),
            (&["2021-01-01", "2021-01-01T00:00"], Type::Text, &["2021-01-01", "2021-01-01T00:00"]),
            (
                &["2021-01-01 00:00:00.100+02:00", "2021-01-01"],
                Type::Text,
                &["2021-01-01 00:00:00.100+02:00", "2021-01-01"],
            ),
            (&["2021-01-01T00:00:00Z", "x"], Type::Text, &["2021-01-01T00:00:00Z", "x"]),
            (&["1\nNA", "x"], Type::Text, &["1", "NA", "x"]),
            (&["1\nNA", "2"], Type::Int64, &["1", "", "2"]),
        ] {
            let csvs: Vec<String> = files.iter().map(|values| format!("a\n{values}\n")).collect();
            let csvs: Vec<&str> = csvs.iter().map(String::as_str).collect();
            assert_eq!(table_of(&csvs, ""), [column("a", kind, cells)], "{files:?}");
        }
    }

    #[test]
    fn a_pin_holds_for_the_window() {
        for (files, types, kind, cells) in [
            (&["NA", "1"][..], "a=int64", Type::Int64, &["", "1"][..]),
            (&["NA", "null"], "a=date", Type::Date, &["", ""]),
            (&["1", "2.5"], "a=string", Type::Text, &["1", "2.5"]),
            (&["1", "2"], "a=float64", Type::Float64, &["1.0", "2.0"]),
            (
                &["2021-01-01T00:00", "2021-01-01T00:00Z"],
                "a=timestamp",
                Type::Text,
                &["2021-01-01T00:00", "2021-01-01T00:00Z"],
            ),
        ] {
            let csvs: Vec<String> = files.iter().map(|values| format!("a\n{values}\n")).collect();
            let csvs: Vec<&str> = csvs.iter().map(String::as_str).collect();
            assert_eq!(table_of(&csvs, types), [column("a", kind, cells)], "{files:?}");
        }
    }

    #[test]
    fn files_without_columns_give_a_file_that_readers_take() {
        let empty = || fragment("", "a=int64");
        let (output, found) = merged(&[empty(), empty()], "");
        assert_eq!((found.rows, found.columns), (0, vec![]));
        assert_eq!(read(&output), [column("column_1", Type::Text, &[])]);
        assert_eq!(read(&merged(&[], "").0), [column("column_1", Type::Text, &[])]);
        let carried = Input::rows_of(output, 0..0).unwrap();
        assert_eq!(
            read(&merged(&[carried, fragment("a\n1\n", "")], "").0),
            [column("a", Type::Int64, &["1"])]
        );
        assert_eq!(table_of(&["", "a\n", "a\n1\n"], ""), [column("a", Type::Int64, &["1"])]);
    }

    /// Pins may be set, changed and removed while fragments are there.
    #[test]
    fn fragments_of_other_pins_keep_their_values() {
        let free = fragment("a\n01.50\n2\nNA\n", "");
        assert_eq!(read(&merged(&[free], "a=int64").0), [column("a", Type::Text, &["01.50", "2", "NA"])]);
        let whole = fragment("a\n1\nNA\n", "");
        assert_eq!(read(&merged(&[whole], "a=string").0), [column("a", Type::Text, &["1", "NA"])]);
        let whole = fragment("a\n1\nNA\n", "");
        assert_eq!(read(&merged(&[whole], "a=float64").0), [column("a", Type::Float64, &["1.0", ""])]);
        let pinned = fragment("a\n1\nNA\n", "a=string");
        assert_eq!(read(&merged(&[pinned], "a=int64").0), [column("a", Type::Text, &["1", "NA"])]);
    }

    #[test]
    fn carried_rows_keep_their_type_or_widen() {
        for (former, new, kind, cells) in [
            ("1\n2", "3", Type::Int64, &["1", "2", "3"][..]),
            ("1\n2", "0.5", Type::Float64, &["1.0", "2.0", "0.5"]),
            ("1.50\n2", "3", Type::Float64, &["1.5", "2.0", "3.0"]),
            ("1.50\n-0\nNaN", "x", Type::Text, &["1.5", "-0", "NaN", "x"]),
            ("9007199254740993\n2", "0.5", Type::Text, &["9007199254740993", "2", "0.5"]),
            ("TRUE", "x", Type::Text, &["true", "x"]),
            ("2021-01-01 00:00+01:00", "x", Type::Text, &["2020-12-31T23:00:00Z", "x"]),
            ("2021-01-01 00:00", "x", Type::Text, &["2021-01-01T00:00:00", "x"]),
            ("2021-01-01", "x", Type::Text, &["2021-01-01", "x"]),
            ("x", "1", Type::Text, &["x", "1"]),
            ("\"\"", "1", Type::Int64, &["", "1"]),
        ] {
            let former_output = merged(&[fragment(format!("a\n{former}\n"), "")], "").0;
            let rows = former.lines().count() as u64;
            let carried = Input::rows_of(former_output, 0..rows).unwrap();
            let output = merged(&[carried, fragment(format!("a\n{new}\n"), "")], "").0;
            assert_eq!(read(&output), [column("a", kind, cells)], "{former:?} {new:?}");
        }
    }

    #[test]
    fn only_the_rows_asked_for_are_carried() {
        // More than one row group.
        let rows = 1_060_000;
        let text: Vec<String> = (0..rows).map(|row| (row % 1_000).to_string()).collect();
        let former = merged(&[fragment(format!("a\n{}\n", text.join("\n")), "")], "").0;
        let groups =
            ParquetRecordBatchReaderBuilder::try_new(former.clone()).unwrap().metadata().num_row_groups();
        assert_eq!(groups, 2);
        let border = 1_048_576;
        for range in
            [0..0, 0..1, 8_190..8_195, 40_123..45_321, border - 1..border + 2, rows - 1..rows, rows..rows]
        {
            let carried = Input::rows_of(former.clone(), range.clone()).unwrap();
            assert_eq!(carried.rows(), range.end - range.start);
            let found = read(&merged(&[carried], "").0);
            let expected: Vec<String> = range.clone().map(|row| (row % 1_000).to_string()).collect();
            assert!(found[0].2.iter().flatten().eq(&expected), "{range:?}");
        }
        let beyond = Input::rows_of(former, 5..rows + 1);
        assert!(matches!(beyond, Err(InputError::NoSuchRows { rows: 1_060_000, .. })));
    }

    /// The bytes of a column's pages in the first row group.
    fn chunk(file: &bytes::Bytes, column: usize) -> bytes::Bytes {
        let metadata = ParquetMetaDataReader::new().parse_and_finish(file).unwrap();
        let (start, length) = metadata.row_group(0).column(column).byte_range();
        let start = usize::try_from(start).unwrap();
        file.slice(start..start + usize::try_from(length).unwrap())
    }

    #[test]
    fn large_row_groups_stand_as_they_are() {
        let rows = 150_000_u32;
        let numbers: Vec<String> = (0..rows).map(|row| row.to_string()).collect();
        let words: Vec<String> = (0..rows).map(|row| format!("word {}", row % 91)).collect();
        let lines: Vec<String> =
            numbers.iter().zip(&words).map(|(one, other)| format!("{one},{other}")).collect();
        let csv = format!("a,Word\n{}\n", lines.join("\n"));
        let large = converted(csv, "").unwrap().0;
        let some = |texts: &[String]| -> Vec<Option<String>> { texts.iter().cloned().map(Some).collect() };
        let none = |rows: usize| -> Vec<Option<String>> { vec![None; rows] };
        let expected = [
            ("c".to_owned(), Type::Boolean, [vec![Some("true".to_owned())], none(numbers.len())].concat()),
            ("word".to_owned(), Type::Text, [vec![Some("x".to_owned())], some(&words)].concat()),
            ("a".to_owned(), Type::Int64, [none(1), some(&numbers)].concat()),
        ];
        let small = || fragment("c,word\ntrue,x\n", "");
        let output = merged(&[small(), Input::fragment(large.clone()).unwrap()], "").0;
        assert!(read(&output) == expected);
        let groups = ParquetMetaDataReader::new().parse_and_finish(&output).unwrap().num_row_groups();
        assert_eq!(groups, 2);
        // First, so that it is the first row group; once more after it was carried.
        let first = merged(&[Input::fragment(large.clone()).unwrap(), small()], "").0;
        let carried = Input::rows_of(first.clone(), 0..u64::from(rows)).unwrap();
        let again = merged(&[carried, small()], "").0;
        for column in 0..2 {
            assert!(
                chunk(&first, column) == chunk(&large, column)
                    && chunk(&again, column) == chunk(&large, column)
            );
        }
        let told = |file: &bytes::Bytes, column: usize| {
            let metadata = ParquetMetaDataReader::new().parse_and_finish(file).unwrap();
            let chunk = metadata.row_group(0).column(column).clone();
            let sizes = [chunk.num_values(), chunk.compressed_size(), chunk.uncompressed_size()];
            (sizes, chunk.statistics().cloned(), chunk.unencoded_byte_array_data_bytes())
        };
        for column in 0..2 {
            assert_eq!(told(&first, column), told(&large, column));
        }
        assert!(read(&again) == read(&first));
        // Another type, and they are not.
        let widened = merged(&[Input::fragment(large).unwrap(), fragment("a\n0.5\n", "")], "").0;
        let doubles: Vec<String> = numbers.iter().map(|number| format!("{number}.0")).collect();
        assert!(
            read(&widened)[0]
                == ("a".to_owned(), Type::Float64, [some(&doubles), some(&["0.5".to_owned()])].concat())
        );
    }

    #[test]
    fn only_the_rows_that_are_carried_have_a_say() {
        let former = merged(&[fragment("a,b\n1,9007199254740993\nNA,5\n,6\n2,7\n", "")], "").0;
        let carried = Input::rows_of(former.clone(), 1..3).unwrap();
        let found = read(&merged(&[carried, fragment("a,b\n2021-01-01,0.5\n", "")], "").0);
        let a = column("a", Type::Date, &["", "", "2021-01-01"]);
        assert_eq!(found, [a, column("b", Type::Float64, &["5.0", "6.0", "0.5"])]);
        let carried = Input::rows_of(former, 0..1).unwrap();
        let found = read(&merged(&[carried, fragment("a,b\n0.5,0.5\n", "")], "").0);
        let a = column("a", Type::Float64, &["1.0", "0.5"]);
        assert_eq!(found, [a, column("b", Type::Text, &["9007199254740993", "0.5"])]);
    }

    /// An odd spelling far behind the first row group, where none was kept.
    #[test]
    fn texts_come_back_from_every_row_group() {
        let rows = 1_060_000;
        let csv = format!("a\n{}1.5\n", "1.50\n".repeat(rows));
        let found = table_of(&[&csv, "a\nx\n"], "").swap_remove(0);
        assert_eq!(found.1, Type::Text);
        let (odd, even) = found.2.split_at(rows);
        assert!(odd.iter().all(|cell| cell.as_deref() == Some("1.50")));
        assert_eq!(even, [Some("1.5".to_owned()), Some("x".to_owned())]);
    }

    #[test]
    fn damage_is_an_error_that_names_the_input() {
        const ZSTD: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
        let row = |row: u64| format!("{},x\n", (row * row).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20);
        let csv = format!("a,b\n{}", (0..400).map(row).collect::<String>());
        let whole = converted(csv, "").unwrap().0;
        let frames: Vec<usize> = (0..whole.len()).filter(|at| whole[*at..].starts_with(&ZSTD)).collect();
        assert!(frames.len() >= 2);
        for at in frames {
            let mut damaged = whole.to_vec();
            damaged[at] ^= 1;
            let inputs = [fragment("a\n1\n", ""), Input::fragment(bytes::Bytes::from(damaged)).unwrap()];
            let found = merge(&inputs, &pins(""), Vec::new(), Vec::new());
            assert!(matches!(found, Err(MergeError::Input { input: 1, .. })), "{at}: {found:?}");
        }
        for length in 0..whole.len() {
            assert!(Input::fragment(whole.slice(..length)).is_err(), "{length}");
        }
        // The pages are not there, though the footer is.
        let footer = whole.slice(1_500..);
        let found = Input::fragment(footer).unwrap_err();
        assert!(format!("{found:?}").contains("lie outside of the file"), "{found:?}");
    }

    #[test]
    fn metadata_is_written_and_read() {
        let (_, _, summary) = converted("a\n1\n", "").unwrap();
        let mut fragment = Vec::new();
        let metadata = |found: &crate::Summary| {
            assert_eq!(*found, summary);
            vec![("windrow.source".to_owned(), "x".to_owned())]
        };
        crate::convert(std::io::Cursor::new("a\n1\n"), &pins(""), metadata, &mut fragment, Vec::new())
            .unwrap();
        let input = Input::fragment(bytes::Bytes::from(fragment)).unwrap();
        assert_eq!(input.metadata("windrow.source"), Some("x"));
        assert!(input.metadata(COLUMNS_KEY).unwrap().starts_with(r#"{"version":2,"#));
        let output = merged(&[input], "").0;
        assert_eq!(crate::Footer::read(&output).unwrap().metadata("key"), Some("value"));
        assert!(matches!(Input::fragment(output), Err(InputError::NotAFragment { .. })));
        assert!(matches!(
            Input::fragment(bytes::Bytes::from_static(b"a,b\n1,2\n")),
            Err(InputError::Read(_))
        ));
    }

    /// The pages, encodings and statistics that the contract names.
    #[test]
    fn files_are_written_as_the_contract_says() {
        use parquet::basic::{Compression, PageType};
        use parquet::file::reader::{FileReader, SerializedFileReader};
        use parquet::file::serialized_reader::ReadOptionsBuilder;

        let csv = format!("a,b\n{}", "1,x\n".repeat(300_000));
        let output = merged(&[fragment(csv, "")], "").0;
        let options = ReadOptionsBuilder::new().with_page_index().build();
        let reader = SerializedFileReader::new_with_options(output, options).unwrap();
        let metadata = reader.metadata();
        assert_eq!(metadata.file_metadata().version(), 1);
        assert_eq!(metadata.num_row_groups(), 1);
        for (index, column) in metadata.row_group(0).columns().iter().enumerate() {
            assert!(matches!(column.compression(), Compression::ZSTD(_)));
            assert!(column.statistics().is_some_and(|found| found.min_bytes_opt().is_some()));
            assert!(column.column_index_offset().is_some() && column.offset_index_offset().is_some());
            let pages = reader.get_row_group(0).unwrap().get_column_page_reader(index).unwrap();
            let kinds: Vec<PageType> = pages.map(|page| page.unwrap().page_type()).collect();
            assert!(kinds.len() > 2 && !kinds.contains(&PageType::DATA_PAGE_V2), "{kinds:?}");
        }
    }
}
