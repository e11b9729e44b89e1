//! The values of one column's present page, in the form in which they will be written.

use super::bits;
use super::dictionary::{Dictionary, Key, word};
use super::statistics::Bounds;
use crate::batch::Span;

/// After so many values of a chunk it is looked whether a dictionary is worth its while.
pub(super) const TRIAL_VALUES: u64 = 16 * 1024;

/// How a column's values are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    /// As numbers of their dictionary's entries.
    Indices,
    /// As they are.
    Plain,
}

/// A number of fixed size.
pub(super) trait Number: Copy + 'static {
    fn bits(self) -> u64;
    fn write(self, out: &mut Vec<u8>);
    fn write_all(values: &[Self], out: &mut Vec<u8>);
    fn bounds(values: &[Self]) -> Option<(Self, Self)>;
    fn least(self, other: Self) -> Self;
    fn greatest(self, other: Self) -> Self;
}

fn write_all<const N: usize>(values: impl ExactSizeIterator<Item = [u8; N]>, out: &mut Vec<u8>) {
    let at = out.len();
    out.resize(at + N * values.len(), 0);
    let (places, _) = out[at..].as_chunks_mut();
    for (place, value) in places.iter_mut().zip(values) {
        *place = value;
    }
}

macro_rules! integer {
    ($integer:ty, $unsigned:ty) => {
        impl Number for $integer {
            fn bits(self) -> u64 {
                u64::from(self.cast_unsigned())
            }

            fn write(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn write_all(values: &[Self], out: &mut Vec<u8>) {
                write_all(values.iter().map(|value| value.to_le_bytes()), out);
            }

            fn bounds(values: &[Self]) -> Option<(Self, Self)> {
                Some((values.iter().copied().min()?, values.iter().copied().max()?))
            }

            fn least(self, other: Self) -> Self {
                self.min(other)
            }

            fn greatest(self, other: Self) -> Self {
                self.max(other)
            }
        }
    };
}

integer!(i64, u64);
integer!(i32, u32);

impl Number for f64 {
    fn bits(self) -> u64 {
        self.to_bits()
    }

    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }

    fn write_all(values: &[Self], out: &mut Vec<u8>) {
        write_all(values.iter().map(|value| value.to_le_bytes()), out);
    }

    /// In IEEE 754's total order, which Parquet has for doubles; NaN only where there is nothing else.
    fn bounds(values: &[Self]) -> Option<(Self, Self)> {
        values
            .iter()
            .map(|value| (*value, *value))
            .reduce(|one, other| (one.0.least(other.0), one.1.greatest(other.1)))
    }

    fn least(self, other: Self) -> Self {
        if self.is_nan() || (!other.is_nan() && other.total_cmp(&self).is_lt()) { other } else { self }
    }

    fn greatest(self, other: Self) -> Self {
        if self.is_nan() || (!other.is_nan() && other.total_cmp(&self).is_gt()) { other } else { self }
    }
}

/// A page of numbers.
pub(super) struct Numbers<T> {
    indices: Vec<u32>,
    plain: Vec<u8>,
    bounds: Option<(T, T)>,
}

impl<T: Number> Numbers<T> {
    pub(super) fn new() -> Self {
        Self { indices: Vec::new(), plain: Vec::new(), bounds: None }
    }

    pub(super) fn append(&mut self, values: &[T], dictionary: Option<&mut Dictionary>) {
        let Some(bounds) = T::bounds(values) else { return };
        self.bounds = Some(match self.bounds {
            None => bounds,
            Some((least, greatest)) => (least.least(bounds.0), greatest.greatest(bounds.1)),
        });
        match dictionary {
            None => T::write_all(values, &mut self.plain),
            Some(dictionary) => self.indices.extend(values.iter().map(|value| {
                dictionary.number(Key::of_number(value.bits()), |_| true, |out| value.write(out))
            })),
        }
    }
}

/// A page of texts.
pub(super) struct Texts {
    indices: Vec<u32>,
    plain: Vec<u8>,
    /// The page in which each of the dictionary's entries was last seen.
    seen: Vec<u32>,
    page: u32,
    least: Bound,
    greatest: Bound,
    /// Bytes of texts, without their lengths.
    pub(super) text_bytes: u64,
}

/// A text, and its start as a number in the order of texts.
#[derive(Default)]
struct Bound {
    start: u64,
    text: Vec<u8>,
    is_set: bool,
}

impl Bound {
    fn set(&mut self, start: u64, text: &[u8]) {
        self.start = start;
        self.text.clear();
        self.text.extend_from_slice(text);
        self.is_set = true;
    }
}

impl Texts {
    pub(super) fn new() -> Self {
        Self {
            indices: Vec::new(),
            plain: Vec::new(),
            seen: Vec::new(),
            page: 1,
            least: Bound::default(),
            greatest: Bound::default(),
            text_bytes: 0,
        }
    }

    #[inline]
    pub(super) fn append(&mut self, buffer: &[u8], span: Span, dictionary: Option<&mut Dictionary>) {
        let text = &buffer[span.range()];
        self.text_bytes += text.len() as u64;
        let Some(dictionary) = dictionary else {
            self.look(buffer, span);
            write_text(text, &mut self.plain);
            return;
        };
        let key = dictionary.key_of_text(buffer, span.start as usize, text.len());
        let index = dictionary.number(key, |entry| entry[4..] == *text, |out| write_text(text, out));
        self.indices.push(index);
        let index = index as usize;
        if index == self.seen.len() {
            self.seen.push(0);
        }
        if self.seen[index] != self.page {
            self.seen[index] = self.page;
            self.look(buffer, span);
        }
    }

    /// Lets a text count for the page's bounds.
    #[inline]
    fn look(&mut self, buffer: &[u8], span: Span) {
        let length = span.len();
        let mut start = word(buffer, span.start as usize).swap_bytes();
        if length < 8 {
            start &= !(u64::MAX >> (8 * length));
        }
        let (least, greatest) = (&mut self.least, &mut self.greatest);
        if !least.is_set {
            least.set(start, &buffer[span.range()]);
            greatest.set(start, &buffer[span.range()]);
        }
        if start <= least.start && (start < least.start || buffer[span.range()] < *least.text) {
            least.set(start, &buffer[span.range()]);
        }
        if start >= greatest.start && (start > greatest.start || buffer[span.range()] > *greatest.text) {
            greatest.set(start, &buffer[span.range()]);
        }
    }

    /// Forgets the dictionary's entries.
    pub(super) fn restart(&mut self) {
        self.seen.clear();
    }

    /// How much of a page is there.
    pub(super) fn plain_bytes(&self) -> usize {
        self.plain.len()
    }
}

fn write_text(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(text);
}

/// A page of booleans.
pub(super) struct Booleans {
    pub(super) values: Vec<bool>,
}

/// What all pages can do.
pub(super) trait Page {
    /// Writes the page's values and empties it. Gives back the bounds.
    fn write(&mut self, form: Form, entries: usize, out: &mut Vec<u8>) -> Bounds;

    /// From now on plainly: also what is here already, by numbers of this dictionary.
    fn spell_out(&mut self, dictionary: &Dictionary);
}

fn write_page(form: Form, entries: usize, indices: &mut Vec<u32>, plain: &mut Vec<u8>, out: &mut Vec<u8>) {
    match form {
        Form::Indices => bits::write_indices(indices, entries, out),
        Form::Plain => out.extend_from_slice(plain),
    }
    indices.clear();
    plain.clear();
}

fn spell_out(indices: &mut Vec<u32>, plain: &mut Vec<u8>, dictionary: &Dictionary) {
    for index in indices.drain(..) {
        plain.extend_from_slice(dictionary.value(index));
    }
}

impl<T: Number> Page for Numbers<T> {
    fn write(&mut self, form: Form, entries: usize, out: &mut Vec<u8>) -> Bounds {
        write_page(form, entries, &mut self.indices, &mut self.plain, out);
        self.bounds.take().map(|(least, greatest)| {
            let (mut min, mut max) = (Vec::new(), Vec::new());
            least.write(&mut min);
            greatest.write(&mut max);
            (min, max)
        })
    }

    fn spell_out(&mut self, dictionary: &Dictionary) {
        spell_out(&mut self.indices, &mut self.plain, dictionary);
    }
}

impl Page for Texts {
    fn write(&mut self, form: Form, entries: usize, out: &mut Vec<u8>) -> Bounds {
        write_page(form, entries, &mut self.indices, &mut self.plain, out);
        self.page += 1;
        self.text_bytes = 0;
        let bounds = self.least.is_set.then(|| (self.least.text.clone(), self.greatest.text.clone()));
        self.least.is_set = false;
        self.greatest.is_set = false;
        bounds
    }

    fn spell_out(&mut self, dictionary: &Dictionary) {
        spell_out(&mut self.indices, &mut self.plain, dictionary);
    }
}

impl Page for Booleans {
    fn write(&mut self, _: Form, _: usize, out: &mut Vec<u8>) -> Bounds {
        bits::write_bits(&self.values, out);
        let (all, any) = (self.values.iter().all(|value| *value), self.values.contains(&true));
        let bounds = (!self.values.is_empty()).then(|| (vec![u8::from(all)], vec![u8::from(any)]));
        self.values.clear();
        bounds
    }

    fn spell_out(&mut self, _: &Dictionary) {}
}
