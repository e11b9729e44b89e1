//! A Parquet file being written: the same way for fragments and merged objects.

use std::io::Write;
use std::sync::Arc;

use arrow_schema::{Field, Schema};
use parquet::arrow::ArrowSchemaConverter;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::reader::ChunkReader;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnDescPtr, SchemaDescriptor};

use crate::encode::Chunk;
use crate::types::Type;

/// A row group has no more rows.
pub(crate) const ROW_GROUP_ROWS: usize = 1024 * 1024;

fn schema(columns: impl IntoIterator<Item = (impl Into<String>, Type)>) -> Result<SchemaDescriptor> {
    let fields: Vec<Field> =
        columns.into_iter().map(|(name, kind)| Field::new(name, kind.arrow(), true)).collect();
    ArrowSchemaConverter::new().convert(&Schema::new(fields))
}

/// Describes a column as every file that has it does.
pub(crate) fn descriptor(name: &str, kind: Type) -> Result<ColumnDescPtr> {
    let missing = || ParquetError::General("a column without a description".to_owned());
    schema([(name, kind)])?.columns().first().cloned().ok_or_else(missing)
}

/// A file being written.
pub(crate) struct FileWriter<W: Write + Send> {
    writer: SerializedFileWriter<W>,
}

impl<W: Write + Send> FileWriter<W> {
    /// Starts a file with these columns, all nullable.
    pub(crate) fn new(
        output: W,
        columns: impl IntoIterator<Item = (impl Into<String>, Type)>,
    ) -> Result<Self> {
        let properties = WriterProperties::builder().set_writer_version(WriterVersion::PARQUET_1_0).build();
        let schema = schema(columns)?.root_schema_ptr();
        Ok(Self { writer: SerializedFileWriter::new(output, schema, Arc::new(properties))? })
    }

    /// Writes a row group, unless it has no rows.
    pub(crate) fn write(&mut self, chunks: impl IntoIterator<Item = Chunk>) -> Result<()> {
        self.copy(chunks.into_iter().map(|chunk| Ok((chunk.pages, chunk.closed))))
    }

    /// Copies a row group, unless it has no rows.
    pub(crate) fn copy<R: ChunkReader>(
        &mut self,
        chunks: impl IntoIterator<Item = Result<(R, ColumnCloseResult)>>,
    ) -> Result<()> {
        let mut chunks = chunks.into_iter().peekable();
        if chunks.peek().is_none_or(|chunk| chunk.as_ref().is_ok_and(|(_, closed)| closed.rows_written == 0))
        {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for chunk in chunks {
            let (pages, closed) = chunk?;
            group.append_column(&pages, closed)?;
        }
        group.close()?;
        Ok(())
    }

    /// Writes the footer. Gives back the bytes of the file.
    pub(crate) fn finish(mut self, metadata: impl IntoIterator<Item = (String, String)>) -> Result<u64> {
        for (key, value) in metadata {
            self.writer.append_key_value_metadata(KeyValue::new(key, value));
        }
        self.writer.finish()?;
        Ok(self.writer.bytes_written() as u64)
    }
}
