//! Records of a CSV text, with their place and their raw text.
//!
//! Own code, because a record that cannot be read must be given back exactly as it stood, and reading must go on
//! after it. Well-formed text is read as the `csv` crate reads it, which a test compares.
//!
//! LF, CRLF and CR end a record, as does the end of the text. A field that starts with `"` is quoted: it may hold
//! delimiters, line ends and doubled quotes. A quote anywhere else is itself. What follows a closing quote is
//! appended, unless the quoted part spans lines: then the quote was never closed, and took in what follows it.

use std::io::{self, Read};

use memchr::{memchr, memchr_iter, memchr2, memchr3};

use crate::batch::{self, Batch, Row, Unreadable};
use crate::scan::Scan;

/// A record longer than this is not read. It bounds memory.
const MAX_RECORD_BYTES: usize = 16 * 1024 * 1024;
/// Of a record that is too long, this much is handed out as raw text.
const MAX_RAW_BYTES: usize = 64 * 1024;
/// Text read at once, and the most of a [`Batch`]. What is made of it fits into a processor's cache.
pub(crate) const BATCH_BYTES: usize = 512 * 1024;
/// The room for the first of it.
const FIRST_BYTES: usize = 32 * 1024;
/// How often, in one file, an open quote may make the reader look ahead and come back. After that, quotes may not
/// span lines any more, so that no file takes time in the square of its length.
const MAX_RETURNS: u32 = 64;

/// Where a record stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Place {
    /// Line of its first byte, from 1.
    pub(crate) line: u64,
    /// Bytes of decoded text before it.
    pub(crate) byte_offset: u64,
}

/// What [`Records::read`] found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Found {
    /// A record; its fields are in the [`Records`].
    Record,
    /// A line on which a quote opens that is not closed.
    UnclosedQuote,
    /// A record above the limit; the raw text is its start.
    TooLong,
    /// No more.
    End,
}

/// Reads records; see the module.
pub(crate) struct Records<R> {
    input: R,
    batch_bytes: usize,
    delimiter: u8,
    buffer: Vec<u8>,
    /// The part of the buffer that is filled and not yet given out.
    start: usize,
    end: usize,
    /// The input has no more.
    ended: bool,
    /// Where `start` is.
    at: Place,
    returns: u32,
    record: Record,
    place: Place,
    raw: std::ops::Range<usize>,
}

/// Fields of one record, as ranges.
#[derive(Default)]
struct Record {
    fields: Vec<Span>,
    /// Contents of fields that do not stand in the text as they are.
    unquoted: Vec<u8>,
    /// Line ends within quotes.
    inner_lines: u64,
}

#[derive(Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
    in_unquoted: bool,
}

enum Parsed {
    /// A record of this many bytes, without and with its line end.
    Complete {
        body: usize,
        whole: usize,
    },
    /// The text ends before the record does.
    Partial,
    Unclosed,
}

impl<R> Drop for Records<R> {
    fn drop(&mut self) {
        batch::hand_on(std::mem::take(&mut self.buffer));
    }
}

impl<R: Read> Records<R> {
    /// Reads from the start of a text.
    pub(crate) fn new(input: R) -> Self {
        Self {
            input,
            batch_bytes: BATCH_BYTES,
            delimiter: b',',
            buffer: batch::TEXTS.take().unwrap_or_default(),
            start: 0,
            end: 0,
            ended: false,
            at: Place { line: 1, byte_offset: 0 },
            returns: 0,
            record: Record::default(),
            place: Place::default(),
            raw: 0..0,
        }
    }

    /// The text ahead, at least `bytes` of it unless it ends before.
    pub(crate) fn peek(&mut self, bytes: usize) -> io::Result<&[u8]> {
        while self.end - self.start < bytes && !self.ended {
            self.fill(bytes)?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    pub(crate) fn set_delimiter(&mut self, delimiter: u8) {
        self.delimiter = delimiter;
    }

    /// Reads the next record, skipping blank lines.
    pub(crate) fn read(&mut self) -> io::Result<Found> {
        self.skip_line_ends()?;
        self.place = self.at;
        loop {
            let text = &self.buffer[self.start..self.end];
            if text.is_empty() && self.ended {
                return Ok(Found::End);
            }
            let parsed = if self.returns < MAX_RETURNS {
                self.record.parse(text, self.delimiter, self.ended)
            } else {
                self.record.parse_line(text, self.delimiter, self.ended)
            };
            match parsed {
                Parsed::Complete { body, whole } => {
                    self.raw = self.start..self.start + body;
                    let lines = self.record.inner_lines + u64::from(whole > body);
                    self.advance(whole, lines);
                    return Ok(Found::Record);
                }
                Parsed::Unclosed => return self.give_up_line(),
                Parsed::Partial if text.len() >= MAX_RECORD_BYTES => {
                    let quoted = self.record.is_in_quotes(text, self.delimiter);
                    return if quoted { self.give_up_line() } else { self.give_up_record() };
                }
                // Twice as much, so that a long record is looked at a few times only.
                Parsed::Partial => {
                    let wanted = text.len() * 2 + 1;
                    self.peek(wanted)?;
                }
            }
        }
    }

    /// Where the last record stands.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// How many fields the last record has.
    pub(crate) fn len(&self) -> usize {
        self.record.fields.len()
    }

    /// A field of the last record, without its quotes; empty beyond the last.
    pub(crate) fn field(&self, index: usize) -> &[u8] {
        match self.record.fields.get(index) {
            Some(Span { start, end, in_unquoted: true }) => &self.record.unquoted[*start..*end],
            Some(Span { start, end, .. }) => &self.buffer[self.raw.start + start..self.raw.start + end],
            None => &[],
        }
    }

    /// Gives out one line as a record that cannot be read, and goes on after it.
    fn give_up_line(&mut self) -> io::Result<Found> {
        self.returns = self.returns.saturating_add(1);
        let text = &self.buffer[self.start..self.end];
        match memchr2(b'\n', b'\r', text) {
            Some(body) if body + 1 < text.len() || self.ended => {
                let whole = body + line_end(&text[body..]);
                self.raw = self.start..self.start + body;
                self.advance(whole, 1);
                Ok(Found::UnclosedQuote)
            }
            _ if self.ended => {
                self.raw = self.start..self.end;
                self.advance(self.end - self.start, 0);
                Ok(Found::UnclosedQuote)
            }
            _ => self.give_up_record(),
        }
    }

    /// Gives out the start of a record that is too long, and goes on after its line end.
    fn give_up_record(&mut self) -> io::Result<Found> {
        let mut raw = self.buffer[self.start..self.end.min(self.start + MAX_RAW_BYTES)].to_vec();
        // Do not cut a character in two.
        while raw.last().is_some_and(|byte| *byte >= 0x80) {
            let lead = raw.pop();
            if lead.is_some_and(|byte| byte >= 0xC0) {
                break;
            }
        }
        loop {
            let text = &self.buffer[self.start..self.end];
            match memchr2(b'\n', b'\r', text) {
                // The line end stays ahead; it is skipped like a blank line's.
                Some(body) => {
                    self.advance(body, 0);
                    break;
                }
                None => self.advance(text.len(), 0),
            }
            if self.ended {
                break;
            }
            self.fill(0)?;
        }
        // The buffer's free start is where the raw text can be looked at; the record is far larger.
        let length = raw.len();
        self.buffer.splice(0..0, raw);
        self.start += length;
        self.end += length;
        self.raw = 0..length;
        Ok(Found::TooLong)
    }

    fn skip_line_ends(&mut self) -> io::Result<()> {
        loop {
            if self.end - self.start < 2 && !self.ended {
                self.fill(2)?;
                continue;
            }
            let length = line_end(&self.buffer[self.start..self.end]);
            if length == 0 {
                return Ok(());
            }
            self.advance(length, 1);
        }
    }

    fn advance(&mut self, bytes: usize, lines: u64) {
        self.start += bytes;
        self.at.byte_offset += bytes as u64;
        self.at.line += lines;
    }

    /// Reads more: a batch's text, `wanted` of it, or another batch's where there is that much. How much the input gives
    /// at once must not decide what is found. What has been given out is overwritten.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            self.raw = 0..0;
        }
        let mut target = wanted.min(2 * MAX_RECORD_BYTES).max(self.batch_bytes);
        if self.end >= target {
            target = self.end + self.batch_bytes;
        }
        while self.end < target && !self.ended {
            // By and by, so that a small file does not take the time that it takes to clear a large buffer.
            if self.end >= self.buffer.len() {
                self.buffer.resize((4 * self.end).max(FIRST_BYTES).min(target), 0);
            }
            let room = self.buffer.len().min(target);
            match self.input.read(&mut self.buffer[self.end..room]) {
                Ok(0) => self.ended = true,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads the next records, those of `columns` fields as rows, into `batch`. `false` where there are no more.
    pub(crate) fn batch(&mut self, columns: usize, batch: &mut Batch) -> io::Result<bool> {
        self.peek(self.batch_bytes)?;
        if self.start == self.end && self.ended {
            batch.clear(columns, self.at);
            return Ok(false);
        }
        batch.clear(columns, self.at);
        if self.returns < MAX_RETURNS {
            let bytes = self.scan(batch);
            if bytes > 0 {
                self.hand_out(bytes, batch);
                return Ok(true);
            }
        }
        self.copy(batch)
    }

    /// Finds as many records as can be found without looking for more text. Gives back how much text they take.
    fn scan(&mut self, batch: &mut Batch) -> usize {
        let (delimiter, ended) = (self.delimiter, self.ended);
        let text = &self.buffer[self.start..self.end];
        let mut ends = Scan::new(text, delimiter);
        let mut at = 0;
        let mut lines = 0;
        self.record.unquoted.clear();
        'records: while at < self.batch_bytes {
            match text.get(at) {
                None => break,
                Some(b'\r') if at + 1 == text.len() && !ended => break,
                Some(b'\r' | b'\n') => {
                    at += line_end(&text[at..]);
                    lines += 1;
                    continue;
                }
                Some(_) => {}
            }
            let start = at;
            let mut fields = 0;
            self.record.inner_lines = 0;
            let stop = loop {
                let found = if text.get(at) == Some(&b'"') {
                    self.record.quoted(text, at, delimiter, ended).ok()
                } else {
                    let stop = ends.next(at).or(ended.then_some(text.len()));
                    stop.map(|stop| (Span { start: at, end: stop, in_unquoted: false }, stop))
                };
                // Whether a line feed follows a carriage return is to be seen first.
                let is_open =
                    |stop: usize| text.get(stop) == Some(&b'\r') && stop + 1 == text.len() && !ended;
                let Some((span, stop)) = found.filter(|(_, stop)| !is_open(*stop)) else {
                    batch.forget(fields);
                    at = start;
                    break 'records;
                };
                batch.push(fields, span.start, span.end, span.in_unquoted);
                fields += 1;
                if text.get(stop) != Some(&delimiter) {
                    break stop;
                }
                at = stop + 1;
            };
            batch.end_row(fields, Row::new(start, stop, lines));
            let length = line_end(&text[stop..]);
            lines += self.record.inner_lines + u64::from(length > 0);
            at = stop + length;
        }
        self.at.line += lines;
        self.at.byte_offset += at as u64;
        at
    }

    /// Hands over text that was scanned. Mostly that is all there is but for the start of a record: then the buffer
    /// itself changes hands.
    fn hand_out(&mut self, bytes: usize, batch: &mut Batch) {
        let (scanned, end) = (self.start + bytes, self.end);
        if end - scanned < bytes {
            let mut next = std::mem::take(&mut batch.text);
            let kept = end - scanned;
            next.resize(next.len().max(kept), 0);
            next[..kept].copy_from_slice(&self.buffer[scanned..end]);
            if self.start > 0 {
                self.buffer.copy_within(self.start..end, 0);
            }
            self.buffer.truncate(bytes);
            batch.text = std::mem::replace(&mut self.buffer, next);
            (self.start, self.end) = (0, kept);
        } else {
            batch.text.clear();
            batch.text.extend_from_slice(&self.buffer[self.start..scanned]);
            self.start = scanned;
        }
        self.raw = 0..0;
        batch.seal(&self.record.unquoted);
    }

    /// Reads records one by one: what [`Records::scan`] leaves, because it is long or has a quote that is not closed.
    fn copy(&mut self, batch: &mut Batch) -> io::Result<bool> {
        batch.text.clear();
        let mut unquoted = Vec::new();
        loop {
            let found = self.read()?;
            if found == Found::End {
                break;
            }
            let start = batch.text.len();
            batch.text.extend_from_slice(&self.buffer[self.raw.clone()]);
            let row = Row::at(start, batch.text.len(), self.place, batch.place);
            if found == Found::Record {
                let fields = self.record.fields.len();
                for (index, span) in self.record.fields.iter().enumerate() {
                    let base = if span.in_unquoted { unquoted.len() } else { start };
                    batch.push(index, base + span.start, base + span.end, span.in_unquoted);
                }
                unquoted.extend_from_slice(&self.record.unquoted);
                batch.end_row(fields, row);
            } else {
                batch.unreadable.push(Unreadable { before: batch.rows.len(), row, found, fields: 0 });
            }
            if self.returns < MAX_RETURNS || batch.text.len() + unquoted.len() >= self.batch_bytes {
                break;
            }
        }
        batch.seal(&unquoted);
        Ok(true)
    }
}

impl Record {
    /// Reads the record at the text's start, which is not at a line end. `ended`: nothing follows the text.
    fn parse(&mut self, text: &[u8], delimiter: u8, ended: bool) -> Parsed {
        self.fields.clear();
        self.unquoted.clear();
        self.inner_lines = 0;
        let mut at = 0;
        loop {
            let (span, stop) = if text.get(at) == Some(&b'"') {
                match self.quoted(text, at, delimiter, ended) {
                    Ok(found) => found,
                    Err(parsed) => return parsed,
                }
            } else {
                let stop = match memchr3(delimiter, b'\n', b'\r', &text[at..]) {
                    Some(length) => at + length,
                    None if ended => text.len(),
                    None => return Parsed::Partial,
                };
                (Span { start: at, end: stop, in_unquoted: false }, stop)
            };
            self.fields.push(span);
            match text.get(stop) {
                Some(byte) if *byte == delimiter => at = stop + 1,
                // Whether a line feed follows a carriage return is to be seen first.
                Some(b'\r') if stop + 1 == text.len() && !ended => return Parsed::Partial,
                _ => {
                    return Parsed::Complete { body: stop, whole: stop + line_end(&text[stop..]) };
                }
            }
        }
    }

    /// Reads the record on the text's first line, which is not empty: quotes do not span lines here.
    fn parse_line(&mut self, text: &[u8], delimiter: u8, ended: bool) -> Parsed {
        let body = match memchr2(b'\n', b'\r', text) {
            Some(body) if body + 1 < text.len() || ended => body,
            None if ended => text.len(),
            _ => return Parsed::Partial,
        };
        match self.parse(&text[..body], delimiter, true) {
            Parsed::Complete { .. } => Parsed::Complete { body, whole: body + line_end(&text[body..]) },
            other => other,
        }
    }

    /// Reads the field whose opening quote is at `open`: its span, and where it stops.
    fn quoted(
        &mut self,
        text: &[u8],
        open: usize,
        delimiter: u8,
        ended: bool,
    ) -> Result<(Span, usize), Parsed> {
        let missing = if ended { Parsed::Unclosed } else { Parsed::Partial };
        let lines_before = self.inner_lines;
        let unquoted = self.unquoted.len();
        let mut part = open + 1;
        let mut copied = false;
        let close = loop {
            let Some(length) = memchr(b'"', &text[part..]) else {
                self.inner_lines += lines_in(&text[part..]);
                return Err(missing);
            };
            let quote = part + length;
            self.inner_lines += lines_in(&text[part..quote]);
            match text.get(quote + 1) {
                Some(b'"') => {
                    self.unquoted.extend_from_slice(&text[part..=quote]);
                    copied = true;
                    part = quote + 2;
                }
                None if !ended => return Err(Parsed::Partial),
                _ => break quote,
            }
        };
        let after = close + 1;
        let stop = match text.get(after) {
            None | Some(b'\n' | b'\r') => after,
            Some(byte) if *byte == delimiter => after,
            Some(_) if self.inner_lines > lines_before => return Err(Parsed::Unclosed),
            Some(_) => match memchr3(delimiter, b'\n', b'\r', &text[after..]) {
                Some(length) => after + length,
                None if ended => text.len(),
                None => return Err(Parsed::Partial),
            },
        };
        if !copied && stop == after {
            return Ok((Span { start: open + 1, end: close, in_unquoted: false }, stop));
        }
        self.unquoted.extend_from_slice(&text[part..close]);
        self.unquoted.extend_from_slice(&text[after..stop]);
        Ok((Span { start: unquoted, end: self.unquoted.len(), in_unquoted: true }, stop))
    }

    /// Whether a text without a complete record ends within quotes.
    fn is_in_quotes(&mut self, text: &[u8], delimiter: u8) -> bool {
        matches!(self.parse(text, delimiter, true), Parsed::Unclosed)
    }
}

/// How many bytes of line end the text starts with: 0, 1 or 2.
fn line_end(text: &[u8]) -> usize {
    match text {
        [b'\r', b'\n', ..] => 2,
        [b'\r' | b'\n', ..] => 1,
        _ => 0,
    }
}

/// Line ends within a text.
fn lines_in(text: &[u8]) -> u64 {
    let feeds = memchr_iter(b'\n', text).count();
    let lone_returns = memchr_iter(b'\r', text).filter(|at| text.get(at + 1) != Some(&b'\n')).count();
    (feeds + lone_returns) as u64
}

/// Delimiters, the likeliest first.
pub(crate) const DELIMITERS: [u8; 4] = *b",;\t|";
/// Records by which a delimiter is chosen.
const SAMPLE_RECORDS: usize = 100;

/// Chooses the delimiter of a text by its start: of those that part the header, the one by which most records have
/// as many fields as the header; then the one that makes the most fields; then the likelier.
pub(crate) fn find_delimiter(text: &[u8], ended: bool) -> u8 {
    let start = text.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
    let text = &text[start..];
    let mut record = Record::default();
    let header = |delimiter: u8| match record.parse(text, delimiter, ended) {
        Parsed::Complete { .. } => (delimiter, record.fields.len()),
        Parsed::Partial | Parsed::Unclosed => (delimiter, 0),
    };
    let mut likely = DELIMITERS.map(header).into_iter().filter(|(_, fields)| *fields > 1);
    let Some(first) = likely.next() else { return DELIMITERS[0] };
    // Mostly there is no other.
    let Some(second) = likely.next() else { return first.0 };
    let (mut best, mut most) = (first.0, (0, 0));
    for (delimiter, fields) in [first, second].into_iter().chain(likely) {
        let found = (thousandths_alike(text, delimiter, ended, fields), fields);
        if found > most {
            (best, most) = (delimiter, found);
        }
    }
    best
}

/// How many of the first records have so many fields: in thousandths, so that one odd record in many does not outweigh
/// the number of fields by chance of rounding.
fn thousandths_alike(text: &[u8], delimiter: u8, ended: bool, fields: usize) -> usize {
    let mut record = Record::default();
    let (mut records, mut alike) = (0_usize, 0_usize);
    let mut at = 0;
    while records < SAMPLE_RECORDS && at < text.len() {
        let blank = line_end(&text[at..]);
        if blank > 0 {
            at += blank;
            continue;
        }
        let Parsed::Complete { whole, .. } = record.parse(&text[at..], delimiter, ended) else { break };
        records += 1;
        alike += usize::from(record.fields.len() == fields);
        at += whole;
    }
    alike * 1_000 / records.max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gives few bytes at a time, so that every record crosses the end of what was read.
    struct Drops<'a>(&'a [u8], usize);

    impl Read for Drops<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(self.0.len()).min(buffer.len());
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    type Row = (Found, Place, String, Vec<String>);

    /// All records, read so many bytes at once, in batches of about that size. Rows have one number of fields, so
    /// that the text is read for each number of them.
    fn rows(text: &[u8], at_once: usize) -> Vec<Row> {
        const MOST_FIELDS: usize = 8;
        let mut all = Vec::new();
        for columns in 1..=MOST_FIELDS {
            let mut records = Records::new(Drops(text, at_once));
            records.batch_bytes = at_once.min(BATCH_BYTES);
            let mut batch = Batch::default();
            let string = |text: &[u8]| String::from_utf8(text.to_vec()).unwrap();
            while records.batch(columns, &mut batch).unwrap() {
                for (index, row) in batch.rows.iter().enumerate() {
                    let fields = (0..columns).map(|column| string(batch.field(index, column))).collect();
                    all.push((Found::Record, batch.place_of(*row), string(batch.raw(*row)), fields));
                }
                for Unreadable { row, found, fields, .. } in &batch.unreadable {
                    assert!(*fields <= MOST_FIELDS);
                    let is_row = *found == Found::Record;
                    assert!(!is_row || *fields != columns);
                    if !is_row && columns == 1 {
                        all.push((*found, batch.place_of(*row), string(batch.raw(*row)), Vec::new()));
                    }
                }
            }
        }
        all.sort_by_key(|row| row.1.byte_offset);
        all
    }

    fn fields(text: &str) -> Vec<Vec<String>> {
        let all = rows(text.as_bytes(), usize::MAX);
        for at_once in [1, 2, 3, 5, 8] {
            assert_eq!(rows(text.as_bytes(), at_once), all, "{text:?}");
        }
        all.into_iter().map(|(_, _, _, fields)| fields).collect()
    }

    #[test]
    fn records_are_read() {
        for (text, expected) in [
            ("", &[][..]),
            ("a,b", &[&["a", "b"][..]][..]),
            ("a,b\n", &[&["a", "b"]]),
            ("a\nb\r\nc\rd", &[&["a"], &["b"], &["c"], &["d"]]),
            ("\n\r\n\ra\n\n\nb\n\n", &[&["a"], &["b"]]),
            (",\n", &[&["", ""]]),
            ("\"\"\n", &[&[""]]),
            ("\"a,b\",c", &[&["a,b", "c"]]),
            ("\"a\nb\r\nc\",d", &[&["a\nb\r\nc", "d"]]),
            ("\"say \"\"hi\"\"\",x", &[&["say \"hi\"", "x"]]),
            ("\"\"\"\"", &[&["\""]]),
            ("a\"b,c\"\"d", &[&["a\"b", "c\"\"d"]]),
            ("\"a\"b,c", &[&["ab", "c"]]),
            ("\"a\"\"b\"c\"d,e", &[&["a\"bc\"d", "e"]]),
            (" \"a\",b", &[&[" \"a\"", "b"]]),
            ("a,\"b\"\r\nc", &[&["a", "b"], &["c"]]),
            ("a,b,", &[&["a", "b", ""]]),
            (" \n", &[&[" "]]),
        ] {
            assert_eq!(fields(text), expected, "{text:?}");
        }
    }

    #[test]
    fn places_are_those_of_the_text() {
        let text = "a\r\n\r\n\"x\ny\rz\r\nw\",1\nb\rc\n\n  d";
        let found: Vec<(u64, u64, String)> = rows(text.as_bytes(), 1)
            .into_iter()
            .map(|(_, place, raw, _)| (place.line, place.byte_offset, raw))
            .collect();
        let expected =
            [(1, 0, "a"), (3, 5, "\"x\ny\rz\r\nw\",1"), (7, 18, "b"), (8, 20, "c"), (10, 23, "  d")];
        assert_eq!(found, expected.map(|(line, offset, raw)| (line, offset, raw.to_owned())));
    }

    #[test]
    fn after_a_quote_that_is_not_closed_reading_goes_on_with_the_next_line() {
        for text in ["a,\"b\nc,d\ne,f\n", "a,\"b\nc,d\ne,f", "a,\"b\nc,\"d\"\ne,f"] {
            for at_once in [1, 2, usize::MAX] {
                let found = rows(text.as_bytes(), at_once);
                assert_eq!(found[0].0, Found::UnclosedQuote, "{text:?}");
                assert_eq!(found[0].2, "a,\"b");
                let rest: Vec<_> =
                    found[1..].iter().map(|row| (row.0, row.1.line, row.3.join("|"))).collect();
                let expected = [(Found::Record, 2, "c|d".to_owned()), (Found::Record, 3, "e|f".to_owned())];
                assert_eq!(rest, expected, "{text:?}");
            }
        }
    }

    #[test]
    fn a_quote_that_is_not_closed_on_the_last_line() {
        let found = rows(b"a,b\nc,\"d", 1);
        assert_eq!(found[1].0, Found::UnclosedQuote);
        assert_eq!(found[1].2, "c,\"d");
        assert_eq!(found.len(), 2);
    }

    /// Each line opens a quote that only the end of the text ends; looking ahead each time would take hours.
    #[test]
    fn no_text_takes_time_in_the_square_of_its_length() {
        let text = "x\",\"\n".repeat(1_000_000);
        let mut records = Records::new(text.as_bytes());
        let mut batch = Batch::default();
        let mut lines = 0;
        while records.batch(1, &mut batch).unwrap() {
            for Unreadable { row, .. } in &batch.unreadable {
                lines += 1;
                assert_eq!(batch.place_of(*row), Place { line: lines, byte_offset: (lines - 1) * 5 });
            }
        }
        assert_eq!(lines, 1_000_000);
    }

    #[test]
    fn a_record_that_is_too_long_is_given_up() {
        let long = "é".repeat(MAX_RECORD_BYTES);
        let text = format!("a\n{long}\nb\n");
        let found = rows(text.as_bytes(), usize::MAX);
        assert_eq!(
            found.iter().map(|row| row.0).collect::<Vec<_>>(),
            [Found::Record, Found::TooLong, Found::Record]
        );
        assert!(found[1].2.len() <= MAX_RAW_BYTES && found[1].2.len() > MAX_RAW_BYTES - 4);
        assert_eq!(found[2].1, Place { line: 3, byte_offset: 3 + 2 * MAX_RECORD_BYTES as u64 });
        assert_eq!(found[2].3, ["b"]);
    }

    #[test]
    fn delimiters_are_found() {
        for (text, expected) in [
            ("", b','),
            ("a\n1\n", b','),
            ("a,b\n1,2\n", b','),
            ("a;b\n1,5;2,5\n", b';'),
            ("a\tb\n1\t2\n", b'\t'),
            ("a|b|c\n1|2|3\n", b'|'),
            ("\"a,x\";b\n\"1,,,\";2\n", b';'),
            ("a,b|c\n1,2|3\n", b','),
            ("a;b,c;d\n1;2;3\n4;5;6\n", b';'),
            ("name\nx;y\n", b','),
            ("a|b", b'|'),
            ("\n\na;b\n", b';'),
        ] {
            assert_eq!(char::from(find_delimiter(text.as_bytes(), true)), char::from(expected), "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        /// Where no quote is left open, and none that spans lines is followed by more of its field.
        #[test]
        fn reads_as_the_csv_crate_does(text in "[ab,\"\n\r]{0,8}([ab\"\n\r]{0,8},?){0,5}", at_once in 1..20_usize) {
            let ours = rows(text.as_bytes(), at_once);
            if ours.iter().any(|row| row.0 != Found::Record) {
                return Ok(());
            }
            let theirs: Vec<Vec<String>> = csv::ReaderBuilder::new()
                .flexible(true)
                .has_headers(false)
                .from_reader(text.as_bytes())
                .records()
                .map(|record| record.unwrap().iter().map(str::to_owned).collect())
                .collect();
            prop_assert_eq!(ours.into_iter().map(|row| row.3).collect::<Vec<_>>(), theirs);
        }

        /// Nothing but line ends lies between records, and they are where they say.
        #[test]
        fn raw_texts_make_up_the_text(text in "[aé\"\n\r]{0,8}([aé\"\n\r]{0,12},?){0,6}", at_once in 1..20_usize) {
            let mut rest = 0;
            for (_, place, raw, _) in rows(text.as_bytes(), at_once) {
                let start = usize::try_from(place.byte_offset).unwrap();
                prop_assert!(text[rest..start].bytes().all(|byte| byte == b'\n' || byte == b'\r'));
                prop_assert_eq!(&text[start..start + raw.len()], &raw);
                let before = text[..start].replace("\r\n", "\n").replace('\r', "\n");
                prop_assert_eq!(place.line, before.matches('\n').count() as u64 + 1);
                rest = start + raw.len();
            }
            prop_assert!(text[rest..].bytes().all(|byte| byte == b'\n' || byte == b'\r'));
        }
    }
}
