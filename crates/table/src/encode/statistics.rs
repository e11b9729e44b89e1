//! The least and the greatest value of a page and of a chunk.

use std::cmp::Ordering;

use parquet::data_type::ByteArray;
use parquet::file::statistics::{Statistics, ValueStatistics};

use crate::types::Type;

/// Longer texts are cut, the greatest one upwards, so that the index stays small.
const MAX_BYTES: usize = 64;

/// The least and the greatest of some values, as Parquet writes them, a text without its length.
pub(super) type Bounds = Option<(Vec<u8>, Vec<u8>)>;

/// Orders two values as they are written.
pub(super) fn compare(kind: Type, one: &[u8], other: &[u8]) -> Ordering {
    fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
        bytes.first_chunk().copied().unwrap_or([0; N])
    }
    match kind {
        Type::Int64 | Type::TimestampUtc | Type::TimestampLocal => {
            i64::from_le_bytes(array(one)).cmp(&i64::from_le_bytes(array(other)))
        }
        Type::Date => i32::from_le_bytes(array(one)).cmp(&i32::from_le_bytes(array(other))),
        Type::Float64 => f64::from_le_bytes(array(one)).total_cmp(&f64::from_le_bytes(array(other))),
        Type::Boolean | Type::Text => one.cmp(other),
    }
}

/// The bounds of both.
pub(super) fn unite(kind: Type, one: Bounds, other: &Bounds) -> Bounds {
    let (Some((mut min, mut max)), Some((other_min, other_max))) = (one.clone(), other) else {
        return one.or_else(|| other.clone());
    };
    // Of doubles NaN counts only where there is nothing else.
    let is_nan = |bytes: &[u8]| {
        kind == Type::Float64 && bytes.first_chunk().is_some_and(|bytes| f64::from_le_bytes(*bytes).is_nan())
    };
    if is_nan(&min) {
        return other.clone();
    }
    if is_nan(other_min) {
        return one;
    }
    if compare(kind, other_min, &min).is_lt() {
        min.clone_from(other_min);
    }
    if compare(kind, other_max, &max).is_gt() {
        max.clone_from(other_max);
    }
    Some((min, max))
}

/// Bounds that are short, and whether each is still a value itself.
pub(super) struct Short {
    pub(super) min: Vec<u8>,
    pub(super) max: Option<Vec<u8>>,
    pub(super) exact: (bool, bool),
}

/// Cuts long texts.
pub(super) fn shorten(kind: Type, (min, max): (Vec<u8>, Vec<u8>)) -> Short {
    if kind != Type::Text {
        return Short { min, max: Some(max), exact: (true, true) };
    }
    let exact = (min.len() <= MAX_BYTES, max.len() <= MAX_BYTES);
    let min = if exact.0 { min } else { cut(&min).to_vec() };
    let max = if exact.1 { Some(max) } else { raise(cut(&max)) };
    Short { min, max, exact }
}

/// The longest start of a text that is short enough and ends with a whole character.
fn cut(text: &[u8]) -> &[u8] {
    let mut end = MAX_BYTES;
    while end > 0 && text.get(end).is_some_and(|byte| byte & 0xC0 == 0x80) {
        end -= 1;
    }
    &text[..end]
}

/// A text greater than each that begins like this one; none where there is none.
fn raise(text: &[u8]) -> Option<Vec<u8>> {
    let mut characters: Vec<char> = std::str::from_utf8(text).ok()?.chars().collect();
    while let Some(last) = characters.pop() {
        // In UTF-8 characters are ordered as their numbers are.
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            characters.push(next);
            return Some(characters.into_iter().collect::<String>().into_bytes());
        }
    }
    None
}

/// A chunk's statistics, for its metadata.
pub(super) fn of_chunk(kind: Type, bounds: Bounds, nulls: u64, nans: u64) -> Statistics {
    fn both<T, const N: usize>(bounds: Option<&Short>, read: impl Fn([u8; N]) -> T) -> [Option<T>; 2] {
        let value = |bytes: &[u8]| bytes.first_chunk().copied().map(&read);
        let Some(Short { min, max: Some(max), .. }) = bounds else { return [None, None] };
        [value(min), value(max)]
    }
    let bounds = bounds.map(|bounds| shorten(kind, bounds));
    let nulls = Some(nulls);
    match kind {
        Type::Boolean => {
            let [min, max] = both(bounds.as_ref(), |[bit]: [u8; 1]| bit != 0);
            Statistics::boolean(min, max, None, nulls, false)
        }
        Type::Int64 | Type::TimestampUtc | Type::TimestampLocal => {
            let [min, max] = both(bounds.as_ref(), i64::from_le_bytes);
            Statistics::int64(min, max, None, nulls, false)
        }
        Type::Date => {
            let [min, max] = both(bounds.as_ref(), i32::from_le_bytes);
            Statistics::int32(min, max, None, nulls, false)
        }
        Type::Float64 => {
            let [min, max] = both(bounds.as_ref(), f64::from_le_bytes);
            Statistics::Double(ValueStatistics::new(min, max, None, nulls, false).with_nan_count(Some(nans)))
        }
        Type::Text => {
            let exact = bounds.as_ref().map_or((true, true), |bounds| bounds.exact);
            let (min, max) = bounds.map_or((None, None), |bounds| (Some(bounds.min), bounds.max));
            let values =
                ValueStatistics::new(min.map(ByteArray::from), max.map(ByteArray::from), None, nulls, false);
            Statistics::ByteArray(values.with_min_is_exact(exact.0).with_max_is_exact(exact.1))
        }
    }
}
