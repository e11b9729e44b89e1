//! One column of one row group: pages, a dictionary, statistics and indexes.

use std::collections::VecDeque;
use std::io::{self, Read};

use bytes::{Buf, Bytes};
use parquet::basic::{BoundaryOrder, Compression, Encoding, Type as Physical, ZstdLevel};
use parquet::column::page::{CompressedPage, Page as ParquetPage, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use super::bits;
use super::dictionary::Dictionary;
use super::statistics::{self, Bounds};
use super::values::{Booleans, Form, Numbers, Page, TRIAL_VALUES, Texts};
use crate::batch::Span;
use crate::pool::Pool;
use crate::types::Type;

/// Level 1: measured, it is where time and size balance best for tables of this kind.
const ZSTD_LEVEL: i32 = 1;
/// A smaller page's characters are not coded by how frequent they are: to find that out takes longer than all else that
/// is done with it, and saves next to nothing of a file's size.
const SMALL_BYTES: usize = 4 * 1024;
const SMALL_LEVEL: i32 = -1;
/// All columns' pages and dictionaries that are not complete may take this much together, each.
const BUDGET_BYTES: usize = 16 * 1024 * 1024;
/// No header of a page is longer.
const HEADER_BYTES: usize = 64;
const MAX_PAGE_ROWS: usize = 128 * 1024;
/// What other writers take as well. Of larger pages more repeats itself, and they are found sooner to be random.
const MAX_PAGE_BYTES: usize = 1024 * 1024;
const MAX_DICTIONARY_BYTES: usize = 1024 * 1024;

/// How much of a column may be in memory before it is encoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    page_bytes: usize,
    page_rows: usize,
    dictionary_bytes: usize,
}

impl Limits {
    /// The limits of each of so many columns.
    pub(crate) fn of_columns(columns: usize) -> Self {
        let share = BUDGET_BYTES / columns.max(1);
        let page_bytes = share.clamp(1024, MAX_PAGE_BYTES);
        Self {
            page_bytes,
            page_rows: (page_bytes / 8).min(MAX_PAGE_ROWS),
            dictionary_bytes: share.clamp(1024, MAX_DICTIONARY_BYTES),
        }
    }
}

/// What encoding needs and one thread has.
pub(crate) struct Tools {
    compressor: Compressor<'static>,
    level: i32,
    page: Vec<u8>,
    compressed: Vec<u8>,
}

static TOOLS: Pool<Tools> = Pool::new();

impl Tools {
    pub(crate) fn take() -> io::Result<Self> {
        let new = || {
            let compressor = Compressor::new(ZSTD_LEVEL)?;
            Ok(Self { compressor, level: ZSTD_LEVEL, page: Vec::new(), compressed: Vec::new() })
        };
        TOOLS.take().map_or_else(new, Ok)
    }

    /// Leaves them to whoever takes them next.
    pub(crate) fn leave(self) {
        TOOLS.put(self);
    }

    /// Compresses what was written to `page`.
    fn compress(&mut self, describe: impl FnOnce(Bytes) -> ParquetPage) -> Result<Compressed> {
        let size = self.page.len();
        self.compressed.clear();
        self.compressed.reserve(zstd::zstd_safe::compress_bound(size));
        let level = if size < SMALL_BYTES { SMALL_LEVEL } else { ZSTD_LEVEL };
        if level != self.level {
            self.compressor.set_compression_level(level)?;
            self.level = level;
        }
        self.compressor.compress_to_buffer(&self.page, &mut self.compressed)?;
        self.page.clear();
        let data = Bytes::copy_from_slice(&self.compressed);
        let page = CompressedPage::new(describe(data.clone()), size);
        let mut header = TrackedWrite::new(First::default());
        SerializedPageWriter::new(&mut header).write_page(page)?;
        let length = header.bytes_written() - data.len();
        let First(header, kept) = header.into_inner()?;
        let Some(header) = header[..kept].get(..length) else {
            return Err(ParquetError::General(format!("a page's header of {length} bytes")));
        };
        let header = Bytes::copy_from_slice(header);
        Ok(Compressed { uncompressed: length + size, header, data })
    }
}

/// A page as it stands in a file.
struct Compressed {
    header: Bytes,
    data: Bytes,
    /// How large both were before.
    uncompressed: usize,
}

impl Compressed {
    fn len(&self) -> usize {
        self.header.len() + self.data.len()
    }
}

/// Keeps the first bytes that are written, which is where a page's header is: the page itself need not be copied.
struct First([u8; HEADER_BYTES], usize);

impl Default for First {
    fn default() -> Self {
        Self([0; HEADER_BYTES], 0)
    }
}

impl io::Write for First {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(HEADER_BYTES - self.1);
        self.0[self.1..][..length].copy_from_slice(&bytes[..length]);
        self.1 += length;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Values of a column that is being encoded.
enum Values {
    Boolean(Booleans),
    Int64(Numbers<i64>),
    Float64(Numbers<f64>),
    Date(Numbers<i32>),
    Text(Texts),
}

/// A page that is written.
struct Written {
    page: Compressed,
    rows: usize,
    nulls: usize,
    bounds: Bounds,
    text_bytes: u64,
    nans: u64,
}

static BOOLEANS: Pool<Booleans> = Pool::new();
static INTEGERS: Pool<Numbers<i64>> = Pool::new();
static DOUBLES: Pool<Numbers<f64>> = Pool::new();
static DAYS: Pool<Numbers<i32>> = Pool::new();
static TEXTS: Pool<Texts> = Pool::new();
static DICTIONARIES: Pool<Dictionary> = Pool::new();
/// No more memory of one column is handed on.
const KEPT_BYTES: usize = 32 * 1024;

impl Drop for ChunkEncoder {
    fn drop(&mut self) {
        hand_on(std::mem::take(&mut self.dictionary));
        if self.page().empty() > KEPT_BYTES {
            return;
        }
        match std::mem::replace(&mut self.values, Values::Boolean(Booleans::default())) {
            Values::Boolean(page) => BOOLEANS.put(page),
            Values::Int64(page) => INTEGERS.put(page),
            Values::Float64(page) => DOUBLES.put(page),
            Values::Date(page) => DAYS.put(page),
            Values::Text(page) => TEXTS.put(page),
        }
    }
}

fn hand_on(mut dictionary: Dictionary) {
    if (1..=KEPT_BYTES).contains(&dictionary.size()) {
        dictionary.clear();
        DICTIONARIES.put(dictionary);
    }
}

/// A column, chunk after chunk.
pub(crate) struct ChunkEncoder {
    kind: Type,
    descriptor: ColumnDescPtr,
    limits: Limits,
    values: Values,
    dictionary: Dictionary,
    /// The form of the present page, and of those before it in this chunk.
    form: Form,
    /// The form in which chunks begin: what was found not to be worth its while is not tried again.
    first_form: Form,
    /// Rows of the present page, and which are not null: empty as long as none is.
    page_rows: usize,
    valid: Vec<bool>,
    page_nulls: usize,
    page_nans: u64,
    pages: Vec<Written>,
    has_indices: bool,
    has_direct: bool,
    /// Values of the chunk that are not null.
    count: u64,
    rows: u64,
}

impl ChunkEncoder {
    pub(crate) fn new(kind: Type, descriptor: ColumnDescPtr, limits: Limits) -> Self {
        let (values, first_form) = match kind {
            Type::Boolean => (Values::Boolean(BOOLEANS.take().unwrap_or_default()), Form::Direct),
            Type::Int64 | Type::TimestampUtc | Type::TimestampLocal => {
                (Values::Int64(INTEGERS.take().unwrap_or_default()), Form::Indices)
            }
            Type::Float64 => (Values::Float64(DOUBLES.take().unwrap_or_default()), Form::Indices),
            Type::Date => (Values::Date(DAYS.take().unwrap_or_default()), Form::Indices),
            Type::Text => (Values::Text(TEXTS.take().unwrap_or_default()), Form::Indices),
        };
        Self {
            kind,
            descriptor,
            limits,
            values,
            dictionary: DICTIONARIES.take().unwrap_or_default(),
            form: first_form,
            first_form,
            page_rows: 0,
            valid: Vec::new(),
            page_nulls: 0,
            page_nans: 0,
            pages: Vec::new(),
            has_indices: false,
            has_direct: false,
            count: 0,
            rows: 0,
        }
    }

    pub(crate) fn kind(&self) -> Type {
        self.kind
    }

    pub(crate) fn descriptor(&self) -> &ColumnDescPtr {
        &self.descriptor
    }

    /// Appends rows without a value.
    pub(crate) fn append_nulls(&mut self, mut rows: usize, tools: &mut Tools) -> Result<()> {
        while rows > 0 {
            let count = rows.min(self.limits.page_rows - self.page_rows);
            if self.valid.is_empty() {
                self.valid.resize(self.page_rows, true);
            }
            self.page_rows += count;
            self.page_nulls += count;
            self.valid.resize(self.page_rows, false);
            self.end_page_if_full(tools)?;
            rows -= count;
        }
        Ok(())
    }

    /// Appends whole numbers, or microseconds: the values, and which rows have one unless all do.
    pub(crate) fn append_i64(&mut self, values: &[i64], valid: &[bool], tools: &mut Tools) -> Result<()> {
        self.append(values, valid, tools, |this, values| {
            if let Values::Int64(page) = &mut this.values {
                page.append(values, (this.form == Form::Indices).then_some(&mut this.dictionary));
            }
        })
    }

    /// Appends days.
    pub(crate) fn append_i32(&mut self, values: &[i32], valid: &[bool], tools: &mut Tools) -> Result<()> {
        self.append(values, valid, tools, |this, values| {
            if let Values::Date(page) = &mut this.values {
                page.append(values, (this.form == Form::Indices).then_some(&mut this.dictionary));
            }
        })
    }

    /// Appends doubles.
    pub(crate) fn append_f64(&mut self, values: &[f64], valid: &[bool], tools: &mut Tools) -> Result<()> {
        self.append(values, valid, tools, |this, values| {
            this.page_nans += values.iter().map(|value| u64::from(value.is_nan())).sum::<u64>();
            if let Values::Float64(page) = &mut this.values {
                page.append(values, (this.form == Form::Indices).then_some(&mut this.dictionary));
            }
        })
    }

    /// Appends booleans.
    pub(crate) fn append_bool(&mut self, values: &[bool], valid: &[bool], tools: &mut Tools) -> Result<()> {
        self.append(values, valid, tools, |this, values| {
            if let Values::Boolean(page) = &mut this.values {
                page.values.extend_from_slice(values);
            }
        })
    }

    /// Appends values that are not null, with the rows where they belong, page by page.
    fn append<T>(
        &mut self,
        mut values: &[T],
        mut valid: &[bool],
        tools: &mut Tools,
        take: impl Fn(&mut Self, &[T]),
    ) -> Result<()> {
        loop {
            let room = self.limits.page_rows - self.page_rows;
            let (rows, count) = if valid.is_empty() {
                (room.min(values.len()), room.min(values.len()))
            } else {
                let rows = room.min(valid.len());
                (rows, valid[..rows].iter().filter(|valid| **valid).count())
            };
            if rows == 0 {
                return Ok(());
            }
            if !self.valid.is_empty() || count < rows {
                self.valid.resize(self.page_rows, true);
                match valid.get(..rows) {
                    Some(valid) => self.valid.extend_from_slice(valid),
                    None => self.valid.resize(self.page_rows + rows, true),
                }
            }
            self.page_rows += rows;
            self.page_nulls += rows - count;
            take(self, &values[..count]);
            self.count += count as u64;
            values = &values[count..];
            valid = valid.get(rows..).unwrap_or_default();
            self.end_page_if_full(tools)?;
            // A batch that ended with its page must not look like one without nulls.
            if values.is_empty() && valid.is_empty() {
                return Ok(());
            }
        }
    }

    /// Appends texts: places in a buffer, or null.
    #[inline]
    pub(crate) fn append_texts(
        &mut self,
        buffer: &[u8],
        texts: impl Iterator<Item = Option<Span>>,
        tools: &mut Tools,
    ) -> Result<()> {
        for text in texts {
            self.page_rows += 1;
            if let Some(span) = text {
                if let Values::Text(page) = &mut self.values {
                    page.append(buffer, span, (self.form == Form::Indices).then_some(&mut self.dictionary));
                }
                self.count += 1;
                if !self.valid.is_empty() {
                    self.valid.push(true);
                }
            } else {
                if self.valid.is_empty() {
                    self.valid.resize(self.page_rows - 1, true);
                }
                self.valid.push(false);
                self.page_nulls += 1;
            }
            self.end_page_if_full(tools)?;
        }
        Ok(())
    }

    #[inline]
    fn end_page_if_full(&mut self, tools: &mut Tools) -> Result<()> {
        if self.is_page_full() || self.is_dictionary_full() { self.end_page(tools) } else { Ok(()) }
    }

    #[inline]
    fn is_page_full(&self) -> bool {
        let is_full_of_text =
            matches!(&self.values, Values::Text(page) if page.direct_bytes() >= self.limits.page_bytes);
        self.page_rows >= self.limits.page_rows || is_full_of_text
    }

    #[inline]
    fn is_dictionary_full(&self) -> bool {
        self.form == Form::Indices && self.dictionary.size() > self.limits.dictionary_bytes
    }

    fn page(&mut self) -> &mut dyn Page {
        match &mut self.values {
            Values::Boolean(page) => page,
            Values::Int64(page) => page,
            Values::Float64(page) => page,
            Values::Date(page) => page,
            Values::Text(page) => page,
        }
    }

    /// Whether a dictionary has too many entries to save anything.
    fn is_dictionary_in_vain(&self) -> bool {
        self.form == Form::Indices && self.dictionary.len() as u64 * 2 > self.count
    }

    #[cold]
    fn end_page(&mut self, tools: &mut Tools) -> Result<()> {
        let form = self.form;
        let is_in_vain = self.is_dictionary_in_vain() && (self.count >= TRIAL_VALUES || self.is_page_full());
        if is_in_vain || self.is_dictionary_full() {
            self.form = Form::Direct;
            if is_in_vain {
                self.first_form = Form::Direct;
            }
            if !self.has_indices {
                self.spell_out();
                return if self.is_page_full() { self.write_page(Form::Direct, tools) } else { Ok(()) };
            }
        }
        // A page that follows others keeps its numbers.
        self.write_page(form, tools)
    }

    /// The values of the present page that were numbered are taken as they are; nothing refers to the dictionary then.
    fn spell_out(&mut self) {
        let dictionary = std::mem::take(&mut self.dictionary);
        self.page().spell_out(&dictionary);
        hand_on(dictionary);
        if let Values::Text(page) = &mut self.values {
            page.restart();
        }
    }

    fn write_page(&mut self, form: Form, tools: &mut Tools) -> Result<()> {
        if self.page_rows == 0 {
            return Ok(());
        }
        tools.page.clear();
        bits::write_levels(self.page_rows, &self.valid, &mut tools.page);
        let text_bytes = if let Values::Text(page) = &self.values { page.text_bytes } else { 0 };
        let entries = self.dictionary.len();
        let bounds = self.page().write(form, entries, &mut tools.page);
        let encoding = match form {
            Form::Direct => self.page().direct(),
            Form::Indices => Encoding::RLE_DICTIONARY,
        };
        let num_values = u32::try_from(self.page_rows).unwrap_or(u32::MAX);
        let page = tools.compress(|buf| ParquetPage::DataPage {
            buf,
            num_values,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        })?;
        self.has_indices |= form == Form::Indices;
        self.has_direct |= form == Form::Direct;
        self.pages.push(Written {
            page,
            rows: self.page_rows,
            nulls: self.page_nulls,
            bounds,
            text_bytes,
            nans: self.page_nans,
        });
        self.rows += self.page_rows as u64;
        self.page_rows = 0;
        self.page_nulls = 0;
        self.page_nans = 0;
        self.valid.clear();
        Ok(())
    }

    /// Ends the chunk, and begins another.
    pub(crate) fn finish(&mut self, tools: &mut Tools) -> Result<Chunk> {
        if self.is_dictionary_in_vain() && !self.has_indices {
            self.spell_out();
            self.form = Form::Direct;
        }
        self.write_page(self.form, tools)?;
        let dictionary = self.dictionary_page(tools)?;
        let chunk = self.chunk(dictionary);
        self.dictionary.clear();
        if let Values::Text(page) = &mut self.values {
            page.restart();
        }
        self.form = self.first_form;
        self.has_indices = false;
        self.has_direct = false;
        self.count = 0;
        self.rows = 0;
        chunk
    }

    fn dictionary_page(&mut self, tools: &mut Tools) -> Result<Option<Compressed>> {
        if !self.has_indices {
            return Ok(None);
        }
        tools.page.clear();
        tools.page.extend_from_slice(self.dictionary.bytes());
        let num_values = u32::try_from(self.dictionary.len()).unwrap_or(u32::MAX);
        let page = tools.compress(|buf| ParquetPage::DictionaryPage {
            buf,
            num_values,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        })?;
        Ok(Some(page))
    }

    fn chunk(&mut self, dictionary: Option<Compressed>) -> Result<Chunk> {
        let written = std::mem::take(&mut self.pages);
        let mut pages = Vec::with_capacity(2 * (written.len() + 1));
        let (mut at, mut uncompressed) = (0, 0);
        let mut encodings = vec![Encoding::RLE];
        if let Some(page) = dictionary {
            at += offset(page.len())?;
            uncompressed += offset(page.uncompressed)?;
            pages.extend([page.header, page.data]);
            // The dictionary itself is plain.
            encodings.extend([Encoding::PLAIN, Encoding::RLE_DICTIONARY]);
        }
        if self.has_direct {
            encodings.push(self.page().direct());
        }
        let data_page_offset = at;
        let physical = self.descriptor.physical_type();
        let mut column_index = ColumnIndexBuilder::new(physical);
        let mut offset_index = OffsetIndexBuilder::new();
        let (mut bounds, mut nulls, mut nans, mut text_bytes) = (None, 0, 0, 0);
        let is_text = self.kind == Type::Text;
        let mut order = Order::default();
        for Written { page, rows, nulls: page_nulls, bounds: found, text_bytes: texts, nans: page_nans } in
            written
        {
            bounds = statistics::unite(self.kind, bounds, &found);
            nulls += page_nulls as u64;
            nans += page_nans;
            text_bytes += texts;
            let nan_count = (physical == Physical::DOUBLE).then_some(offset(page_nans)?);
            match found.map(|found| statistics::shorten(self.kind, found)) {
                Some(statistics::Short { min, max: Some(max), .. }) => {
                    order.see(self.kind, &min, &max);
                    column_index.append(false, min, max, offset(page_nulls)?, nan_count);
                }
                // A greatest text that cannot be cut short: there is no index then.
                Some(_) => column_index.to_invalid(),
                None => column_index.append(true, Vec::new(), Vec::new(), offset(page_nulls)?, nan_count),
            }
            offset_index.append_offset_and_size(at, i32::try_from(page.len()).map_err(|_| too_large())?);
            offset_index.append_row_count(offset(rows)?);
            if is_text {
                offset_index.append_unencoded_byte_array_data_bytes(Some(offset(texts)?));
            }
            at += offset(page.len())?;
            uncompressed += offset(page.uncompressed)?;
            pages.extend([page.header, page.data]);
        }
        column_index.set_boundary_order(order.found());
        let metadata = ColumnChunkMetaData::builder(self.descriptor.clone())
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
            .set_encodings(encodings)
            .set_num_values(offset(self.rows)?)
            .set_total_compressed_size(at)
            .set_total_uncompressed_size(uncompressed)
            .set_data_page_offset(data_page_offset)
            .set_dictionary_page_offset((data_page_offset > 0).then_some(0))
            .set_statistics(statistics::of_chunk(self.kind, bounds, nulls, nans))
            .set_unencoded_byte_array_data_bytes(if is_text { Some(offset(text_bytes)?) } else { None })
            .build()?;
        let column_index = if column_index.valid() { Some(column_index.build()?) } else { None };
        Ok(Chunk {
            pages: Pages(pages),
            closed: ColumnCloseResult {
                bytes_written: at.unsigned_abs(),
                rows_written: self.rows,
                metadata,
                bloom_filter: None,
                column_index,
                offset_index: Some(offset_index.build()),
            },
        })
    }
}

/// How pages follow each other.
#[derive(Default)]
struct Order {
    last: Option<(Vec<u8>, Vec<u8>)>,
    falls: bool,
    rises: bool,
}

impl Order {
    fn see(&mut self, kind: Type, min: &[u8], max: &[u8]) {
        if let Some((last_min, last_max)) = &self.last {
            let order = [(last_min.as_slice(), min), (last_max, max)];
            for (before, after) in order {
                let order = statistics::compare(kind, before, after);
                self.rises |= order.is_lt();
                self.falls |= order.is_gt();
            }
        }
        self.last = Some((min.to_vec(), max.to_vec()));
    }

    fn found(&self) -> BoundaryOrder {
        match (self.rises, self.falls) {
            (_, false) => BoundaryOrder::ASCENDING,
            (false, true) => BoundaryOrder::DESCENDING,
            (true, true) => BoundaryOrder::UNORDERED,
        }
    }
}

fn offset(bytes: impl TryInto<i64>) -> Result<i64> {
    bytes.try_into().map_err(|_| too_large())
}

fn too_large() -> ParquetError {
    ParquetError::General("more than a column chunk may hold".to_owned())
}

/// A column chunk that is encoded, with what the footer will say of it.
pub(crate) struct Chunk {
    pub(crate) pages: Pages,
    pub(crate) closed: ColumnCloseResult,
}

/// A chunk's bytes.
pub(crate) struct Pages(Vec<Bytes>);

impl Length for Pages {
    fn len(&self) -> u64 {
        self.0.iter().map(|page| page.len() as u64).sum()
    }
}

impl ChunkReader for Pages {
    type T = PagesReader;

    fn get_read(&self, start: u64) -> Result<PagesReader> {
        let mut rest = PagesReader(self.0.iter().cloned().collect());
        io::copy(&mut rest.by_ref().take(start), &mut io::sink())?;
        Ok(rest)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let mut bytes = vec![0; length];
        self.get_read(start)?.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// Reads pages one after the other.
pub(crate) struct PagesReader(VecDeque<Bytes>);

impl Read for PagesReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(page) = self.0.front_mut() {
            if page.is_empty() {
                self.0.pop_front();
                continue;
            }
            let length = page.len().min(buffer.len());
            page.copy_to_slice(&mut buffer[..length]);
            return Ok(length);
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use parquet::basic::PageType;
    use parquet::file::metadata::ParquetMetaData;
    use parquet::file::page_index::column_index::ColumnIndexMetaData;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::file::serialized_reader::ReadOptionsBuilder;
    use parquet::file::statistics::Statistics;

    use super::*;
    use crate::file::{self, FileWriter};
    use crate::testing;

    const PAGE_ROWS: usize = 100;
    const LIMITS: Limits =
        Limits { page_bytes: 64 * 1024, page_rows: PAGE_ROWS, dictionary_bytes: 64 * 1024 };

    /// A file of one row group and one column.
    fn file(
        kind: Type,
        limits: Limits,
        append: impl FnOnce(&mut ChunkEncoder, &mut Tools) -> Result<()>,
    ) -> Bytes {
        let mut tools = Tools::take().unwrap();
        let mut encoder = ChunkEncoder::new(kind, file::descriptor("a", kind).unwrap(), limits);
        append(&mut encoder, &mut tools).unwrap();
        let mut output = Vec::new();
        let mut file = FileWriter::new(&mut output, [("a", kind)]).unwrap();
        file.write([encoder.finish(&mut tools).unwrap()]).unwrap();
        file.finish([]).unwrap();
        output.into()
    }

    /// The values that are not null, and where they are.
    fn split<T: Clone>(cells: &[Option<T>]) -> (Vec<T>, Vec<bool>) {
        (cells.iter().flatten().cloned().collect(), cells.iter().map(Option::is_some).collect())
    }

    fn doubles(cells: &[Option<f64>]) -> Bytes {
        let (values, valid) = split(cells);
        file(Type::Float64, LIMITS, |encoder, tools| encoder.append_f64(&values, &valid, tools))
    }

    fn texts(cells: &[&str], limits: Limits) -> Bytes {
        let buffer = cells.concat();
        let mut end = 0;
        let spans = cells.iter().map(|cell| {
            let start = end;
            end += u32::try_from(cell.len()).unwrap();
            Some(Span { start, end })
        });
        file(Type::Text, limits, |encoder, tools| encoder.append_texts(buffer.as_bytes(), spans, tools))
    }

    fn cells(file: &Bytes) -> Vec<Option<String>> {
        testing::read(file).swap_remove(0).2
    }

    fn metadata(file: &Bytes) -> ParquetMetaData {
        let options = ReadOptionsBuilder::new().with_page_index().build();
        SerializedFileReader::new_with_options(file.clone(), options).unwrap().metadata().clone()
    }

    fn column_index(metadata: &ParquetMetaData) -> Option<ColumnIndexMetaData> {
        metadata.page_index_for_row_group(0).column_index(0).cloned()
    }

    fn encodings(file: &Bytes) -> Vec<(PageType, Encoding)> {
        let reader = SerializedFileReader::new(file.clone()).unwrap();
        let pages = reader.get_row_group(0).unwrap().get_column_page_reader(0).unwrap();
        pages.map(|page| page.unwrap()).map(|page| (page.page_type(), page.encoding())).collect()
    }

    #[test]
    fn the_index_says_of_each_page_what_is_in_it() {
        let cells: Vec<Option<i64>> = (0..1_000)
            .map(|row| match row {
                300..500 | 777 => None,
                row => Some(5_000 - row),
            })
            .collect();
        let (values, valid) = split(&cells);
        let written = file(Type::Int64, LIMITS, |encoder, tools| encoder.append_i64(&values, &valid, tools));
        let found: Vec<Option<i64>> = self::cells(&written)
            .iter()
            .map(|cell| cell.as_ref().map(|cell| cell.parse().unwrap()))
            .collect();
        assert_eq!(found, cells);

        let metadata = metadata(&written);
        let index = column_index(&metadata).unwrap();
        assert_eq!(index.get_boundary_order(), Some(BoundaryOrder::DESCENDING));
        let ColumnIndexMetaData::INT64(index) = index else { panic!("{index:?}") };
        let pages: Vec<&[Option<i64>]> = cells.chunks(PAGE_ROWS).collect();
        let expected = |bound: fn(&[i64]) -> Option<i64>| -> Vec<Option<i64>> {
            pages.iter().map(|page| bound(&page.iter().flatten().copied().collect::<Vec<_>>())).collect()
        };
        let least: Vec<Option<i64>> = index.min_values_iter().map(Option::<&i64>::copied).collect();
        let greatest: Vec<Option<i64>> = index.max_values_iter().map(Option::<&i64>::copied).collect();
        assert_eq!(least, expected(|page| page.iter().copied().min()));
        assert_eq!(greatest, expected(|page| page.iter().copied().max()));
        let nulls: Vec<i64> = (0..pages.len()).map(|page| index.null_count(page).unwrap()).collect();
        assert_eq!(nulls, [0, 0, 0, 100, 100, 0, 0, 1, 0, 0]);
        let indexes = metadata.page_index_for_row_group(0);
        let places = indexes.offset_index(0).unwrap();
        let first_rows: Vec<i64> = places.page_locations().iter().map(|page| page.first_row_index).collect();
        assert_eq!(first_rows, (0..10).map(|page| page * 100).collect::<Vec<_>>());
        let Some(Statistics::Int64(found)) = metadata.row_group(0).column(0).statistics() else {
            panic!("none")
        };
        assert_eq!(
            (found.min_opt(), found.max_opt(), found.null_count_opt()),
            (Some(&4_001), Some(&5_000), Some(201))
        );
    }

    #[test]
    fn a_column_of_nulls_alone_has_no_bounds() {
        let written = file(Type::Text, LIMITS, |encoder, tools| encoder.append_nulls(250, tools));
        assert_eq!(cells(&written), vec![None; 250]);
        let metadata = metadata(&written);
        let Some(ColumnIndexMetaData::BYTE_ARRAY(index)) = column_index(&metadata) else {
            panic!("no index")
        };
        assert!((0..3).all(|page| index.is_null_page(page)));
        let found = metadata.row_group(0).column(0).statistics().unwrap();
        assert_eq!((found.min_bytes_opt(), found.null_count_opt()), (None, Some(250)));
    }

    /// A reader that skips pages by their bounds must not skip one because of a NaN.
    #[test]
    fn nan_counts_as_a_bound_only_where_there_is_nothing_else() {
        let page = |cell: fn(usize) -> Option<f64>| (0..PAGE_ROWS).map(cell);
        let mixed =
            page(|row| Some(if row % 3 == 0 { f64::NAN } else { f64::from(u8::try_from(row).unwrap()) }));
        let nan = page(|_| Some(f64::NAN));
        let zeros = page(|row| Some(if row % 2 == 0 { 0.0 } else { -0.0 }));
        let cells: Vec<Option<f64>> = nan.chain(mixed).chain(zeros).collect();
        let written = doubles(&cells);
        let expected: Vec<Option<String>> =
            cells.iter().map(|cell| cell.map(|cell| format!("{cell:?}"))).collect();
        assert_eq!(self::cells(&written), expected);
        let metadata = metadata(&written);
        let Some(ColumnIndexMetaData::DOUBLE(index)) = column_index(&metadata) else { panic!("no index") };
        let bits = |value: Option<&f64>| value.map(|value| value.to_bits());
        let least: Vec<_> = index.min_values_iter().map(bits).collect();
        let greatest: Vec<_> = index.max_values_iter().map(bits).collect();
        assert_eq!((least[1], greatest[1]), (bits(Some(&1.0)), bits(Some(&98.0))));
        assert!(index.min_values_iter().next().flatten().is_some_and(|value| value.is_nan()));
        assert_eq!((least[2], greatest[2]), (bits(Some(&-0.0)), bits(Some(&0.0))));
        let Some(Statistics::Double(found)) = metadata.row_group(0).column(0).statistics() else {
            panic!("none")
        };
        assert_eq!((bits(found.min_opt()), bits(found.max_opt())), (bits(Some(&-0.0)), bits(Some(&98.0))));
        assert_eq!(found.nan_count_opt(), Some(34 + 100));
    }

    #[test]
    fn long_bounds_are_cut_without_shutting_a_value_out() {
        let long = format!("{}é and more", "x".repeat(63));
        let written = texts(&[&long, "y", &"\u{10ffff}".repeat(40)], LIMITS);
        let metadata = metadata(&written);
        // Nothing short is greater than the last one.
        assert!(column_index(&metadata).is_none());
        let Some(Statistics::ByteArray(found)) = metadata.row_group(0).column(0).statistics() else {
            panic!("none")
        };
        assert_eq!(found.min_opt().unwrap().data(), "x".repeat(63).as_bytes());
        assert!(!found.min_is_exact() && found.max_opt().is_none());

        let written = texts(&["a", &long], LIMITS);
        let metadata = self::metadata(&written);
        let Some(ColumnIndexMetaData::BYTE_ARRAY(index)) = column_index(&metadata) else {
            panic!("no index")
        };
        let greatest = index.max_value(0).unwrap();
        assert_eq!(greatest, format!("{}y", "x".repeat(62)).as_bytes());
        assert!(greatest > long.as_bytes());
    }

    #[test]
    fn a_dictionary_that_has_grown_too_large_is_given_up_for_the_rest() {
        const DICTIONARY: (PageType, Encoding) = (PageType::DICTIONARY_PAGE, Encoding::PLAIN);
        const NUMBERED: (PageType, Encoding) = (PageType::DATA_PAGE, Encoding::RLE_DICTIONARY);
        const DIRECT: (PageType, Encoding) = (PageType::DATA_PAGE, Encoding::DELTA_LENGTH_BYTE_ARRAY);
        let few = |row: usize| format!("{}", row % 7);
        let many = |row: usize| format!("text number {row}");
        let limits = Limits { dictionary_bytes: 4 * 1024, ..LIMITS };
        let written = |cell: &dyn Fn(usize) -> String| {
            let cells: Vec<String> = (0..1_000).map(cell).collect();
            let written = texts(&cells.iter().map(String::as_str).collect::<Vec<_>>(), limits);
            assert!(self::cells(&written).iter().flatten().eq(&cells));
            encodings(&written)
        };
        assert_eq!(written(&few), [vec![DICTIONARY], vec![NUMBERED; 10]].concat());
        assert_eq!(written(&many), vec![DIRECT; 10]);
        let turning = written(&|row| if row < 450 { few(row) } else { many(row) });
        assert_eq!(turning[..5], [DICTIONARY, NUMBERED, NUMBERED, NUMBERED, NUMBERED]);
        assert_eq!(turning.last(), Some(&DIRECT));
    }
}
