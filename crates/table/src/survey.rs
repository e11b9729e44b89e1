//! What a column's values are: its type, and how they are spelled.

use std::convert::Infallible;

use crate::batch::Batch;
use crate::convert::Stop;
use crate::encode::Tools;
use crate::lanes::Lane;
use crate::style::{Style, TimestampReader};
use crate::types::{Pin, Type, TypeSet};
use crate::value::{self, Fit};

/// What is known of a column's type.
#[derive(Clone, Debug)]
pub(crate) struct Votes {
    pin: Option<Pin>,
    /// The types that hold all values so far.
    pub(crate) types: TypeSet,
    /// The types that would render some value otherwise than it stood.
    odd: TypeSet,
    /// Whether a null word was seen.
    pub(crate) words: bool,
}

/// Whether a text is no value, unless its column is text.
pub(crate) fn is_null(text: &[u8], pin: Option<Pin>) -> bool {
    text.is_empty() || (pin != Some(Pin::String) && value::is_null_word(text))
}

impl Votes {
    pub(crate) fn new(pin: Option<Pin>) -> Self {
        // Text is in every set, so that it says nothing: only a null word makes a column of texts odd.
        Self { pin, types: TypeSet::ALL, odd: TypeSet::TEXT, words: false }
    }

    /// Lets the values of a batch's first rows count.
    pub(crate) fn see(&mut self, batch: &Batch, column: usize, rows: usize) {
        for span in batch.column(column).take(rows) {
            let text = &batch.text[span.range()];
            if is_null(text, self.pin) {
                self.words |= !text.is_empty();
            // Nothing is narrower than text.
            } else if self.types != TypeSet::TEXT {
                let among = self.pin.map_or(self.types, |pin| self.types.and(pin.types()));
                let Fit { types, canonical } = value::fit(text, among);
                self.types = among.and(types);
                self.odd = self.odd.or(types.without(canonical));
            }
        }
    }

    /// The first type that holds all values; text, or what the column is pinned to, where there is none.
    pub(crate) fn kind(&self) -> Type {
        match self.pin {
            Some(pin) if !self.types.votes() => pin.default_type(),
            _ => self.types.first(),
        }
    }

    /// Whether some text is not what its type renders.
    pub(crate) fn is_odd(&self) -> bool {
        self.words || self.odd.has(self.kind())
    }
}

/// Values by which a style is chosen.
const STYLE_VALUES: usize = 256;

/// Chooses the style in which most of a batch's first values are, as far as it is one; `None` where there is no value.
pub(crate) fn style(batch: &Batch, column: usize, kind: Type, pin: Option<Pin>) -> Option<Style> {
    let mut values = batch
        .column(column)
        .map(|span| &batch.text[span.range()])
        .filter(|text| !is_null(text, pin))
        .peekable();
    let first = *values.peek()?;
    let of = |text: &[u8]| match kind {
        Type::Boolean => Style::of_boolean(text),
        Type::Float64 => Style::of_number(text),
        Type::TimestampUtc | Type::TimestampLocal => Style::of_timestamp(text),
        Type::Int64 | Type::Date | Type::Text => Style::Canonical,
    };
    let style = of(first);
    if style == Style::Canonical {
        return Some(style);
    }
    let mut timestamps = match &style {
        Style::Timestamp(style) => Some(TimestampReader::new(style)),
        _ => None,
    };
    let (mut alike, mut canonical) = (0, 0);
    for text in values.take(STYLE_VALUES) {
        alike += usize::from(match &mut timestamps {
            Some(reader) => reader.read(text).is_some(),
            None => of(text) == style,
        });
        canonical += usize::from(value::fit(text, TypeSet::of(&[kind])).canonical.has(kind));
    }
    // Timestamps of one form are read faster, also where the form is the type's own.
    let wins = if matches!(style, Style::Timestamp(_)) { alike >= canonical } else { alike > canonical };
    Some(if wins { style } else { Style::Canonical })
}

/// Columns whose types are being found, and nothing else.
pub(crate) struct SurveyLane {
    first: usize,
    columns: Vec<Votes>,
}

impl SurveyLane {
    /// Some columns, by their pins.
    pub(crate) fn new(first: usize, pins: &[Option<Pin>]) -> Self {
        Self { first, columns: pins.iter().map(|pin| Votes::new(*pin)).collect() }
    }

    pub(crate) fn into_votes(self) -> Vec<Votes> {
        self.columns
    }
}

impl Lane for SurveyLane {
    type Batch = Batch;
    type Yield = Option<Infallible>;
    type Error = Stop;

    fn take(&mut self, batch: &Batch, _: &mut Tools) -> Result<(), Stop> {
        for (index, votes) in (self.first..).zip(&mut self.columns) {
            votes.see(batch, index, usize::MAX);
        }
        Ok(())
    }

    fn end_group(&mut self, _: bool, _: &mut Tools) -> Result<Self::Yield, Stop> {
        Ok(None)
    }
}
