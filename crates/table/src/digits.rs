//! Digits to numbers, eight at a time.

/// Powers of ten that a `u64` holds.
pub(crate) const POWERS: [u64; 20] = {
    let mut powers = [1; 20];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// The number that these digits are; `None` where one is none. Of more than 19 digits it is the number modulo 2^64.
#[inline]
pub(crate) fn number(mut text: &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    while let Some((bytes, rest)) = text.split_first_chunk() {
        number = number.wrapping_mul(POWERS[8]).wrapping_add(eight(*bytes)?);
        text = rest;
    }
    if let Some((bytes, rest)) = text.split_first_chunk() {
        number = number.wrapping_mul(POWERS[4]).wrapping_add(four(*bytes)?);
        text = rest;
    }
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
    }
    Some(number)
}

/// Pairs of digits become bytes, pairs of these become two bytes, and so on.
#[inline]
fn eight(bytes: [u8; 8]) -> Option<u64> {
    let digits = u64::from_le_bytes(bytes) ^ 0x3030_3030_3030_3030;
    // Above 9 something is carried into the upper half of a byte, or is there already.
    if (digits | digits.wrapping_add(0x0606_0606_0606_0606)) & 0xF0F0_F0F0_F0F0_F0F0 != 0 {
        return None;
    }
    let twos = digits.wrapping_mul(10 << 8 | 1) >> 8 & 0x00FF_00FF_00FF_00FF;
    let fours = twos.wrapping_mul(100 << 16 | 1) >> 16 & 0x0000_FFFF_0000_FFFF;
    Some(fours.wrapping_mul(10_000 << 32 | 1) >> 32)
}

#[inline]
fn four(bytes: [u8; 4]) -> Option<u64> {
    let digits = u32::from_le_bytes(bytes) ^ 0x3030_3030;
    if (digits | digits.wrapping_add(0x0606_0606)) & 0xF0F0_F0F0 != 0 {
        return None;
    }
    let twos = digits.wrapping_mul(10 << 8 | 1) >> 8 & 0x00FF_00FF;
    Some(u64::from(twos.wrapping_mul(100 << 16 | 1) >> 16))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn any_other_byte_at_any_place_is_seen() {
        for length in 1..=19 {
            for place in 0..length {
                for byte in (0..=u8::MAX).filter(|byte| !byte.is_ascii_digit()) {
                    let mut text = vec![b'7'; length];
                    text[place] = byte;
                    assert_eq!(number(&text), None, "{text:?}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn numbers_are_those_of_the_standard_library(digits in "[0-9]{1,19}") {
            prop_assert_eq!(number(digits.as_bytes()), digits.parse().ok());
        }
    }
}
