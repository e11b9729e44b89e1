//! Parquet's delta encodings: of whole numbers, and of texts, whose lengths are such numbers.
//!
//! <https://parquet.apache.org/docs/file-format/data-pages/encodings/#delta-encoding-delta_binary_packed--5>

use super::bits::write_varint;

/// Deltas that have one smallest one, and the parts that each have a width of their own: as `parquet-java` writes them.
const BLOCK: usize = 128;
const MINIBLOCKS: usize = 4;
const MINIBLOCK: usize = BLOCK / MINIBLOCKS;

/// Writes whole numbers as `DELTA_BINARY_PACKED`. What is said of 32 bits holds as long as their deltas have no more.
pub(super) fn write_numbers<T: Copy + Into<i64>>(values: &[T], out: &mut Vec<u8>) {
    write_varint(BLOCK as u64, out);
    write_varint(MINIBLOCKS as u64, out);
    write_varint(values.len() as u64, out);
    let mut last: i64 = values.first().map_or(0, |first| (*first).into());
    write_zigzag(last, out);
    for block in values.get(1..).unwrap_or_default().chunks(BLOCK) {
        let mut deltas = [0; BLOCK];
        let mut smallest = i64::MAX;
        for (delta, value) in deltas.iter_mut().zip(block) {
            let value = (*value).into();
            *delta = value.wrapping_sub(last);
            last = value;
            smallest = smallest.min(*delta);
        }
        write_zigzag(smallest, out);
        let mut parts = [[0; MINIBLOCK]; MINIBLOCKS];
        let above_smallest =
            deltas[..block.len()].iter().map(|delta| delta.wrapping_sub(smallest).cast_unsigned());
        for (place, delta) in parts.as_flattened_mut().iter_mut().zip(above_smallest) {
            *place = delta;
        }
        let widths =
            parts.map(|part| u64::BITS - part.iter().fold(0, |all, delta| all | delta).leading_zeros());
        out.extend(widths.map(|width| width.to_le_bytes()[0]));
        // A part without a value is not written; one that has some is written whole.
        for (part, width) in parts.iter().zip(widths).take(block.len().div_ceil(MINIBLOCK)) {
            pack(part, width, out);
        }
    }
}

/// Writes texts as `DELTA_LENGTH_BYTE_ARRAY`: their lengths, then their bytes.
pub(super) fn write_texts(lengths: &[i32], bytes: &[u8], out: &mut Vec<u8>) {
    write_numbers(lengths, out);
    out.extend_from_slice(bytes);
}

/// Packs values of so many bits, the first one lowest.
fn pack(values: &[u64; MINIBLOCK], width: u32, out: &mut Vec<u8>) {
    let (mut bits, mut filled) = (0_u64, 0);
    let mut packed = [0; MINIBLOCK * 8];
    let (words, _) = packed.as_chunks_mut();
    let mut words = words.iter_mut();
    for value in values {
        bits |= value << filled;
        filled += width;
        if filled >= u64::BITS {
            if let Some(word) = words.next() {
                *word = bits.to_le_bytes();
            }
            filled -= u64::BITS;
            // What did not fit; all of it did where nothing is left.
            bits = value.checked_shr(width - filled).unwrap_or(0);
        }
    }
    if let Some(word) = words.next() {
        *word = bits.to_le_bytes();
    }
    out.extend_from_slice(&packed[..MINIBLOCK / 8 * width as usize]);
}

fn write_zigzag(value: i64, out: &mut Vec<u8>) {
    write_varint((value << 1 ^ value >> 63).cast_unsigned(), out);
}

#[cfg(test)]
mod tests {
    use parquet::basic::Encoding;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use proptest::prelude::*;

    use crate::testing::{fragment, merged, read};

    /// Writes distinct texts as a column, and reads them back with the encodings that were chosen.
    fn round_trip(texts: &[String]) -> (Vec<String>, Vec<Encoding>) {
        let csv = format!("a\n{}\n", texts.join("\n"));
        let output = merged(&[fragment(csv, "")], "").0;
        let reader = SerializedFileReader::new(output.clone()).unwrap();
        let group = reader.metadata().row_groups().first();
        let encodings = group.map(|group| group.column(0).encodings().collect()).unwrap_or_default();
        (read(&output).remove(0).2.into_iter().flatten().collect(), encodings)
    }

    #[test]
    fn whole_numbers_come_back_at_the_ends_of_blocks_and_of_64_bits() {
        // Blocks are of 128 after the first value, miniblocks of 32.
        for count in [1, 2, 32, 33, 34, 127, 128, 129, 130, 257, 1000] {
            let steps: [fn(i64) -> i64; 4] = [
                |at| at,
                |at| at * -3,
                |at| if at % 2 == 0 { i64::MIN + at } else { i64::MAX - at },
                |at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed()),
            ];
            for step in steps {
                let texts: Vec<String> = (0..count).map(|at| step(at).to_string()).collect();
                let (found, encodings) = round_trip(&texts);
                assert_eq!(found, texts);
                assert!(encodings.contains(&Encoding::DELTA_BINARY_PACKED), "{count}: {encodings:?}");
            }
        }
    }

    #[test]
    fn texts_come_back_whatever_their_lengths() {
        for count in [1, 32, 33, 128, 129, 130, 300] {
            let texts: Vec<String> =
                (0..count).map(|at| format!("t{at}{}", "x".repeat(at * at % 97))).collect();
            let (found, encodings) = round_trip(&texts);
            assert_eq!(found, texts);
            assert!(encodings.contains(&Encoding::DELTA_LENGTH_BYTE_ARRAY), "{count}: {encodings:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn whole_numbers_of_any_width_come_back(
            values in prop::collection::hash_set(any::<i64>(), 1..400), shift in 0..64_u32
        ) {
            let texts: Vec<String> = values.iter().map(|value| (value >> shift).to_string()).collect();
            prop_assert_eq!(round_trip(&texts).0, texts);
        }
    }
}
