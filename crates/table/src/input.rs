//! What is merged: fragments, and rows of a former output.

use std::ops::Range;
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader,
    ParquetStatisticsPolicy, RowGroupMetaData,
};
use parquet::file::reader::ChunkReader;
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescriptor;

use crate::chunks::{Cells, Chunks, GroupOf};
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
        /// Its type, as Parquet calls it.
        found: String,
    },
}

fn key_values(metadata: &ParquetMetaData) -> Vec<(String, String)> {
    let pairs = metadata.file_metadata().key_value_metadata().into_iter().flatten();
    pairs.filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?))).collect()
}

fn descriptors(metadata: &ParquetMetaData) -> impl Iterator<Item = &ColumnDescriptor> {
    metadata.file_metadata().schema_descr().columns().iter().map(|column| &**column)
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
        let footer = footer(&*reader, ParquetStatisticsPolicy::SkipAll)?;
        let rows = rows_of(&footer);
        let metadata = key_values(&footer);
        let not_a_fragment = |reason: String| InputError::NotAFragment { reason };
        let Some((_, described)) = metadata.iter().find(|(key, _)| key == COLUMNS_KEY) else {
            return Err(not_a_fragment(format!("it has no `{COLUMNS_KEY}`")));
        };
        let columns = fragment::from_json(described).map_err(not_a_fragment)?;
        let kinds: Vec<Option<Type>> = descriptors(&footer).map(Type::of_parquet).collect();
        let is_field = |index: usize, kind: Type| kinds.get(index) == Some(&Some(kind));
        for column in &columns {
            let text_is_there = column.text.is_none_or(|index| is_field(index, Type::Text));
            if !is_field(column.index, column.kind) || !text_is_there || !column.fits.has(column.kind) {
                return Err(not_a_fragment(format!("its column `{}` is not as described", column.name)));
            }
        }
        let groups = groups(&footer, &(0..rows));
        Ok(Self { reader, range: 0..rows, groups, columns, metadata })
    }

    /// Takes rows `range`, counted from 0, from a former output. Where its statistics do not say which wider types may
    /// hold them, they are read once here.
    ///
    /// A column keeps its type or widens. One that is null in all these rows has no vote.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, does not have these rows, or has a column of a type that is never written here.
    pub fn rows_of(reader: impl Into<Arc<R>>, range: Range<u64>) -> Result<Self, InputError> {
        let reader = reader.into();
        let footer = footer(&*reader, ParquetStatisticsPolicy::KeepAll)?;
        let rows = rows_of(&footer);
        if range.start > range.end || range.end > rows {
            return Err(InputError::NoSuchRows { range, rows });
        }
        // Only an output with a stand-in column describes its columns: as none.
        if key_values(&footer).iter().any(|(key, _)| key == COLUMNS_KEY) {
            return Ok(Self { reader, range, groups: Vec::new(), columns: Vec::new(), metadata: Vec::new() });
        }
        let mut columns = Vec::new();
        for (index, descriptor) in descriptors(&footer).enumerate() {
            let name = descriptor.name().to_owned();
            let Some(kind) = Type::of_parquet(descriptor) else {
                let physical = descriptor.physical_type();
                let found = match descriptor.logical_type_ref() {
                    Some(logical) => format!("{physical} ({logical:?})"),
                    None => physical.to_string(),
                };
                return Err(InputError::UnknownType { column: name, found });
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
        let groups = groups(&footer, &range);
        let mut input = Self { reader, range, groups, columns, metadata: Vec::new() };
        for group in &input.groups {
            for column in &mut input.columns {
                let chunk = footer.row_group(group.index).column(column.index);
                let fit = match fit_by_statistics(column.kind, group, chunk) {
                    Some(fit) => fit,
                    None => fit_by_values(column.kind, group, &*open(&input.reader, group)?, column.index)?,
                };
                column.fits = column.fits.and(fit);
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

    /// Opens a group, to read its rows.
    pub(crate) fn open(&self, group: &Group) -> Result<Box<dyn Chunks>, ParquetError> {
        open(&self.reader, group)
    }

    /// The file, with the indexes of its pages.
    pub(crate) fn indexed(&self) -> Result<(&R, ParquetMetaData), ParquetError> {
        let mut footer = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
        footer.try_parse(&*self.reader)?;
        let footer = footer.finish()?;
        check(&footer, self.reader.len())?;
        Ok((&self.reader, footer))
    }

    /// The value of a key of the fragment's metadata; rows of a former output have none.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// What stands at the end of a file.
fn footer<R: ChunkReader>(
    reader: &R,
    statistics: ParquetStatisticsPolicy,
) -> Result<ParquetMetaData, ParquetError> {
    let options = ParquetMetaDataOptions::new()
        .with_encoding_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .with_column_stats_policy(statistics);
    let footer =
        ParquetMetaDataReader::new().with_metadata_options(Some(options)).parse_and_finish(reader)?;
    check(&footer, reader.len())?;
    Ok(footer)
}

/// The crate takes it that no offset and no size of a footer is negative, and panics.
fn check(footer: &ParquetMetaData, length: u64) -> Result<(), ParquetError> {
    for column in footer.row_groups().iter().flat_map(RowGroupMetaData::columns) {
        let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
        let range = [start, column.data_page_offset(), column.compressed_size(), column.num_values()];
        let end = u64::try_from(start).ok().and_then(|start| start.checked_add(unsigned(range[2])));
        if range.iter().any(|number| *number < 0) || end.is_none_or(|end| end > length) {
            let name = column.column_descr().name();
            let what = format!("the pages of column `{name}` lie outside of the file");
            return Err(ParquetError::General(what));
        }
    }
    Ok(())
}

fn open<R: ChunkReader + 'static>(reader: &Arc<R>, group: &Group) -> Result<Box<dyn Chunks>, ParquetError> {
    if reader.len() > SMALL_FILE_BYTES {
        return opened(Arc::clone(reader), group);
    }
    let length = usize::try_from(reader.len())?;
    opened(Arc::new(reader.get_bytes(0, length)?), group)
}

fn opened<R: ChunkReader + 'static>(reader: Arc<R>, group: &Group) -> Result<Box<dyn Chunks>, ParquetError> {
    let metadata = footer(&*reader, ParquetStatisticsPolicy::SkipAll)?;
    Ok(Box::new(GroupOf { reader, metadata, group: group.index }))
}

/// The types that hold a column's values, which are of this type, if the footer tells.
fn fit_by_statistics(kind: Type, group: &Group, chunk: &ColumnChunkMetaData) -> Option<TypeSet> {
    let statistics = chunk.statistics()?;
    let nulls = statistics.null_count_opt()?;
    if nulls == unsigned(chunk.num_values()) {
        return Some(TypeSet::ALL);
    }
    // The nulls may be just those rows that are meant.
    if nulls > 0 && !group.is_whole {
        return None;
    }
    if kind != Type::Int64 {
        return Some(TypeSet::of(&[kind]));
    }
    let Statistics::Int64(bounds) = statistics else { return None };
    let is_exact = |bound: &i64| bound.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS;
    (bounds.min_opt().is_some_and(is_exact) && bounds.max_opt().is_some_and(is_exact))
        .then_some(TypeSet::of(&[Type::Int64, Type::Float64]))
}

/// The same, by looking at each value.
fn fit_by_values(
    kind: Type,
    group: &Group,
    chunks: &dyn Chunks,
    column: usize,
) -> Result<TypeSet, ParquetError> {
    let mut column = chunks.column(column, kind)?;
    column.skip(group.rows.start)?;
    let mut fit = TypeSet::ALL;
    let mut cells = Cells::default();
    let mut left = group.rows.len();
    while left > 0 {
        let rows = left.min(group.batch_rows).min(column.at_hand());
        column.read(rows, &mut cells)?;
        left -= rows;
        if cells.valid.is_empty() || cells.valid.contains(&true) {
            let is_exact =
                kind == Type::Int64 && cells.integers.iter().all(|value| value::fits_float64(*value));
            fit = fit.and(if is_exact { TypeSet::of(&[kind, Type::Float64]) } else { TypeSet::of(&[kind]) });
        }
    }
    Ok(fit)
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
    /// The size of the whole group before compression.
    pub(crate) bytes: u64,
    /// Of all its rows: about as much memory as their values take.
    value_bytes: u64,
    all_rows: u64,
    /// As many rows as may be read at once.
    pub(crate) batch_rows: usize,
}

impl Group {
    /// Whether it is large enough to stand as it is.
    pub(crate) fn is_large(&self) -> bool {
        self.is_whole && (self.bytes >= LARGE_GROUP_BYTES || self.rows.len() >= LARGE_GROUP_ROWS)
    }

    /// About how large so many of its rows' values are.
    pub(crate) fn bytes_of(&self, rows: usize) -> usize {
        usize::try_from(self.value_bytes.saturating_mul(rows as u64) / self.all_rows).unwrap_or(usize::MAX)
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
        let texts = group.columns().iter().filter_map(ColumnChunkMetaData::unencoded_byte_array_data_bytes);
        let (texts, text_columns) =
            texts.fold((0, 0), |(bytes, columns), text| (bytes + unsigned(text), columns + 1));
        let text_per_row = (texts / rows).max(1);
        let numbers = 8 * rows * (group.columns().len() - text_columns) as u64;
        let batch_rows = usize::try_from(BATCH_TEXT_BYTES / text_per_row).unwrap_or(BATCH_ROWS);
        let place = |row: u64| usize::try_from(row).unwrap_or(usize::MAX);
        groups.push(Group {
            index,
            rows: place(start)..place(end),
            is_whole: end - start == rows,
            bytes: unsigned(group.total_byte_size()),
            value_bytes: texts.saturating_add(numbers),
            all_rows: rows,
            batch_rows: batch_rows.min(place(end - start)).clamp(1, BATCH_ROWS),
        });
    }
    groups
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}
