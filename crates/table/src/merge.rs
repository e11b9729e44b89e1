//! Fragments, and rows carried from a former output, to one Parquet object.

use std::collections::HashMap;
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray, RecordBatch, StringArray,
};
use parquet::errors::ParquetError;
use parquet::file::reader::ChunkReader;

use crate::batch::Span;
use crate::chunks::Zstd;
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
            } else if !route.read.is_empty() {
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
        let mut parts = parts.into_iter();
        let zstd = Zstd::new().map_err(MergeError::Write)?;
        let mut reading = None;
        let (mut group_rows, mut group_bytes) = (0, 0);
        let rows = &mut self.rows;
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
                let (Part { input, group, route }, reader) = if let Some(reading) = &mut reading {
                    reading
                } else {
                    let Some(part) = parts.next() else {
                        return Ok(if next.is_empty() { Next::End } else { Next::Batch });
                    };
                    let reader = inputs[part.input]
                        .read(&part.group, Some(&part.route.read), &zstd)
                        .map_err(|error| MergeError::Input { input: part.input, source: error.into() })?;
                    reading.insert((part, reader))
                };
                let failed = |error: ParquetError| MergeError::Input { input: *input, source: error.into() };
                let Some(batch) = reader.next().transpose().map_err(|error| failed(error.into()))? else {
                    if !group.rows.is_empty() {
                        let missing = format!("{} rows are missing", group.rows.len());
                        return Err(failed(ParquetError::EOF(missing)));
                    }
                    reading = None;
                    continue;
                };
                group.rows.start += batch.num_rows();
                *rows += batch.num_rows() as u64;
                group_rows += batch.num_rows();
                group_bytes += bytes_of(&batch);
                bytes += bytes_of(&batch);
                next.push((route.clone(), batch));
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
        let encoders = self.lanes.iter_mut().flat_map(|lane| &mut lane.encoders);
        let chunks = encoders.zip(&route.sources).map(|(encoder, source)| {
            if let Some(source) = source {
                return join::chunk(&reader, &metadata, group.index, route.read[source.data], encoder);
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

/// Rows on their way, of one input or of several small ones.
#[derive(Default)]
struct Rows(Vec<(Arc<Route>, RecordBatch)>);

/// Neighbouring columns of the merged object.
struct MergeLane {
    first: usize,
    encoders: Vec<ChunkEncoder>,
}

impl MergeLane {
    fn all(columns: &[Column]) -> Result<Vec<Self>, ParquetError> {
        let limits = Limits::of_columns(columns.len());
        let encoder = |Column { name, kind }: &Column| {
            Ok(ChunkEncoder::new(*kind, file::descriptor(name, *kind)?, limits))
        };
        let lane = |range: Range<usize>| {
            let first = range.start;
            Ok(Self {
                first,
                encoders: columns[range].iter().map(encoder).collect::<Result<_, ParquetError>>()?,
            })
        };
        lanes::part(columns.len()).map(lane).collect()
    }
}

impl Lane for MergeLane {
    type Batch = Rows;
    type Yield = Vec<Chunk>;
    type Error = MergeError;

    fn take(&mut self, rows: &Rows, tools: &mut Tools) -> Result<(), MergeError> {
        for (place, encoder) in (self.first..).zip(&mut self.encoders) {
            for (route, batch) in &rows.0 {
                match &route.sources[place] {
                    Some(source) => source.append(batch, encoder, tools),
                    None => encoder.append_nulls(batch.num_rows(), tools),
                }
                .map_err(MergeError::Write)?;
            }
        }
        Ok(())
    }

    fn end_group(&mut self, _: bool, tools: &mut Tools) -> Result<Vec<Chunk>, MergeError> {
        let chunks = self.encoders.iter_mut().map(|encoder| encoder.finish(tools));
        chunks.collect::<Result<_, _>>().map_err(MergeError::Write)
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
    /// Columns to be read.
    read: Vec<usize>,
    /// For each merged column, what it is made of.
    sources: Vec<Option<Source>>,
}

/// Places are in the batches that are read.
struct Source {
    kind: Type,
    style: Style,
    data: usize,
    text: Option<usize>,
}

impl Route {
    fn new<R>(input: &Input<R>, columns: &[Column], places: &HashMap<String, usize>) -> Self {
        let mut sources: Vec<Option<&FragmentColumn>> = vec![None; columns.len()];
        for column in &input.columns {
            if let Some(place) = places.get(&column.name.to_lowercase()) {
                sources[*place] = Some(column);
            }
        }
        // A column without a value is null in every type, and has texts only where it becomes text.
        let is_text = |place: usize| columns[place].kind == Type::Text;
        let wanted = |(place, source): (usize, Option<&'_ FragmentColumn>)| {
            source.filter(|source| source.fits.votes() || is_text(place)).cloned().map(|mut source| {
                source.text = source.text.filter(|_| is_text(place));
                source
            })
        };
        let wanted: Vec<Option<FragmentColumn>> = sources.into_iter().enumerate().map(wanted).collect();
        let mut read: Vec<usize> =
            wanted.iter().flatten().flat_map(|source| [Some(source.index), source.text]).flatten().collect();
        // Rows are to be counted even where nothing of them is wanted.
        if read.is_empty() {
            read.extend(input.columns.first().map(|column| column.index));
        }
        read.sort_unstable();
        let place = |index: usize| read.partition_point(|other| *other < index);
        let source = |FragmentColumn { kind, style, index, text, .. }: FragmentColumn| Source {
            kind,
            style,
            data: place(index),
            text: text.map(place),
        };
        let sources = wanted.into_iter().map(|wanted| wanted.map(source)).collect();
        Self { read, sources }
    }

    /// Whether all columns have the same type there and in the merged object.
    fn agrees<R>(&self, input: &Input<R>, columns: &[Column]) -> bool {
        let agree = |(source, column): (&Option<Source>, &Column)| {
            source.as_ref().is_none_or(|source| source.kind == column.kind)
        };
        !input.columns.is_empty() && self.sources.iter().zip(columns).all(agree)
    }
}

/// About how large a batch's values are.
fn bytes_of(batch: &RecordBatch) -> usize {
    let size = |array: &ArrayRef| match array.as_any().downcast_ref::<StringArray>() {
        Some(texts) => texts
            .value_offsets()
            .last()
            .zip(texts.value_offsets().first())
            .map_or(0, |(end, start)| usize::try_from(end - start).unwrap_or_default()),
        None => 8 * array.len(),
    };
    batch.columns().iter().map(size).sum()
}

impl Source {
    fn append(
        &self,
        batch: &RecordBatch,
        encoder: &mut ChunkEncoder,
        tools: &mut Tools,
    ) -> Result<(), ParquetError> {
        let data = batch.column(self.data);
        match (self.kind, encoder.kind()) {
            (Type::Boolean, Type::Boolean) => {
                let (values, valid) = booleans(data.as_boolean());
                encoder.append_bool(&values, &valid, tools)
            }
            (Type::Int64, Type::Int64) => {
                let (values, valid) = numbers::<Int64Type>(data.as_primitive());
                encoder.append_i64(&values, &valid, tools)
            }
            (Type::Int64, Type::Float64) => {
                let (values, valid) = numbers::<Int64Type>(data.as_primitive());
                let values: Vec<f64> = values.into_iter().map(value::as_float64).collect();
                encoder.append_f64(&values, &valid, tools)
            }
            (Type::Float64, Type::Float64) => {
                let (values, valid) = numbers::<Float64Type>(data.as_primitive());
                encoder.append_f64(&values, &valid, tools)
            }
            (Type::Date, Type::Date) => {
                let (values, valid) = numbers::<Date32Type>(data.as_primitive());
                encoder.append_i32(&values, &valid, tools)
            }
            (Type::TimestampUtc, Type::TimestampUtc) | (Type::TimestampLocal, Type::TimestampLocal) => {
                let (values, valid) = numbers::<TimestampMicrosecondType>(data.as_primitive());
                encoder.append_i64(&values, &valid, tools)
            }
            (Type::Text, Type::Text) => {
                let texts = data.as_string::<i32>();
                let span = |row: usize| texts.is_valid(row).then(|| span(texts, row));
                encoder.append_texts(texts.value_data(), (0..texts.len()).map(span), tools)
            }
            (_, Type::Text) => {
                let (buffer, spans) = self.render(batch, data)?;
                encoder.append_texts(buffer.as_bytes(), spans.into_iter(), tools)
            }
            // The types were chosen so that this does not happen.
            (kind, other) => {
                Err(ParquetError::General(format!("a column of type {kind:?} in one of type {other:?}")))
            }
        }
    }

    /// What stood in the CSV: the text that was kept, or else the value in its style.
    fn render(
        &self,
        batch: &RecordBatch,
        data: &ArrayRef,
    ) -> Result<(String, Vec<Option<Span>>), ParquetError> {
        let texts = self.text.map(|index| batch.column(index).as_string::<i32>());
        let mut buffer = String::new();
        let mut spans = Vec::with_capacity(data.len());
        for row in 0..data.len() {
            let start = buffer.len();
            match texts.filter(|texts| texts.is_valid(row)) {
                Some(texts) => buffer.push_str(texts.value(row)),
                None if data.is_null(row) => {
                    spans.push(None);
                    continue;
                }
                None => write_value(&mut buffer, self.kind, &self.style, data, row)
                    .map_err(|error| ParquetError::External(Box::new(error)))?,
            }
            spans.push(Some(Span { start: narrow(start), end: narrow(buffer.len()) }));
        }
        Ok((buffer, spans))
    }
}

/// A batch's texts are far smaller than 4 GiB.
fn narrow(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

fn span(texts: &StringArray, row: usize) -> Span {
    let place = |row: usize| texts.value_offsets()[row].cast_unsigned();
    Span { start: place(row), end: place(row + 1) }
}

/// The values that are not null, and which rows have one unless all do.
fn numbers<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>) -> (Vec<T::Native>, Vec<bool>) {
    match array.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => (array.values().to_vec(), Vec::new()),
        Some(nulls) => (array.iter().flatten().collect(), nulls.iter().collect()),
    }
}

fn booleans(array: &BooleanArray) -> (Vec<bool>, Vec<bool>) {
    match array.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => (array.values().iter().collect(), Vec::new()),
        Some(nulls) => (array.iter().flatten().collect(), nulls.iter().collect()),
    }
}

/// Renders a value that is not null.
fn write_value(
    out: &mut String,
    kind: Type,
    style: &Style,
    data: &dyn Array,
    row: usize,
) -> std::fmt::Result {
    match kind {
        Type::Boolean => style.write_boolean(out, data.as_boolean().value(row)),
        Type::Int64 => value::write_int64(out, data.as_primitive::<Int64Type>().value(row)),
        Type::Float64 => style.write_float64(out, data.as_primitive::<Float64Type>().value(row)),
        Type::Date => value::write_date(out, data.as_primitive::<Date32Type>().value(row)),
        Type::TimestampUtc | Type::TimestampLocal => {
            let micros = data.as_primitive::<TimestampMicrosecondType>().value(row);
            style.write_timestamp(out, Micros { micros, utc: kind == Type::TimestampUtc })
        }
        Type::Text => {
            out.push_str(data.as_string::<i32>().value(row));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

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
