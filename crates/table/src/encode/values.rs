//! The values of one column's present page, in the form in which they will be written.

use parquet::basic::Encoding;

use super::dictionary::{Dictionary, Key, word};
use super::statistics::Bounds;
use super::{bits, delta};
use crate::batch::Span;

/// After so many values of a chunk it is looked whether a dictionary is worth its while.
pub(super) const TRIAL_VALUES: u64 = 16 * 1024;

/// How a column's values are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    /// As numbers of their dictionary's entries.
    Indices,
    /// Each by itself, as suits its type.
    Direct,
}

/// A number of fixed size.
pub(super) trait Number: Copy + 'static {
    fn bits(self) -> u64;
    fn write(self, out: &mut Vec<u8>);
    /// From the bytes that [`Number::write`] writes.
    fn read(bytes: &[u8]) -> Self;
    /// How values are written that have no dictionary.
    const DIRECT: Encoding;
    fn write_direct(values: &[Self], out: &mut Vec<u8>);
    fn bounds(values: &[Self]) -> Option<(Self, Self)>;
    fn least(self, other: Self) -> Self;
    fn greatest(self, other: Self) -> Self;
}

fn first_bytes<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or([0; N])
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

            fn read(bytes: &[u8]) -> Self {
                Self::from_le_bytes(first_bytes(bytes))
            }

            const DIRECT: Encoding = Encoding::DELTA_BINARY_PACKED;

            fn write_direct(values: &[Self], out: &mut Vec<u8>) {
                delta::write_numbers(values, out);
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

    fn read(bytes: &[u8]) -> Self {
        Self::from_le_bytes(first_bytes(bytes))
    }

    const DIRECT: Encoding = Encoding::PLAIN;

    fn write_direct(values: &[Self], out: &mut Vec<u8>) {
        let at = out.len();
        out.resize(at + size_of_val(values), 0);
        let (places, _) = out[at..].as_chunks_mut();
        for (place, value) in places.iter_mut().zip(values) {
            *place = value.to_le_bytes();
        }
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
#[derive(Default)]
pub(super) struct Numbers<T> {
    indices: Vec<u32>,
    direct: Vec<T>,
    bounds: Option<(T, T)>,
}

impl<T: Number> Numbers<T> {
    pub(super) fn append(&mut self, values: &[T], dictionary: Option<&mut Dictionary>) {
        let Some(bounds) = T::bounds(values) else { return };
        self.bounds = Some(match self.bounds {
            None => bounds,
            Some((least, greatest)) => (least.least(bounds.0), greatest.greatest(bounds.1)),
        });
        match dictionary {
            None => self.direct.extend_from_slice(values),
            Some(dictionary) => self.indices.extend(values.iter().map(|value| {
                dictionary.number(Key::of_number(value.bits()), |_| true, |out| value.write(out))
            })),
        }
    }
}

/// A page of texts.
#[derive(Default)]
pub(super) struct Texts {
    indices: Vec<u32>,
    /// Texts that have no numbers: their lengths, and they themselves, one after the other.
    lengths: Vec<i32>,
    direct: Vec<u8>,
    /// The page in which each of the dictionary's entries was last seen, counted from 1.
    seen: Vec<u32>,
    pages_before: u32,
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
    #[inline]
    pub(super) fn append(&mut self, buffer: &[u8], span: Span, dictionary: Option<&mut Dictionary>) {
        let text = &buffer[span.range()];
        self.text_bytes += text.len() as u64;
        let Some(dictionary) = dictionary else {
            self.look(buffer, span);
            self.write(text);
            return;
        };
        let key = dictionary.key_of_text(buffer, span.start as usize, text.len());
        let write = |out: &mut Vec<u8>| {
            out.extend_from_slice(&length_of(text).to_le_bytes());
            out.extend_from_slice(text);
        };
        let index = dictionary.number(key, |entry| entry[LENGTH..] == *text, write);
        self.indices.push(index);
        let index = index as usize;
        if index == self.seen.len() {
            self.seen.push(0);
        }
        let now = self.pages_before + 1;
        if self.seen[index] != now {
            self.seen[index] = now;
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
    pub(super) fn direct_bytes(&self) -> usize {
        self.direct.len() + LENGTH * self.lengths.len()
    }

    #[inline]
    fn write(&mut self, text: &[u8]) {
        self.lengths.push(length_of(text));
        self.direct.extend_from_slice(text);
    }
}

/// Bytes of a text's length in a dictionary.
const LENGTH: usize = size_of::<i32>();

fn length_of(text: &[u8]) -> i32 {
    i32::try_from(text.len()).unwrap_or(i32::MAX)
}

/// A page of booleans.
#[derive(Default)]
pub(super) struct Booleans {
    pub(super) values: Vec<bool>,
}

/// What all pages can do.
pub(super) trait Page {
    /// How [`Form::Direct`] is written.
    fn direct(&self) -> Encoding;

    /// Writes the page's values and empties it. Gives back the bounds.
    fn write(&mut self, form: Form, entries: usize, out: &mut Vec<u8>) -> Bounds;

    /// From now on directly: also what is here already, by numbers of this dictionary.
    fn spell_out(&mut self, dictionary: &Dictionary);

    /// Forgets what is here. Gives back how much memory it holds on to.
    fn empty(&mut self) -> usize;
}

impl<T: Number> Page for Numbers<T> {
    fn direct(&self) -> Encoding {
        T::DIRECT
    }

    fn write(&mut self, form: Form, entries: usize, out: &mut Vec<u8>) -> Bounds {
        match form {
            Form::Indices => bits::write_indices(&self.indices, entries, out),
            Form::Direct => T::write_direct(&self.direct, out),
        }
        self.indices.clear();
        self.direct.clear();
        self.bounds.take().map(|(least, greatest)| {
            let (mut min, mut max) = (Vec::new(), Vec::new());
            least.write(&mut min);
            greatest.write(&mut max);
            (min, max)
        })
    }

    fn spell_out(&mut self, dictionary: &Dictionary) {
        self.direct.extend(self.indices.drain(..).map(|index| T::read(dictionary.value(index))));
    }

    fn empty(&mut self) -> usize {
        self.indices.clear();
        self.direct.clear();
        self.bounds = None;
        self.indices.capacity() * size_of::<u32>() + self.direct.capacity() * size_of::<T>()
    }
}

impl Page for Texts {
    fn direct(&self) -> Encoding {
        Encoding::DELTA_LENGTH_BYTE_ARRAY
    }

    fn write(&mut self, form: Form, entries: usize, out: &mut Vec<u8>) -> Bounds {
        match form {
            Form::Indices => bits::write_indices(&self.indices, entries, out),
            Form::Direct => delta::write_texts(&self.lengths, &self.direct, out),
        }
        self.indices.clear();
        self.lengths.clear();
        self.direct.clear();
        self.pages_before += 1;
        self.text_bytes = 0;
        let bounds = self.least.is_set.then(|| (self.least.text.clone(), self.greatest.text.clone()));
        self.least.is_set = false;
        self.greatest.is_set = false;
        bounds
    }

    fn spell_out(&mut self, dictionary: &Dictionary) {
        for place in 0..self.indices.len() {
            self.write(&dictionary.value(self.indices[place])[LENGTH..]);
        }
        self.indices.clear();
    }

    fn empty(&mut self) -> usize {
        let numbers = [&mut self.indices, &mut self.seen];
        let mut held = self.lengths.capacity() * LENGTH + self.direct.capacity();
        for numbers in numbers {
            numbers.clear();
            held += numbers.capacity() * size_of::<u32>();
        }
        self.lengths.clear();
        self.direct.clear();
        self.text_bytes = 0;
        for bound in [&mut self.least, &mut self.greatest] {
            bound.is_set = false;
            held += bound.text.capacity();
        }
        held
    }
}

impl Page for Booleans {
    fn direct(&self) -> Encoding {
        Encoding::PLAIN
    }

    fn write(&mut self, _: Form, _: usize, out: &mut Vec<u8>) -> Bounds {
        bits::write_bits(&self.values, out);
        let (all, any) = (self.values.iter().all(|value| *value), self.values.contains(&true));
        let bounds = (!self.values.is_empty()).then(|| (vec![u8::from(all)], vec![u8::from(any)]));
        self.values.clear();
        bounds
    }

    fn spell_out(&mut self, _: &Dictionary) {}

    fn empty(&mut self) -> usize {
        self.values.clear();
        self.values.capacity()
    }
}
