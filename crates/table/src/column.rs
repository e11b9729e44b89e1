//! The columns of one CSV, being read and encoded.

use parquet::errors::ParquetError;

use crate::batch::{Batch, Span};
use crate::convert::Stop;
use crate::encode::{Chunk, ChunkEncoder, Limits, Tools};
use crate::file;
use crate::fragment::FragmentColumn;
use crate::lanes::Lane;
use crate::style::{self, Style, TimestampReader};
use crate::survey::{self, Votes, is_null};
use crate::types::{Pin, Type, TypeSet};
use crate::value::{self, Parsed};

/// What is known of a column before its values are written.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) pin: Option<Pin>,
    /// What a survey of the whole found; without one, the type is taken from the first values, and what follows may
    /// not fit.
    pub(crate) votes: Option<Votes>,
}

/// A column being written.
pub(crate) struct Column {
    plan: Plan,
    limits: Limits,
    /// The types that hold all values so far.
    types: TypeSet,
    data: Option<Data>,
    texts: Texts,
    /// Rows of the present group.
    rows: usize,
}

/// A column whose type is known.
struct Data {
    kind: Type,
    encoder: ChunkEncoder,
    /// Known from the first value on.
    style: Option<Style>,
    timestamps: Option<TimestampReader>,
}

/// The texts that a column's type and style do not render.
enum Texts {
    /// None so far, in the first group: whether the file gets a column of texts is open.
    Open,
    /// The file has that column.
    Column(Box<ChunkEncoder>),
    /// The file does not have it.
    Absent,
}

/// A column's part of a group.
pub(crate) struct ColumnChunks {
    pub(crate) kind: Type,
    pub(crate) data: Chunk,
    pub(crate) texts: Option<Chunk>,
}

/// What batches are taken apart into, kept to spare allocations.
#[derive(Default)]
struct Cells<T> {
    values: Vec<T>,
    /// Which rows have a value; empty where all do.
    valid: Vec<bool>,
    /// Rows whose text is kept.
    odd: Vec<(usize, Span)>,
}

/// Rows by which a column's type is chosen at first.
const SAMPLE_ROWS: usize = 32;

impl Column {
    pub(crate) fn new(plan: Plan, limits: Limits) -> Result<Self, ParquetError> {
        let mut column = Self { plan, limits, types: TypeSet::ALL, data: None, texts: Texts::Open, rows: 0 };
        if let Some(votes) = column.plan.votes.clone() {
            column.types = votes.types;
            column.data = Some(column.data(votes.kind())?);
            if votes.kind() == Type::Text {
                column.texts = Texts::Absent;
            } else if votes.is_odd() {
                column.texts = Texts::Column(Box::new(column.text_encoder()?));
            }
        }
        Ok(column)
    }

    /// How the fragment describes it. `text` is the place of its texts.
    pub(crate) fn describe(&self, index: usize, next_text: &mut usize) -> FragmentColumn {
        let text = matches!(self.texts, Texts::Column(_)).then(|| {
            *next_text += 1;
            *next_text - 1
        });
        let style = self.data.as_ref().and_then(|data| data.style.clone()).unwrap_or_default();
        FragmentColumn {
            name: self.plan.name.clone(),
            index,
            kind: self.kind(),
            fits: self.types,
            style,
            text,
        }
    }

    fn kind(&self) -> Type {
        let unknown = || self.plan.pin.map_or(Type::Text, Pin::default_type);
        self.data.as_ref().map_or_else(unknown, |data| data.kind)
    }

    fn data(&self, kind: Type) -> Result<Data, ParquetError> {
        let encoder = ChunkEncoder::new(kind, file::descriptor(&self.plan.name, kind)?, self.limits);
        Ok(Data { kind, encoder, style: None, timestamps: None })
    }

    fn text_encoder(&self) -> Result<ChunkEncoder, ParquetError> {
        let name = crate::fragment::text_column(&self.plan.name);
        Ok(ChunkEncoder::new(Type::Text, file::descriptor(&name, Type::Text)?, self.limits))
    }

    fn take(&mut self, batch: &Batch, index: usize, tools: &mut Tools) -> Result<(), Stop> {
        let begins = self.plan.votes.is_none() && !self.types.votes();
        // Mostly the first rows are like the others; where they are not, all of the batch is looked at.
        let begun = begins && self.begin(batch, index, SAMPLE_ROWS, tools)?;
        let odd = match self.take_values(batch, index, tools) {
            Err(Stop::Misfit) if begun => {
                self.data = None;
                self.begin(batch, index, usize::MAX, tools)?;
                self.take_values(batch, index, tools)
            }
            taken => taken,
        }?;
        self.keep(batch, &odd, tools)?;
        self.rows += batch.rows.len();
        Ok(())
    }

    /// Appends a batch's values, if the column has begun. Gives back the rows whose text is to be kept.
    fn take_values(
        &mut self,
        batch: &Batch,
        index: usize,
        tools: &mut Tools,
    ) -> Result<Vec<(usize, Span)>, Stop> {
        let pin = self.plan.pin;
        let Some(data) = &mut self.data else { return Ok(Vec::new()) };
        if data.style.is_none() {
            data.style = survey::style(batch, index, data.kind, pin);
            if let Some(Style::Timestamp(style)) = &data.style {
                data.timestamps = Some(TimestampReader::new(style));
            }
        }
        data.take(batch, index, pin, &mut self.types, tools)
    }

    /// Looks for a column's first value, and begins the column by so many rows, or by all where these have none.
    /// `false` where there is nothing but empty fields yet.
    fn begin(&mut self, batch: &Batch, index: usize, rows: usize, tools: &mut Tools) -> Result<bool, Stop> {
        let mut votes = Votes::new(self.plan.pin);
        votes.see(batch, index, rows);
        if !votes.types.votes() && rows < batch.rows.len() {
            return self.begin(batch, index, usize::MAX, tools);
        }
        if let Some(data) = &self.data {
            // It was begun as text, for want of a value.
            if votes.types.votes() && votes.kind() != data.kind {
                return Err(Stop::Misfit);
            }
        } else if votes.types.votes() || votes.words {
            let mut data = self.data(votes.kind())?;
            data.encoder.append_nulls(self.rows, tools)?;
            self.data = Some(data);
        }
        self.types = votes.types;
        Ok(self.data.is_some())
    }

    /// Keeps the texts of odd rows.
    fn keep(&mut self, batch: &Batch, odd: &[(usize, Span)], tools: &mut Tools) -> Result<(), Stop> {
        if !odd.is_empty() && matches!(self.texts, Texts::Open) {
            let mut encoder = self.text_encoder()?;
            encoder.append_nulls(self.rows, tools)?;
            self.texts = Texts::Column(Box::new(encoder));
        }
        let rows = batch.rows.len();
        match &mut self.texts {
            Texts::Column(encoder) if odd.is_empty() => encoder.append_nulls(rows, tools)?,
            Texts::Column(encoder) => {
                let mut odd = odd.iter().copied().peekable();
                let texts = (0..rows).map(|row| odd.next_if(|(odd, _)| *odd == row).map(|(_, span)| span));
                encoder.append_texts(&batch.text, texts, tools)?;
            }
            Texts::Absent if !odd.is_empty() => return Err(Stop::Misfit),
            Texts::Open | Texts::Absent => {}
        }
        Ok(())
    }

    fn end_group(&mut self, is_last: bool, tools: &mut Tools) -> Result<ColumnChunks, Stop> {
        if self.data.is_none() {
            let mut data = self.data(self.kind())?;
            data.encoder.append_nulls(self.rows, tools)?;
            self.data = Some(data);
        }
        if matches!(self.texts, Texts::Open) {
            // Where more groups follow, one of them may have an odd text, and the file's columns are settled now.
            self.texts = if is_last || self.kind() == Type::Text {
                Texts::Absent
            } else {
                let mut encoder = self.text_encoder()?;
                encoder.append_nulls(self.rows, tools)?;
                Texts::Column(Box::new(encoder))
            };
        }
        self.rows = 0;
        let missing = || ParquetError::General("a column without an encoder".to_owned());
        let data = self.data.as_mut().ok_or_else(missing)?;
        Ok(ColumnChunks {
            kind: data.kind,
            data: data.encoder.finish(tools)?,
            texts: match &mut self.texts {
                Texts::Column(encoder) => Some(encoder.finish(tools)?),
                Texts::Open | Texts::Absent => None,
            },
        })
    }
}

impl Data {
    /// Appends a batch's values. Gives back the rows whose text is to be kept.
    fn take(
        &mut self,
        batch: &Batch,
        index: usize,
        pin: Option<Pin>,
        types: &mut TypeSet,
        tools: &mut Tools,
    ) -> Result<Vec<(usize, Span)>, Stop> {
        let encoder = &mut self.encoder;
        let style = self.style.as_ref().unwrap_or(&Style::Canonical);
        let odd = match self.kind {
            Type::Text => {
                let texts = batch.column(index).map(|span| (span.len() > 0).then_some(span));
                encoder.append_texts(&batch.text, texts, tools)?;
                Vec::new()
            }
            Type::Boolean => {
                let cells = Cells::of(batch, index, pin, |text| {
                    let value = value::boolean(text)?.value;
                    Some((value, Style::of_boolean(text) == *style))
                })?;
                encoder.append_bool(&cells.values, &cells.valid, tools)?;
                cells.odd
            }
            Type::Int64 => {
                let cells = Cells::of(batch, index, pin, |text| Some((value::int64(text)?, true)))?;
                if types.has(Type::Float64) && !cells.values.iter().all(|value| value::fits_float64(*value)) {
                    *types = types.and(TypeSet::of(&[Type::Int64]));
                }
                encoder.append_i64(&cells.values, &cells.valid, tools)?;
                cells.odd
            }
            Type::Float64 => {
                let general = |text: &[u8], is_style: bool| {
                    let Parsed { value, canonical } = value::float64(text)?;
                    Some((value, is_style && canonical))
                };
                let cells = match style {
                    Style::Decimals(decimals) => Cells::of(batch, index, pin, |text| {
                        style::decimal(text, *decimals)
                            .map(|value| (value, true))
                            .or_else(|| general(text, false))
                    }),
                    _ => Cells::of(batch, index, pin, |text| general(text, true)),
                }?;
                encoder.append_f64(&cells.values, &cells.valid, tools)?;
                cells.odd
            }
            Type::Date => {
                let cells = Cells::of(batch, index, pin, |text| Some((value::date(text)?, true)))?;
                encoder.append_i32(&cells.values, &cells.valid, tools)?;
                cells.odd
            }
            Type::TimestampUtc | Type::TimestampLocal => {
                let utc = self.kind == Type::TimestampUtc;
                let general = |text: &[u8], is_style: bool| {
                    let Parsed { value, canonical } = value::timestamp(text)?;
                    (value.utc == utc).then_some((value.micros, is_style && canonical))
                };
                let cells = match &mut self.timestamps {
                    Some(reader) => Cells::of(batch, index, pin, |text| {
                        reader.read(text).map(|micros| (micros, true)).or_else(|| general(text, false))
                    }),
                    None => Cells::of(batch, index, pin, |text| general(text, true)),
                }?;
                encoder.append_i64(&cells.values, &cells.valid, tools)?;
                cells.odd
            }
        };
        Ok(odd)
    }
}

impl<T> Cells<T> {
    /// Reads a column of a batch. `read` gives a value, and whether the column's style renders it as it stands.
    #[inline]
    fn of(
        batch: &Batch,
        index: usize,
        pin: Option<Pin>,
        mut read: impl FnMut(&[u8]) -> Option<(T, bool)>,
    ) -> Result<Self, Stop> {
        let rows = batch.rows.len();
        let mut cells = Self { values: Vec::with_capacity(rows), valid: Vec::new(), odd: Vec::new() };
        for (row, span) in batch.column(index).enumerate() {
            let text = &batch.text[span.range()];
            if let Some((value, renders)) = read(text).filter(|_| !text.is_empty()) {
                cells.values.push(value);
                if !cells.valid.is_empty() {
                    cells.valid.push(true);
                }
                if !renders {
                    cells.odd.push((row, span));
                }
            } else if is_null(text, pin) {
                if cells.valid.is_empty() {
                    cells.valid.reserve(rows);
                    cells.valid.resize(row, true);
                }
                cells.valid.push(false);
                if !text.is_empty() {
                    cells.odd.push((row, span));
                }
            } else {
                return Err(Stop::Misfit);
            }
        }
        Ok(cells)
    }
}

/// Neighbouring columns.
pub(crate) struct ColumnLane {
    first: usize,
    pub(crate) columns: Vec<Column>,
}

impl ColumnLane {
    pub(crate) fn new(first: usize, plans: &[Plan], limits: Limits) -> Result<Self, ParquetError> {
        let columns = plans.iter().map(|plan| Column::new(plan.clone(), limits)).collect::<Result<_, _>>()?;
        Ok(Self { first, columns })
    }
}

impl Lane for ColumnLane {
    type Batch = Batch;
    type Yield = Vec<ColumnChunks>;
    type Error = Stop;

    fn take(&mut self, batch: &Batch, tools: &mut Tools) -> Result<(), Stop> {
        for (index, column) in (self.first..).zip(&mut self.columns) {
            column.take(batch, index, tools)?;
        }
        Ok(())
    }

    fn end_group(&mut self, is_last: bool, tools: &mut Tools) -> Result<Vec<ColumnChunks>, Stop> {
        self.columns.iter_mut().map(|column| column.end_group(is_last, tools)).collect()
    }
}
