//! The places in a text where fields end.

/// Bytes that are looked at together: as many as a mask has bits.
const BLOCK: usize = 64;

/// Finds delimiters and line ends, in one direction.
pub(crate) struct Scan<'a> {
    text: &'a [u8],
    delimiter: u8,
    /// Where the present block starts.
    block: usize,
    /// Of the present block, a bit for each place where a field may end.
    ends: u64,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(text: &'a [u8], delimiter: u8) -> Self {
        let mut scan = Self { text, delimiter, block: 0, ends: 0 };
        scan.look();
        scan
    }

    /// The first delimiter or line end at or after a place, which is not before the last one asked for.
    #[inline]
    pub(crate) fn next(&mut self, from: usize) -> Option<usize> {
        if from >= self.block + BLOCK {
            self.block = from - from % BLOCK;
            self.look();
        }
        // In the block that `from` lies in, what lies before it does not count.
        let mut ends = self.ends & (u64::MAX << (from - self.block));
        while ends == 0 {
            self.block += BLOCK;
            if self.block >= self.text.len() {
                // What comes next, if anything, starts over here.
                self.ends = 0;
                return None;
            }
            self.look();
            ends = self.ends;
        }
        Some(self.block + ends.trailing_zeros() as usize)
    }

    #[inline]
    fn look(&mut self) {
        let rest = self.text.get(self.block..).unwrap_or_default();
        self.ends = if let Some(block) = rest.first_chunk::<BLOCK>() {
            ends_in(block, self.delimiter)
        } else {
            let mut block = [0; BLOCK];
            block[..rest.len()].copy_from_slice(rest);
            ends_in(&block, self.delimiter)
        };
    }
}

#[inline]
fn ends_in(block: &[u8; BLOCK], delimiter: u8) -> u64 {
    let (words, _) = block.as_chunks::<8>();
    let mut ends = 0;
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // In each byte the top bit is clear where it is one of the three.
        let others = differ(word, delimiter) & differ(word, b'\n') & differ(word, b'\r');
        let found = !others & 0x8080_8080_8080_8080;
        // The eight top bits, moved together.
        let bits = (found >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        ends |= bits << (8 * index);
    }
    ends
}

/// In each byte, the top bit says that it differs.
#[inline]
fn differ(word: u64, byte: u8) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let difference = word ^ (u64::from(byte) * 0x0101_0101_0101_0101);
    ((difference & LOW) + LOW) | difference
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_what_a_plain_search_finds(text in prop::collection::vec(prop_oneof![
            Just(b','), Just(b'\n'), Just(b'\r'), Just(b'x'), Just(0xac), Just(0x8a), any::<u8>()
        ], 0..300), steps in prop::collection::vec(0..80_usize, 0..50)) {
            let mut scan = Scan::new(&text, b',');
            let mut at = 0;
            for step in steps {
                let expected = text.iter().skip(at).position(|byte| b",\n\r".contains(byte)).map(|found| at + found);
                let found = scan.next(at);
                prop_assert_eq!(found, expected);
                let Some(found) = found else { break };
                at = found + step;
            }
        }
    }
}
