//! A row group's column chunks, being read.
//!
//! The Parquet crate makes a context of zstd for each chunk, and another to compress with. For a small chunk that costs
//! more than all else together, on virtual machines above all, where asking what the processor can do is slow. So it
//! is handed pages that are decompressed already, all by one context.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::arrow::arrow_reader::RowGroups;
use parquet::basic::Compression;
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, SerializedPageReader};
use zstd::bulk::Decompressor;

/// What decompresses pages, of one file after the other.
#[derive(Clone)]
pub(crate) struct Zstd(Arc<Mutex<Decompressor<'static>>>);

impl Zstd {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(Arc::new(Mutex::new(Decompressor::new()?))))
    }

    /// Decompresses a page of no more than so many bytes.
    fn decompress(&self, page: &[u8], limit: usize) -> Result<Bytes> {
        let size = zstd::zstd_safe::get_frame_content_size(page).ok().flatten();
        let size = size.map_or(limit, |size| usize::try_from(size).unwrap_or(usize::MAX));
        if size > limit {
            return Err(ParquetError::General(format!("a page of {size} bytes in a chunk of {limit}")));
        }
        let mut decompressor = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(decompressor.decompress(page, size)?.into())
    }
}

/// The chunks of one row group.
pub(crate) struct Chunks<R> {
    pub(crate) reader: Arc<R>,
    pub(crate) metadata: Arc<ParquetMetaData>,
    pub(crate) group: usize,
    pub(crate) zstd: Zstd,
}

impl<R: ChunkReader + 'static> RowGroups for Chunks<R> {
    fn num_rows(&self) -> usize {
        usize::try_from(self.metadata.row_group(self.group).num_rows()).unwrap_or_default()
    }

    fn column_chunks(&self, column: usize) -> Result<Box<dyn PageIterator>> {
        let chunk = self.metadata.row_group(self.group).column(column);
        let reader = Arc::clone(&self.reader);
        let pages: Box<dyn PageReader> = if matches!(chunk.compression(), Compression::ZSTD(_)) {
            let as_they_are =
                chunk.clone().into_builder().set_compression(Compression::UNCOMPRESSED).build()?;
            Box::new(Decompressed {
                pages: SerializedPageReader::new(reader, &as_they_are, self.num_rows(), None)?,
                limit: usize::try_from(chunk.uncompressed_size()).unwrap_or_default(),
                zstd: self.zstd.clone(),
            })
        } else {
            Box::new(SerializedPageReader::new(reader, chunk, self.num_rows(), None)?)
        };
        Ok(Box::new(OneChunk(Some(pages))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.metadata.row_group(self.group)))
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }
}

/// The pages of one chunk.
struct OneChunk(Option<Box<dyn PageReader>>);

impl Iterator for OneChunk {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(Ok)
    }
}

impl PageIterator for OneChunk {}

/// Pages, decompressed one after the other.
struct Decompressed<R: ChunkReader> {
    pages: SerializedPageReader<R>,
    /// The size of all.
    limit: usize,
    zstd: Zstd,
}

impl<R: ChunkReader> Iterator for Decompressed<R> {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl<R: ChunkReader> PageReader for Decompressed<R> {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let mut page = self.pages.get_next_page()?;
        match &mut page {
            Some(Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. }) => {
                *buf = self.zstd.decompress(buf, self.limit)?;
            }
            Some(Page::DataPageV2 { .. }) => {
                return Err(ParquetError::NYI("data pages v2, which are never written here".to_owned()));
            }
            None => {}
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.pages.at_record_boundary()
    }
}
