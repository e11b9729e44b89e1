//! Columns being filled and written as Parquet: the same way for fragments and merged objects.

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, TimestampMicrosecondBuilder,
};
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};

use crate::types::Type;
use crate::value::{self, Parsed};

/// Level 1: measured, it is where time and size balance best for tables of this kind.
const ZSTD_LEVEL: i32 = 1;
/// Rows handed to the Parquet writer at once. Where pages end depends on it, so it is fixed.
pub(crate) const BATCH_ROWS: usize = 8192;
/// A batch with this much text is handed over early, to bound memory.
pub(crate) const BATCH_TEXT_BYTES: usize = 8 * 1024 * 1024;
const ROW_GROUP_ROWS: usize = 1024 * 1024;
/// Encoded and compressed; a row group stays in memory until it is complete.
const ROW_GROUP_BYTES: usize = 32 * 1024 * 1024;

/// One column's values of the present batch.
pub(crate) enum Builder {
    Boolean(BooleanBuilder),
    Int64(Int64Builder),
    Float64(Float64Builder),
    Date(Date32Builder),
    /// With whether it is in UTC.
    Timestamp(TimestampMicrosecondBuilder, bool),
    /// Bytes that are checked to be UTF-8 all at once, when the batch is complete.
    Text(BinaryBuilder),
}

impl Builder {
    fn new(kind: Type) -> Self {
        match kind {
            Type::Boolean => Self::Boolean(BooleanBuilder::new()),
            Type::Int64 => Self::Int64(Int64Builder::new()),
            Type::Float64 => Self::Float64(Float64Builder::new()),
            Type::Date => Self::Date(Date32Builder::new()),
            Type::TimestampUtc | Type::TimestampLocal => Self::Timestamp(
                TimestampMicrosecondBuilder::new().with_data_type(kind.arrow()),
                kind == Type::TimestampUtc,
            ),
            Type::Text => Self::Text(BinaryBuilder::new()),
        }
    }

    pub(crate) fn append_nulls(&mut self, count: usize) {
        match self {
            Self::Boolean(column) => column.append_nulls(count),
            Self::Int64(column) => column.append_nulls(count),
            Self::Float64(column) => column.append_nulls(count),
            Self::Date(column) => column.append_nulls(count),
            Self::Timestamp(column, _) => column.append_nulls(count),
            Self::Text(column) => column.append_nulls(count),
        }
    }

    /// Appends what a text stands for, and says whether the text is its canonical one. `None` where the column's
    /// type does not hold it: then nothing was appended.
    pub(crate) fn append_text(&mut self, text: &[u8]) -> Option<bool> {
        match self {
            Self::Boolean(column) => value::boolean(text).map(|Parsed { value, canonical }| {
                column.append_value(value);
                canonical
            }),
            Self::Int64(column) => value::int64(text).map(|value| {
                column.append_value(value);
                true
            }),
            Self::Float64(column) => value::float64(text).map(|Parsed { value, canonical }| {
                column.append_value(value);
                canonical
            }),
            Self::Date(column) => value::date(text).map(|value| {
                column.append_value(value);
                true
            }),
            Self::Timestamp(column, utc) => value::timestamp(text)
                .filter(|found| found.value.utc == *utc)
                .map(|Parsed { value, canonical }| {
                    column.append_value(value.micros);
                    canonical
                }),
            Self::Text(column) => {
                column.append_value(text);
                Some(true)
            }
        }
    }

    /// Bytes of text in the present batch.
    pub(crate) fn text_bytes(&self) -> usize {
        if let Self::Text(column) = self { column.values_slice().len() } else { 0 }
    }

    fn finish(&mut self) -> Result<ArrayRef, ParquetError> {
        Ok(match self {
            Self::Boolean(column) => Arc::new(column.finish()),
            Self::Int64(column) => Arc::new(column.finish()),
            Self::Float64(column) => Arc::new(column.finish()),
            Self::Date(column) => Arc::new(column.finish()),
            Self::Timestamp(column, _) => Arc::new(column.finish()),
            Self::Text(column) => Arc::new(StringArray::try_from_binary(column.finish())?),
        })
    }
}

/// Appends what `write` writes as a value of a text column.
pub(crate) fn append_rendered(
    column: &mut BinaryBuilder,
    scratch: &mut String,
    write: impl FnOnce(&mut String) -> fmt::Result,
) {
    scratch.clear();
    // Writing to a string does not fail.
    let _ = write(scratch);
    column.append_value(scratch.as_bytes());
}

/// A Parquet file being written.
pub(crate) struct Sheet<W: Write + Send> {
    writer: ArrowWriter<W>,
    schema: SchemaRef,
    columns: Vec<Builder>,
    pending: usize,
    rows: u64,
}

impl<W: Write + Send> Sheet<W> {
    /// Starts a file with these columns, all nullable.
    pub(crate) fn new<'a>(
        output: W,
        columns: impl IntoIterator<Item = (&'a str, Type)>,
    ) -> Result<Self, ParquetError> {
        let columns: Vec<(&str, Type)> = columns.into_iter().collect();
        let fields: Vec<Field> =
            columns.iter().map(|(name, kind)| Field::new(*name, kind.arrow(), true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let properties = WriterProperties::builder()
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
            .build();
        // Parquet's own types say all there is to say; Arrow's schema beside them would be a second truth.
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(output, schema.clone(), options)?;
        let columns = columns.into_iter().map(|(_, kind)| Builder::new(kind)).collect();
        Ok(Self { writer, schema, columns, pending: 0, rows: 0 })
    }

    /// The columns, to which the same number of rows must be appended before [`Sheet::end_rows`].
    pub(crate) fn columns(&mut self) -> &mut [Builder] {
        &mut self.columns
    }

    /// Rows of the present batch.
    pub(crate) fn pending(&self) -> usize {
        self.pending
    }

    /// Counts rows that were appended to every column, and hands the batch over where it is complete or `early`.
    pub(crate) fn end_rows(&mut self, count: usize, early: bool) -> Result<(), ParquetError> {
        self.pending += count;
        if self.pending >= BATCH_ROWS || early { self.hand_over() } else { Ok(()) }
    }

    fn hand_over(&mut self) -> Result<(), ParquetError> {
        if self.pending == 0 {
            return Ok(());
        }
        let arrays = self.columns.iter_mut().map(Builder::finish).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.pending));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)?;
        self.writer.write(&batch)?;
        self.rows += self.pending as u64;
        self.pending = 0;
        Ok(())
    }

    /// Writes the rest and the footer. Gives back rows and bytes.
    pub(crate) fn finish(
        mut self,
        metadata: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(u64, u64), ParquetError> {
        self.hand_over()?;
        for (key, value) in metadata {
            self.writer.append_key_value_metadata(KeyValue::new(key, value));
        }
        self.writer.finish()?;
        Ok((self.rows, self.writer.bytes_written() as u64))
    }
}

/// The text column's values, where the array is one.
pub(crate) fn as_text(array: &dyn Array) -> Option<&StringArray> {
    debug_assert_eq!(array.data_type(), &DataType::Utf8);
    array.as_any().downcast_ref()
}
