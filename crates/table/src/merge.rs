//! Fragments, and rows carried from a former output, to one Parquet object.

use std::collections::HashMap;
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData};
use parquet::file::reader::{ChunkReader, Length};

use crate::convert::Column;
use crate::fragment::{self, COLUMNS_KEY, FragmentColumn, describe};
use crate::sheet::{self, BATCH_ROWS, BATCH_TEXT_BYTES, Builder, Sheet};
use crate::types::{ColumnTypes, Type, TypeSet};
use crate::value::{self, Micros};

/// No rendered value, save text, is longer.
const RENDERED_BYTES: usize = 32;

/// Stands in an output that would have no column: DuckDB, for one, refuses a file without columns, and with it every
/// query over the folder that it lies in. The name is the one that an empty header field gets.
const NO_COLUMNS: &str = "column_1";

/// Why a Parquet file is no input of a merge.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// Reading failed, or it is no Parquet.
    #[error("cannot read the Parquet file")]
    Read(#[from] ParquetError),
    /// It is not a fragment that this build can read.
    #[error("not a fragment: {reason}")]
    NotAFragment {
        /// What is missing or unknown.
        reason: String,
    },
    /// Rows are asked for that it does not have.
    #[error("rows {} to {} are asked for, but there are {rows}", range.start, range.end)]
    NoSuchRows {
        /// The rows asked for.
        range: Range<u64>,
        /// How many there are.
        rows: u64,
    },
    /// A column of a type that is never written here.
    #[error("column `{column}` has type {found}, which no output has")]
    UnknownType {
        /// The column.
        column: String,
        /// Its type, as Arrow calls it.
        found: String,
    },
}

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

fn key_values(metadata: &ParquetMetaData) -> Vec<(String, String)> {
    let pairs = metadata.file_metadata().key_value_metadata().into_iter().flatten();
    pairs.filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?))).collect()
}

fn options() -> ArrowReaderOptions {
    // Arrow's own schema is not written, and is not believed either.
    ArrowReaderOptions::new().with_skip_arrow_metadata(true).with_page_index_policy(PageIndexPolicy::Optional)
}

/// Rows to be merged: a fragment, or rows of a former output.
///
/// Only what is needed of the footer is kept; rows are read when they are merged.
#[derive(Debug)]
pub struct Input<R> {
    reader: Arc<R>,
    range: Range<u64>,
    columns: Vec<FragmentColumn>,
    metadata: Vec<(String, String)>,
}

impl<R: ChunkReader + 'static> Input<R> {
    /// Opens a fragment.
    ///
    /// # Errors
    ///
    /// Where it cannot be read or is none.
    pub fn fragment(reader: impl Into<Arc<R>>) -> Result<Self, InputError> {
        let reader = reader.into();
        let builder = open(&reader)?;
        let rows = rows_of(builder.metadata());
        let metadata = key_values(builder.metadata());
        let not_a_fragment = |reason: String| InputError::NotAFragment { reason };
        let Some((_, described)) = metadata.iter().find(|(key, _)| key == COLUMNS_KEY) else {
            return Err(not_a_fragment(format!("it has no `{COLUMNS_KEY}`")));
        };
        let columns = fragment::from_json(described).map_err(not_a_fragment)?;
        let fields = builder.schema().fields();
        let is_field = |index: usize, kind: Type| {
            fields.get(index).is_some_and(|field| Type::of_arrow(field.data_type()) == Some(kind))
        };
        for column in &columns {
            let text_is_there = column.text.is_none_or(|index| is_field(index, Type::Text));
            if !is_field(column.index, column.kind) || !text_is_there || !column.fits.has(column.kind) {
                return Err(not_a_fragment(format!("its column `{}` is not as described", column.name)));
            }
        }
        Ok(Self { reader, range: 0..rows, columns, metadata })
    }

    /// Takes rows `range`, counted from 0, from a former output. They are read once here, since their values decide
    /// which wider types may hold them.
    ///
    /// A column keeps its type or widens. One that is null in all these rows has no vote.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, does not have these rows, or has a column of a type that is never written here.
    pub fn rows_of(reader: impl Into<Arc<R>>, range: Range<u64>) -> Result<Self, InputError> {
        let reader = reader.into();
        let builder = open(&reader)?;
        let rows = rows_of(builder.metadata());
        if range.start > range.end || range.end > rows {
            return Err(InputError::NoSuchRows { range, rows });
        }
        let metadata = key_values(builder.metadata());
        // Only an output with a stand-in column describes its columns: as none.
        if metadata.iter().any(|(key, _)| key == COLUMNS_KEY) {
            return Ok(Self { reader, range, columns: Vec::new(), metadata: Vec::new() });
        }
        let mut columns = Vec::new();
        for (index, field) in builder.schema().fields().iter().enumerate() {
            let name = field.name().clone();
            let Some(kind) = Type::of_arrow(field.data_type()) else {
                return Err(InputError::UnknownType { column: name, found: field.data_type().to_string() });
            };
            columns.push(FragmentColumn { name, index, kind, fits: TypeSet::ALL, text: None });
        }
        for batch in read(builder, &range, None)? {
            let batch = batch.map_err(ParquetError::from)?;
            for (column, array) in columns.iter_mut().zip(batch.columns()) {
                column.fits = column.fits.and(carried_fit(column.kind, column.fits, array));
            }
        }
        // The output's metadata grows with its inputs, each of which may be carried: a copy for each would be a square.
        Ok(Self { reader, range, columns, metadata: Vec::new() })
    }

    /// How many rows it has.
    pub fn rows(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// The value of a key of the fragment's metadata; rows of a former output have none.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// The types that hold these values of a column, which has been of this type before.
fn carried_fit(kind: Type, so_far: TypeSet, array: &ArrayRef) -> TypeSet {
    if array.null_count() == array.len() {
        return TypeSet::ALL;
    }
    if kind != Type::Int64 || !so_far.has(Type::Float64) {
        return TypeSet::of(&[kind]);
    }
    if array.as_primitive::<Int64Type>().iter().flatten().all(value::fits_float64) {
        TypeSet::of(&[Type::Int64, Type::Float64])
    } else {
        TypeSet::of(&[Type::Int64])
    }
}

/// Shares a reader between the times that it is opened.
struct Shared<R>(Arc<R>);

impl<R: ChunkReader> Length for Shared<R> {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl<R: ChunkReader> ChunkReader for Shared<R> {
    type T = R::T;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        self.0.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<bytes::Bytes, ParquetError> {
        self.0.get_bytes(start, length)
    }
}

type Opened<R> = ParquetRecordBatchReaderBuilder<Shared<R>>;

fn open<R: ChunkReader + 'static>(reader: &Arc<R>) -> Result<Opened<R>, ParquetError> {
    ParquetRecordBatchReaderBuilder::try_new_with_options(Shared(reader.clone()), options())
}

fn rows_of(metadata: &ParquetMetaData) -> u64 {
    metadata.row_groups().iter().map(|group| unsigned(group.num_rows())).sum()
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}

/// Starts to read rows, of these columns or of all.
fn read<R: ChunkReader + 'static>(
    builder: Opened<R>,
    range: &Range<u64>,
    columns: Option<&[usize]>,
) -> Result<ParquetRecordBatchReader, ParquetError> {
    let too_many = |_| ParquetError::General("more rows than can be addressed".to_owned());
    // Only the row groups that have such rows; and so many rows at once that their text stays within bounds.
    let (mut groups, mut first, mut text_bytes_per_row) = (Vec::new(), 0, 1);
    let mut skipped = 0;
    for (index, group) in builder.metadata().row_groups().iter().enumerate() {
        let rows = unsigned(group.num_rows());
        if first + rows <= range.start {
            skipped = first + rows;
        } else if first < range.end {
            groups.push(index);
            let text =
                group.columns().iter().filter_map(ColumnChunkMetaData::unencoded_byte_array_data_bytes);
            text_bytes_per_row = text_bytes_per_row.max(text.map(unsigned).sum::<u64>() / rows.max(1));
        }
        first += rows;
    }
    let text_bytes = BATCH_TEXT_BYTES as u64;
    let batch = usize::try_from(text_bytes / text_bytes_per_row).unwrap_or(BATCH_ROWS).clamp(1, BATCH_ROWS);
    let projection = match columns {
        Some(columns) => ProjectionMask::leaves(builder.parquet_schema(), columns.iter().copied()),
        None => ProjectionMask::all(),
    };
    builder
        .with_projection(projection)
        .with_row_groups(groups)
        .with_offset(usize::try_from(range.start - skipped).map_err(too_many)?)
        .with_limit(usize::try_from(range.end - range.start).map_err(too_many)?)
        .with_batch_size(batch)
        .build()
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
    let fields = columns.iter().map(|column| (column.name.as_str(), column.kind));
    let stand_in = columns.is_empty().then_some((NO_COLUMNS, Type::Text));
    let mut sheet = Sheet::new(output, fields.chain(stand_in)).map_err(MergeError::Write)?;
    let places: HashMap<String, usize> =
        columns.iter().enumerate().map(|(index, column)| (column.name.to_lowercase(), index)).collect();
    for (index, input) in inputs.iter().enumerate() {
        let route = Route::new(input, &columns, &places);
        let failed = |error: ParquetError| MergeError::Input { input: index, source: error.into() };
        let opened = open(&input.reader).map_err(failed)?;
        let mut seen = 0;
        if !route.read.is_empty() {
            for batch in read(opened, &input.range, Some(&route.read)).map_err(failed)? {
                let batch = batch.map_err(|error| failed(error.into()))?;
                seen += batch.num_rows() as u64;
                route.append(&batch, &mut sheet).map_err(MergeError::Write)?;
            }
        }
        if seen != input.rows() {
            let reason = format!("{} rows were announced, {seen} were there", input.rows());
            return Err(MergeError::Input { input: index, source: InputError::NotAFragment { reason } });
        }
    }
    // So that the stand-in is known for what it is.
    let described = if columns.is_empty() { Some(describe(&[]).map_err(MergeError::Write)?) } else { None };
    let (rows, bytes) = sheet.finish(metadata.into_iter().chain(described)).map_err(MergeError::Write)?;
    Ok(Merged { rows, bytes, columns })
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
        let wanted = |place: usize, source: &FragmentColumn| {
            let text = source.text.filter(|_| is_text(place));
            (source.fits.votes() || is_text(place)).then_some((source.kind, source.index, text))
        };
        let wanted: Vec<Option<(Type, usize, Option<usize>)>> =
            sources.iter().enumerate().map(|(place, source)| wanted(place, (*source)?)).collect();
        let mut read: Vec<usize> =
            wanted.iter().flatten().flat_map(|(_, data, text)| [Some(*data), *text]).flatten().collect();
        // Rows are to be counted even where nothing of them is wanted.
        if read.is_empty() {
            read.extend(input.columns.first().map(|column| column.index));
        }
        read.sort_unstable();
        let place = |index: usize| read.partition_point(|other| *other < index);
        let source = |(kind, data, text): (Type, usize, Option<usize>)| Source {
            kind,
            data: place(data),
            text: text.map(place),
        };
        let sources = wanted.into_iter().map(|wanted| wanted.map(source)).collect();
        Self { read, sources }
    }

    /// Appends a batch. What ends up in which batch of the output depends on the rows before and in it, not on how
    /// they are read.
    fn append<W: Write + Send>(&self, batch: &RecordBatch, sheet: &mut Sheet<W>) -> Result<(), ParquetError> {
        let mut scratch = String::new();
        let mut from = 0;
        while from < batch.num_rows() {
            let mut count = (batch.num_rows() - from).min(BATCH_ROWS - sheet.pending());
            let pending: usize = sheet.columns().iter().map(Builder::text_bytes).sum();
            let is_text = sheet.columns().iter().map(|builder| matches!(builder, Builder::Text(_)));
            let added: usize = is_text
                .zip(&self.sources)
                .filter_map(|(is_text, source)| source.as_ref().filter(|_| is_text))
                .map(|source| source.text_bytes_at_most(batch, from, count))
                .sum();
            // Where the batch may become full of text, row by row, as only that finds the same row each time.
            if pending + added >= BATCH_TEXT_BYTES {
                count = 1;
            }
            for (source, builder) in self.sources.iter().zip(sheet.columns()) {
                match source {
                    Some(source) => source.append(batch, from, count, builder, &mut scratch)?,
                    None => builder.append_nulls(count),
                }
            }
            let pending: usize = sheet.columns().iter().map(Builder::text_bytes).sum();
            sheet.end_rows(count, pending >= BATCH_TEXT_BYTES)?;
            from += count;
        }
        Ok(())
    }
}

impl Source {
    fn text_bytes_at_most(&self, batch: &RecordBatch, from: usize, count: usize) -> usize {
        let text_bytes = |index: usize| {
            sheet::as_text(batch.column(index)).map_or(0, |column| {
                let offsets = column.value_offsets();
                usize::try_from(offsets[from + count] - offsets[from]).unwrap_or(usize::MAX / 2)
            })
        };
        if self.kind == Type::Text {
            return text_bytes(self.data);
        }
        count * RENDERED_BYTES + self.text.map_or(0, text_bytes)
    }

    fn append(
        &self,
        batch: &RecordBatch,
        from: usize,
        count: usize,
        builder: &mut Builder,
        scratch: &mut String,
    ) -> Result<(), ParquetError> {
        let data = batch.column(self.data).slice(from, count);
        match (self.kind, builder) {
            (Type::Boolean, Builder::Boolean(column)) => column.append_array(data.as_boolean()),
            (Type::Int64, Builder::Int64(column)) => column.append_array(data.as_primitive()),
            (Type::Float64, Builder::Float64(column)) => column.append_array(data.as_primitive()),
            (Type::Int64, Builder::Float64(column)) => column.extend_from_iter_option(
                data.as_primitive::<Int64Type>().iter().map(|v| v.map(value::as_float64)),
            ),
            (Type::Date, Builder::Date(column)) => column.append_array(data.as_primitive()),
            (Type::TimestampUtc, Builder::Timestamp(column, true))
            | (Type::TimestampLocal, Builder::Timestamp(column, false)) => {
                // The rows' type says the same in another spelling of UTC, maybe.
                column.extend_from_iter_option(data.as_primitive::<TimestampMicrosecondType>().iter());
            }
            (Type::Text, Builder::Text(column)) => {
                for text in data.as_string::<i32>() {
                    column.append_option(text.map(str::as_bytes));
                }
            }
            (_, Builder::Text(column)) => {
                let texts = self.text.and_then(|index| sheet::as_text(batch.column(index)));
                for row in 0..count {
                    match texts.filter(|texts| texts.is_valid(from + row)) {
                        Some(texts) => column.append_value(texts.value(from + row).as_bytes()),
                        None if data.is_null(row) => column.append_null(),
                        None => {
                            sheet::append_rendered(column, scratch, |out| {
                                write_value(out, self.kind, &data, row)
                            });
                        }
                    }
                }
            }
            // The types were chosen so that this does not happen.
            (kind, _) => {
                return Err(ParquetError::General(format!(
                    "a column of type {kind:?} in one that does not hold it"
                )));
            }
        }
        Ok(())
    }
}

/// Renders a value that is not null.
fn write_value(out: &mut String, kind: Type, data: &dyn Array, row: usize) -> std::fmt::Result {
    match kind {
        Type::Boolean => value::write_boolean(out, data.as_boolean().value(row)),
        Type::Int64 => value::write_int64(out, data.as_primitive::<Int64Type>().value(row)),
        Type::Float64 => value::write_float64(out, data.as_primitive::<Float64Type>().value(row)),
        Type::Date => value::write_date(out, data.as_primitive::<Date32Type>().value(row)),
        Type::TimestampUtc | Type::TimestampLocal => {
            let micros = data.as_primitive::<TimestampMicrosecondType>().value(row);
            value::write_timestamp(out, Micros { micros, utc: kind == Type::TimestampUtc })
        }
        Type::Text => {
            out.push_str(data.as_string::<i32>().value(row));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        assert!(input.metadata(COLUMNS_KEY).unwrap().starts_with(r#"{"version":1,"#));
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

        let csv = format!("a,b\n{}", "1,x\n".repeat(50_000));
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
