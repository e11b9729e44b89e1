//! A Parquet file being written: the same way for fragments and merged objects.

use std::io::{BufWriter, Write};
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::Result;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::reader::ChunkReader;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnDescPtr, ColumnDescriptor, ColumnPath, Type as SchemaType, TypePtr};

use crate::encode::Chunk;
use crate::types::Type;

/// A row group has no more rows.
pub(crate) const ROW_GROUP_ROWS: usize = 1024 * 1024;
/// So much is written at once, and read at once where it is only copied: the crate's own 8 KiB take a call of the
/// system each.
pub(crate) const IO_BYTES: usize = 256 * 1024;

/// A column as the schema of every file has it: nullable, of Parquet's own types.
fn field(name: &str, kind: Type) -> Result<TypePtr> {
    let timestamp = |utc: bool| LogicalType::timestamp(utc, TimeUnit::MICROS);
    let (physical, logical) = match kind {
        Type::Boolean => (Physical::BOOLEAN, None),
        Type::Int64 => (Physical::INT64, None),
        Type::Float64 => (Physical::DOUBLE, None),
        Type::Date => (Physical::INT32, Some(LogicalType::Date)),
        Type::TimestampUtc => (Physical::INT64, Some(timestamp(true))),
        Type::TimestampLocal => (Physical::INT64, Some(timestamp(false))),
        Type::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
    };
    let field = SchemaType::primitive_type_builder(name, physical);
    Ok(Arc::new(field.with_repetition(Repetition::OPTIONAL).with_logical_type(logical).build()?))
}

/// Describes a column as every file that has it does.
pub(crate) fn descriptor(name: &str, kind: Type) -> Result<ColumnDescPtr> {
    let path = ColumnPath::from(vec![name.to_owned()]);
    // Where there is a value, its definition level is 1.
    Ok(Arc::new(ColumnDescriptor::new(field(name, kind)?, 1, 0, path)))
}

/// A file being written.
pub(crate) struct FileWriter<W: Write + Send> {
    writer: SerializedFileWriter<BufWriter<W>>,
}

impl<W: Write + Send> FileWriter<W> {
    /// Starts a file with these columns, all nullable.
    pub(crate) fn new(output: W, columns: impl IntoIterator<Item = (impl AsRef<str>, Type)>) -> Result<Self> {
        let properties = WriterProperties::builder().set_writer_version(WriterVersion::PARQUET_1_0).build();
        let fields = columns.into_iter().map(|(name, kind)| field(name.as_ref(), kind));
        let schema = SchemaType::group_type_builder("schema").with_fields(fields.collect::<Result<_>>()?);
        let output = BufWriter::with_capacity(IO_BYTES, output);
        let writer = SerializedFileWriter::new(output, Arc::new(schema.build()?), Arc::new(properties))?;
        Ok(Self { writer })
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
