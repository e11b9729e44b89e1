//! Distinct values, numbered in the order in which they first came.

use std::hash::{BuildHasher, RandomState};

/// A value by which it is found: a short text whole, a longer one by its hash and end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Key {
    low: u64,
    high: u64,
    length: u32,
}

/// No longer text is in its key whole.
const SHORT: usize = 16;

impl Key {
    pub(super) fn of_number(bits: u64) -> Self {
        Self { low: bits, high: 0, length: 8 }
    }
}

/// Which values there are. Values lie in `bytes`, one after the other, as Parquet writes a dictionary.
pub(super) struct Dictionary {
    seeds: [u64; 2],
    /// A number and the hash's upper half: as many as a power of two, at most half of them in use.
    slots: Vec<(u32, u32)>,
    keys: Vec<Key>,
    /// Where each value's bytes end.
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

const FIRST_SLOTS: usize = 64;
/// Not zero: memory that is asked for as zeros is first read as one page that all share, and then each page costs
/// two faults, the second of which stops the other threads.
const FREE: (u32, u32) = (u32::MAX, 0);

impl Default for Dictionary {
    fn default() -> Self {
        // Nobody must be able to choose values that make finding slow. What is written does not depend on it.
        let state = RandomState::new();
        let seeds = [state.hash_one(0), state.hash_one(1)];
        Self { seeds, slots: Vec::new(), keys: Vec::new(), ends: Vec::new(), bytes: Vec::new() }
    }
}

impl Dictionary {
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// About how much memory it takes: what it takes to find a value is mostly more than the value.
    pub(super) fn size(&self) -> usize {
        const KEY: usize = size_of::<Key>() + size_of::<u32>();
        self.bytes.len() + self.keys.len() * KEY + size_of_val(self.slots.as_slice())
    }

    /// The dictionary page.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn clear(&mut self) {
        if self.keys.is_empty() {
            return;
        }
        self.slots.fill(FREE);
        self.keys.clear();
        self.ends.clear();
        self.bytes.clear();
    }

    /// A value as it is written.
    pub(super) fn value(&self, index: u32) -> &[u8] {
        let index = index as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.bytes[start..self.ends[index] as usize]
    }

    /// A text's key; the text is the `length` bytes at `start`.
    #[inline]
    pub(super) fn key_of_text(&self, buffer: &[u8], start: usize, length: usize) -> Key {
        let short = |low, high| Key { low, high, length: u32::try_from(length).unwrap_or(u32::MAX) };
        match length {
            0 => short(0, 0),
            1..=8 => short(word(buffer, start) & (u64::MAX >> (64 - 8 * length)), 0),
            9..=SHORT => short(word(buffer, start), word(buffer, start + length - 8)),
            _ => {
                let text = &buffer[start..start + length];
                let (words, _) = text.as_chunks::<8>();
                let hash = words
                    .iter()
                    .fold(self.seeds[1], |hash, word| fold(hash ^ u64::from_le_bytes(*word), self.seeds[0]));
                short(hash, word(buffer, start + length - 8))
            }
        }
    }

    /// The number of a value, which is new where it is the number of values there were. `write` writes a new one.
    #[inline]
    pub(super) fn number(
        &mut self,
        key: Key,
        is_same: impl Fn(&[u8]) -> bool,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> u32 {
        if self.keys.len() * 2 >= self.slots.len() {
            self.grow();
        }
        let (start, tag) = self.hash(key);
        let mask = self.slots.len() - 1;
        let mut slot = start & mask;
        loop {
            let (index, found) = self.slots[slot];
            if index == FREE.0 {
                break;
            }
            if found == tag
                && self.keys[index as usize] == key
                && (key.length as usize <= SHORT || is_same(self.value(index)))
            {
                return index;
            }
            slot = (slot + 1) & mask;
        }
        let index = u32::try_from(self.keys.len()).unwrap_or(u32::MAX - 1);
        self.slots[slot] = (index, tag);
        self.keys.push(key);
        write(&mut self.bytes);
        self.ends.push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
        index
    }

    /// Where to look for a key first, and what to compare before the key itself.
    #[inline]
    fn hash(&self, key: Key) -> (usize, u32) {
        let hash = fold(key.low ^ self.seeds[0], key.high ^ self.seeds[1] ^ u64::from(key.length));
        #[expect(clippy::cast_possible_truncation, reason = "the halves of it")]
        (hash as u32 as usize, (hash >> 32) as u32)
    }

    #[cold]
    fn grow(&mut self) {
        let size = (self.slots.len() * 4).max(FIRST_SLOTS);
        let mut slots = vec![FREE; size];
        for (number, key) in (0..).zip(&self.keys) {
            let (start, tag) = self.hash(*key);
            let mut slot = start & (size - 1);
            while slots[slot] != FREE {
                slot = (slot + 1) & (size - 1);
            }
            slots[slot] = (number, tag);
        }
        self.slots = slots;
    }
}

/// Eight bytes from a place on; fewer, and then zeros, at the buffer's end.
#[inline]
pub(super) fn word(buffer: &[u8], at: usize) -> u64 {
    if let Some(eight) = buffer.get(at..).and_then(<[u8]>::first_chunk) {
        return u64::from_le_bytes(*eight);
    }
    let rest = buffer.get(at..).unwrap_or_default();
    rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// Multiplies, and mixes the upper half into the lower.
#[inline]
fn fold(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    #[expect(clippy::cast_possible_truncation, reason = "the halves of it")]
    let (low, high) = (product as u64, (product >> 64) as u64);
    low ^ high
}
