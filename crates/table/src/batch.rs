//! Rows of a text, found but not yet read: what goes from the reader to the columns.

use std::ops::Range;

use crate::pool::Pool;
use crate::records::{Found, Place};

/// Zeros after the text, so that a column can take eight bytes of it at once wherever a field starts.
const PADDING: [u8; 8] = [0; 8];

/// Records that follow each other, as places in one text.
pub(crate) struct Batch {
    /// The text; what stood in quotes otherwise than it is meant; padding.
    pub(crate) text: Vec<u8>,
    /// Where the text stands in the whole.
    pub(crate) place: Place,
    columns: usize,
    /// The fields of all rows, one row after the other.
    spans: Vec<Span>,
    /// Of `spans`, those that lie in what was meant.
    meant: Vec<usize>,
    /// Rows: records with as many fields as there are columns.
    pub(crate) rows: Vec<Row>,
    /// Records that are no rows.
    pub(crate) unreadable: Vec<Unreadable>,
}

/// Texts, and the places of fields and rows in them, of small batches that are done with.
pub(crate) static TEXTS: Pool<Vec<u8>> = Pool::new();
static PLACES: Pool<(Vec<Span>, Vec<Row>)> = Pool::new();
/// No more of one batch's text is handed on.
const KEPT_BYTES: usize = 64 * 1024;

/// Hands a text's memory on, unless it is large.
pub(crate) fn hand_on(text: Vec<u8>) {
    if (1..=KEPT_BYTES).contains(&text.capacity()) {
        TEXTS.put(text);
    }
}

impl Default for Batch {
    fn default() -> Self {
        let (spans, rows) = PLACES.take().unwrap_or_default();
        Self {
            text: Vec::new(),
            place: Place::default(),
            columns: 0,
            spans,
            meant: Vec::new(),
            rows,
            unreadable: Vec::new(),
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        hand_on(std::mem::take(&mut self.text));
        if self.spans.capacity() * size_of::<Span>() <= KEPT_BYTES {
            PLACES.put((std::mem::take(&mut self.spans), std::mem::take(&mut self.rows)));
        }
    }
}

/// A field: bytes of the text.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// A record: bytes of the text without a line end, and how many lines after the text's first it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    start: u32,
    end: u32,
    line: u32,
    /// Bytes of the whole between this record and those before it that are not in the text.
    skipped: u64,
}

/// A record that is no row.
pub(crate) struct Unreadable {
    /// How many of the batch's rows stand before it.
    pub(crate) before: usize,
    pub(crate) row: Row,
    pub(crate) found: Found,
    pub(crate) fields: usize,
}

impl Row {
    /// A record of a text that lies in the batch as it stood.
    pub(crate) fn new(start: usize, end: usize, line: u64) -> Self {
        Self {
            start: narrow(start),
            end: narrow(end),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            skipped: 0,
        }
    }

    /// A record that was copied into the batch.
    pub(crate) fn at(start: usize, end: usize, place: Place, first: Place) -> Self {
        let skipped = place.byte_offset - first.byte_offset - start as u64;
        Self { skipped, ..Self::new(start, end, place.line - first.line) }
    }
}

/// Batches are far smaller than 4 GiB.
fn narrow(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

impl Batch {
    /// Empties it, for rows of so many fields.
    pub(crate) fn clear(&mut self, columns: usize, place: Place) {
        self.place = place;
        self.columns = columns;
        self.spans.clear();
        self.meant.clear();
        self.rows.clear();
        self.unreadable.clear();
    }

    /// Adds a field to the present record, its `index`th. Fields that no row has are not kept.
    pub(crate) fn push(&mut self, index: usize, start: usize, end: usize, meant: bool) {
        if index < self.columns {
            if meant {
                self.meant.push(self.spans.len());
            }
            self.spans.push(Span { start: narrow(start), end: narrow(end) });
        }
    }

    /// Takes back the present record, of which so many fields were added.
    pub(crate) fn forget(&mut self, fields: usize) {
        self.spans.truncate(self.spans.len() - fields.min(self.columns));
        while self.meant.pop_if(|last| *last >= self.spans.len()).is_some() {}
    }

    /// Ends the present record.
    pub(crate) fn end_row(&mut self, fields: usize, row: Row) {
        if fields == self.columns {
            self.rows.push(row);
        } else {
            self.forget(fields);
            let before = self.rows.len();
            self.unreadable.push(Unreadable { before, row, found: Found::Record, fields });
        }
    }

    /// Ends the batch, whose text is all there now.
    pub(crate) fn seal(&mut self, unquoted: &[u8]) {
        let base = narrow(self.text.len());
        self.text.extend_from_slice(unquoted);
        self.text.extend_from_slice(&PADDING);
        for index in &self.meant {
            let span = &mut self.spans[*index];
            *span = Span { start: span.start + base, end: span.end + base };
        }
    }

    /// One column's fields, in the order of the rows.
    pub(crate) fn column(&self, index: usize) -> impl Iterator<Item = Span> + Clone {
        self.spans.iter().skip(index).step_by(self.columns.max(1)).copied()
    }

    /// A field's text.
    pub(crate) fn field(&self, row: usize, column: usize) -> &[u8] {
        &self.text[self.spans[row * self.columns + column].range()]
    }

    /// Where a record stands in the whole.
    pub(crate) fn place_of(&self, row: Row) -> Place {
        Place {
            line: self.place.line + u64::from(row.line),
            byte_offset: self.place.byte_offset + u64::from(row.start) + row.skipped,
        }
    }

    /// A record as it stood, without its line end.
    pub(crate) fn raw(&self, row: Row) -> &[u8] {
        &self.text[row.start as usize..row.end as usize]
    }

    /// Takes out the rows of these numbers, which ascend.
    pub(crate) fn remove(&mut self, rows: &[usize]) {
        let Some(first) = rows.first() else { return };
        let mut removed = rows.iter().copied().peekable();
        let mut kept = *first;
        for row in *first..self.rows.len() {
            if removed.next_if_eq(&row).is_none() {
                self.rows[kept] = self.rows[row];
                self.spans.copy_within(row * self.columns..(row + 1) * self.columns, kept * self.columns);
                kept += 1;
            }
        }
        self.rows.truncate(kept);
        self.spans.truncate(kept * self.columns);
    }
}

impl Span {
    pub(crate) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    pub(crate) fn len(self) -> usize {
        (self.end - self.start) as usize
    }
}
