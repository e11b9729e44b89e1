//! Column chunks that are copied from one file to another as they are.

use std::io::{BufReader, Read};

use bytes::Bytes;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::{ChunkReader, Length};

use crate::encode::{self, Chunk, ChunkEncoder};
use crate::file::IO_BYTES;

/// The bytes of a chunk: in another file, or made here.
pub(crate) enum Pages<'a, R> {
    /// So many bytes of it.
    There(&'a R, usize),
    Here(encode::Pages),
}

impl<R> Pages<'_, R> {
    /// A chunk that was made here.
    pub(crate) fn new(chunk: Chunk) -> (Self, ColumnCloseResult) {
        (Self::Here(chunk.pages), chunk.closed)
    }
}

/// A chunk of another file, as what the encoder's column makes of it.
pub(crate) fn chunk<'a, R>(
    reader: &'a R,
    metadata: &ParquetMetaData,
    group: usize,
    column: usize,
    encoder: &ChunkEncoder,
) -> Result<(Pages<'a, R>, ColumnCloseResult)> {
    let row_group = metadata.row_group(group);
    let indexes = metadata.page_index_for_row_group(group);
    let bytes = row_group.column(column).compressed_size().unsigned_abs();
    let closed = ColumnCloseResult {
        bytes_written: bytes,
        rows_written: row_group.num_rows().unsigned_abs(),
        metadata: described(row_group.column(column), encoder)?,
        bloom_filter: None,
        column_index: indexes.column_index(column).cloned(),
        offset_index: indexes.offset_index(column).cloned(),
    };
    Ok((Pages::There(reader, usize::try_from(bytes)?), closed))
}

/// What the footer says of a chunk, under the name that the column has here.
fn described(chunk: &ColumnChunkMetaData, encoder: &ChunkEncoder) -> Result<ColumnChunkMetaData> {
    let mut described = ColumnChunkMetaData::builder(encoder.descriptor().clone())
        .set_compression_codec(chunk.compression_codec())
        .set_encodings_mask(*chunk.encodings_mask())
        .set_num_values(chunk.num_values())
        .set_total_compressed_size(chunk.compressed_size())
        .set_total_uncompressed_size(chunk.uncompressed_size())
        .set_data_page_offset(chunk.data_page_offset())
        .set_dictionary_page_offset(chunk.dictionary_page_offset())
        .set_unencoded_byte_array_data_bytes(chunk.unencoded_byte_array_data_bytes());
    if let Some(statistics) = chunk.statistics() {
        described = described.set_statistics(statistics.clone());
    }
    described.build()
}

impl<R: ChunkReader> Length for Pages<'_, R> {
    fn len(&self) -> u64 {
        match self {
            Self::There(reader, _) => reader.len(),
            Self::Here(pages) => pages.len(),
        }
    }
}

impl<R: ChunkReader> ChunkReader for Pages<'_, R> {
    type T = Reader<R::T>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(match self {
            // What lies behind the chunk is not read with it.
            Self::There(reader, bytes) => {
                Reader::There(BufReader::with_capacity(IO_BYTES.min(*bytes), reader.get_read(start)?))
            }
            Self::Here(pages) => Reader::Here(pages.get_read(start)?),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        match self {
            Self::There(reader, _) => reader.get_bytes(start, length),
            Self::Here(pages) => pages.get_bytes(start, length),
        }
    }
}

/// Reads a chunk's bytes.
pub(crate) enum Reader<T> {
    There(BufReader<T>),
    Here(encode::PagesReader),
}

impl<T: Read> Read for Reader<T> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::There(reader) => reader.read(buffer),
            Self::Here(reader) => reader.read(buffer),
        }
    }
}
