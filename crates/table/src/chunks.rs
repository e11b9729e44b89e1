//! Column chunks, read back a few rows at a time.
//!
//! The Parquet crate makes a context of zstd for each chunk. For a small chunk that costs more than all else together,
//! on virtual machines above all, where asking what the processor can do is slow. So it is handed pages that are
//! decompressed already, by contexts that go from one chunk to the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, SerializedPageReader};
use zstd::bulk::Decompressor;

use crate::pool::Pool;
use crate::types::Type;

/// The pages of a chunk that is no larger may be in memory together.
const SMALL_CHUNK_BYTES: usize = 1024 * 1024;

/// A row group, whose columns can be read side by side.
pub(crate) trait Chunks: Send + Sync {
    /// Starts to read a column, which has this type.
    fn column(&self, index: usize, kind: Type) -> Result<ChunkReading>;
}

/// A row group of a file.
pub(crate) struct GroupOf<R> {
    pub(crate) reader: Arc<R>,
    pub(crate) metadata: ParquetMetaData,
    pub(crate) group: usize,
}

impl<R: ChunkReader + 'static> Chunks for GroupOf<R> {
    fn column(&self, index: usize, kind: Type) -> Result<ChunkReading> {
        let group = self.metadata.row_group(self.group);
        let Some(chunk) = group.columns().get(index) else {
            return Err(ParquetError::General(format!("there is no column {index}")));
        };
        let descriptor = chunk.column_descr_ptr();
        if Type::of_parquet(&descriptor) != Some(kind) {
            return Err(ParquetError::General(format!(
                "`{}` is no column of type {kind:?}",
                descriptor.name()
            )));
        }
        let limit = usize::try_from(chunk.uncompressed_size()).unwrap_or_default();
        let seen = Arc::new(AtomicUsize::new(0));
        let is_compressed = matches!(chunk.compression(), Compression::ZSTD(_));
        let as_it_is = chunk.clone().into_builder();
        let as_it_is =
            if is_compressed { as_it_is.set_compression(Compression::UNCOMPRESSED) } else { as_it_is };
        let rows = usize::try_from(group.num_rows()).unwrap_or_default();
        let reader = SerializedPageReader::new(Arc::clone(&self.reader), &as_it_is.build()?, rows, None)?;
        let pages = Box::new(Pages { reader, is_compressed, limit, seen: Arc::clone(&seen) });
        let values = match kind {
            Type::Boolean => Values::Boolean(ColumnReaderImpl::new(descriptor, pages)),
            Type::Int64 | Type::TimestampUtc | Type::TimestampLocal => {
                Values::Int64(ColumnReaderImpl::new(descriptor, pages))
            }
            Type::Float64 => Values::Float64(ColumnReaderImpl::new(descriptor, pages)),
            Type::Date => Values::Date(ColumnReaderImpl::new(descriptor, pages)),
            Type::Text => Values::Text(ColumnReaderImpl::new(descriptor, pages)),
        };
        Ok(ChunkReading { values, seen, taken: 0, is_small: limit <= SMALL_CHUNK_BYTES })
    }
}

/// A column chunk that is being read.
pub(crate) struct ChunkReading {
    values: Values,
    /// Rows of the pages that have been begun.
    seen: Arc<AtomicUsize>,
    /// Rows that were taken from them.
    taken: usize,
    is_small: bool,
}

enum Values {
    Boolean(ColumnReaderImpl<BoolType>),
    Int64(ColumnReaderImpl<Int64Type>),
    Float64(ColumnReaderImpl<DoubleType>),
    Date(ColumnReaderImpl<Int32Type>),
    Text(ColumnReaderImpl<ByteArrayType>),
}

/// What was read of a column: the values that are not null, in the one list that is of its type.
#[derive(Default)]
pub(crate) struct Cells {
    /// Which rows have a value: empty if all do.
    pub(crate) valid: Vec<bool>,
    pub(crate) booleans: Vec<bool>,
    /// Whole numbers, or microseconds.
    pub(crate) integers: Vec<i64>,
    pub(crate) doubles: Vec<f64>,
    pub(crate) days: Vec<i32>,
    pub(crate) texts: Vec<ByteArray>,
    levels: Vec<i16>,
}

impl ChunkReading {
    /// So many rows can be read without a page more than there is in memory, or one.
    pub(crate) fn at_hand(&self) -> usize {
        if self.is_small {
            return usize::MAX;
        }
        (self.seen.load(Ordering::Relaxed).saturating_sub(self.taken)).max(1)
    }

    /// Passes over rows.
    pub(crate) fn skip(&mut self, rows: usize) -> Result<()> {
        let skipped = match &mut self.values {
            Values::Boolean(reader) => reader.skip_records(rows),
            Values::Int64(reader) => reader.skip_records(rows),
            Values::Float64(reader) => reader.skip_records(rows),
            Values::Date(reader) => reader.skip_records(rows),
            Values::Text(reader) => reader.skip_records(rows),
        };
        self.took(skipped?, rows)
    }

    /// Reads the next rows, in place of what is there.
    pub(crate) fn read(&mut self, rows: usize, cells: &mut Cells) -> Result<()> {
        let Cells { valid, levels, .. } = cells;
        let (read, count) = match &mut self.values {
            Values::Boolean(reader) => read(reader, rows, levels, &mut cells.booleans),
            Values::Int64(reader) => read(reader, rows, levels, &mut cells.integers),
            Values::Float64(reader) => read(reader, rows, levels, &mut cells.doubles),
            Values::Date(reader) => read(reader, rows, levels, &mut cells.days),
            Values::Text(reader) => read(reader, rows, levels, &mut cells.texts),
        }?;
        valid.clear();
        if count < read {
            valid.extend(levels.iter().map(|level| *level > 0));
        }
        self.took(read, rows)
    }

    fn took(&mut self, rows: usize, wanted: usize) -> Result<()> {
        self.taken += rows;
        if rows < wanted {
            return Err(ParquetError::EOF(format!("{} rows are missing", wanted - rows)));
        }
        Ok(())
    }
}

/// How many rows were read, and how many of them have a value.
fn read<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    rows: usize,
    levels: &mut Vec<i16>,
    values: &mut Vec<T::T>,
) -> Result<(usize, usize)> {
    levels.clear();
    values.clear();
    let (rows, ..) = reader.read_records(rows, Some(levels), None, values)?;
    Ok((rows, values.len()))
}

/// Pages, decompressed one after the other.
struct Pages<R: ChunkReader> {
    reader: SerializedPageReader<R>,
    is_compressed: bool,
    /// The size of all.
    limit: usize,
    seen: Arc<AtomicUsize>,
}

impl<R: ChunkReader> Pages<R> {
    fn see(&self, rows: Option<usize>) {
        self.seen.fetch_add(rows.unwrap_or_default(), Ordering::Relaxed);
    }
}

impl<R: ChunkReader> Iterator for Pages<R> {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl<R: ChunkReader> PageReader for Pages<R> {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let mut page = self.reader.get_next_page()?;
        match &mut page {
            Some(Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. }) if self.is_compressed => {
                *buf = decompress(buf, self.limit)?;
            }
            Some(Page::DataPageV2 { .. }) => {
                return Err(ParquetError::NYI("data pages v2, which are never written here".to_owned()));
            }
            _ => {}
        }
        if let Some(Page::DataPage { num_values, .. }) = &page {
            self.see(usize::try_from(*num_values).ok());
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.reader.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        let skipped = self.reader.peek_next_page()?.filter(|page| !page.is_dict);
        self.see(skipped.and_then(|page| page.num_levels));
        self.reader.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.reader.at_record_boundary()
    }
}

static DECOMPRESSORS: Pool<Decompressor<'static>> = Pool::new();

/// Decompresses a page of no more than so many bytes.
fn decompress(page: &[u8], limit: usize) -> Result<Bytes> {
    let size = zstd::zstd_safe::get_frame_content_size(page).ok().flatten();
    let size = size.map_or(limit, |size| usize::try_from(size).unwrap_or(usize::MAX));
    if size > limit {
        return Err(ParquetError::General(format!("a page of {size} bytes in a chunk of {limit}")));
    }
    let mut decompressor = DECOMPRESSORS.take().map_or_else(Decompressor::new, Ok)?;
    let decompressed = decompressor.decompress(page, size)?;
    DECOMPRESSORS.put(decompressor);
    Ok(decompressed.into())
}
