//! What is merged: fragments, and rows of a former output.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
    RowGroups, RowSelection,
};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_field_levels};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};

use crate::chunks::{Chunks, Zstd};
use crate::fragment::{self, COLUMNS_KEY, FragmentColumn};
use crate::style::Style;
use crate::types::{Type, TypeSet};
use crate::value;

/// Rows that are read at once.
const BATCH_ROWS: usize = 8192;
/// Fewer, where they would have more text than this.
const BATCH_TEXT_BYTES: u64 = 8 * 1024 * 1024;

/// A row group of so many bytes, before compression, is large; so is one of so many rows, which were easily encoded.
const LARGE_GROUP_BYTES: u64 = 8 * 1024 * 1024;
const LARGE_GROUP_ROWS: usize = 128 * 1024;
/// A file that is no larger is read at once, instead of page by page.
const SMALL_FILE_BYTES: u64 = 64 * 1024;

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

fn key_values(metadata: &ParquetMetaData) -> Vec<(String, String)> {
    let pairs = metadata.file_metadata().key_value_metadata().into_iter().flatten();
    pairs.filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?))).collect()
}

fn options() -> ArrowReaderOptions {
    // Arrow's own schema is not written, and is not believed either.
    ArrowReaderOptions::new().with_skip_arrow_metadata(true)
}

/// Rows to be merged: a fragment, or rows of a former output.
///
/// Only what is needed of the footer is kept; rows are read when they are merged.
#[derive(Debug)]
pub struct Input<R> {
    reader: Arc<R>,
    range: Range<u64>,
    groups: Vec<Group>,
    pub(crate) columns: Vec<FragmentColumn>,
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
        let groups = groups(builder.metadata(), &(0..rows));
        Ok(Self { reader, range: 0..rows, groups, columns, metadata })
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
            return Ok(Self { reader, range, groups: Vec::new(), columns: Vec::new(), metadata: Vec::new() });
        }
        let mut columns = Vec::new();
        for (index, field) in builder.schema().fields().iter().enumerate() {
            let name = field.name().clone();
            let Some(kind) = Type::of_arrow(field.data_type()) else {
                return Err(InputError::UnknownType { column: name, found: field.data_type().to_string() });
            };
            columns.push(FragmentColumn {
                name,
                index,
                kind,
                fits: TypeSet::ALL,
                style: Style::Canonical,
                text: None,
            });
        }
        let groups = groups(builder.metadata(), &range);
        let mut input = Self { reader, range, groups, columns, metadata: Vec::new() };
        let zstd = Zstd::new()?;
        for group in input.groups.clone() {
            for batch in input.read(&group, None, &zstd)? {
                let batch = batch.map_err(ParquetError::from)?;
                for (column, array) in input.columns.iter_mut().zip(batch.columns()) {
                    column.fits = column.fits.and(carried_fit(column.kind, column.fits, array));
                }
            }
        }
        // The output's metadata grows with its inputs, each of which may be carried: a copy for each would be a square.
        Ok(input)
    }

    /// How many rows it has.
    pub fn rows(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// The row groups that have rows of it.
    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Starts to read a group's rows, of these columns or of all.
    pub(crate) fn read(
        &self,
        group: &Group,
        columns: Option<&[usize]>,
        zstd: &Zstd,
    ) -> Result<ParquetRecordBatchReader, ParquetError> {
        if self.reader.len() > SMALL_FILE_BYTES {
            return read(self.reader.clone(), group, columns, zstd);
        }
        let length = usize::try_from(self.reader.len())?;
        read(Arc::new(self.reader.get_bytes(0, length)?), group, columns, zstd)
    }

    /// The file, with the indexes of its pages.
    pub(crate) fn indexed(&self) -> Result<(Shared<R>, Arc<ParquetMetaData>), ParquetError> {
        let reader = Shared(self.reader.clone());
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let metadata = ArrowReaderMetadata::load(&reader, options)?;
        Ok((reader, metadata.metadata().clone()))
    }

    /// The value of a key of the fragment's metadata; rows of a former output have none.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// Starts to read a group's rows, of these columns or of all.
fn read<R: ChunkReader + 'static>(
    reader: Arc<R>,
    group: &Group,
    columns: Option<&[usize]>,
    zstd: &Zstd,
) -> Result<ParquetRecordBatchReader, ParquetError> {
    let metadata = Arc::new(ParquetMetaDataReader::new().parse_and_finish(&*reader)?);
    let schema = metadata.file_metadata().schema_descr();
    let projection = match columns {
        Some(columns) => ProjectionMask::leaves(schema, columns.iter().copied()),
        None => ProjectionMask::all(),
    };
    let levels = parquet_to_arrow_field_levels(schema, projection, None)?;
    let chunks = Chunks { reader, metadata, group: group.index, zstd: zstd.clone() };
    let rows = std::iter::once(group.rows.clone());
    let selection = (!group.is_whole).then(|| RowSelection::from_consecutive_ranges(rows, chunks.num_rows()));
    ParquetRecordBatchReader::try_new_with_row_groups(&levels, &chunks, group.batch_rows, selection)
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
pub(crate) struct Shared<R>(Arc<R>);

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

/// Rows of one row group.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// Its place in the file.
    pub(crate) index: usize,
    /// The rows that are meant, counted within the group.
    pub(crate) rows: Range<usize>,
    /// Whether they are all.
    pub(crate) is_whole: bool,
    /// Its size before compression.
    pub(crate) bytes: u64,
    /// As many rows as may be read at once.
    batch_rows: usize,
}

impl Group {
    /// Whether it is large enough to stand as it is.
    pub(crate) fn is_large(&self) -> bool {
        self.is_whole && (self.bytes >= LARGE_GROUP_BYTES || self.rows.len() >= LARGE_GROUP_ROWS)
    }
}

/// The row groups that have such rows.
fn groups(metadata: &ParquetMetaData, range: &Range<u64>) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut first = 0;
    for (index, group) in metadata.row_groups().iter().enumerate() {
        let rows = unsigned(group.num_rows());
        let start = range.start.saturating_sub(first).min(rows);
        let end = range.end.saturating_sub(first).min(rows);
        first += rows;
        if start >= end {
            continue;
        }
        let text = group.columns().iter().filter_map(ColumnChunkMetaData::unencoded_byte_array_data_bytes);
        let text_per_row = (text.map(unsigned).sum::<u64>() / rows).max(1);
        let batch_rows = usize::try_from(BATCH_TEXT_BYTES / text_per_row).unwrap_or(BATCH_ROWS);
        let place = |row: u64| usize::try_from(row).unwrap_or(usize::MAX);
        groups.push(Group {
            index,
            rows: place(start)..place(end),
            is_whole: end - start == rows,
            bytes: unsigned(group.total_byte_size()),
            batch_rows: batch_rows.min(place(end - start)).clamp(1, BATCH_ROWS),
        });
    }
    groups
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}
