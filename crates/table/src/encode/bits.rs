//! Parquet's hybrid of runs and packed bits, and plain packed bits.
//!
//! <https://parquet.apache.org/docs/file-format/data-pages/encodings/#RLE>

/// From so many equal values on, a run is shorter than packed bits, whatever their width.
const RUN: usize = 16;

/// Writes dictionary indices: how wide they are, then runs and packed bits.
pub(super) fn write_indices(indices: &[u32], entries: usize, out: &mut Vec<u8>) {
    // Not every reader takes a width of zero.
    let width = entries.next_power_of_two().trailing_zeros().max(1);
    out.push(width.to_le_bytes()[0]);
    let mut packed = 0;
    let mut at = 0;
    while at < indices.len() {
        let same = indices[at..].iter().take_while(|index| **index == indices[at]).count();
        if same < RUN {
            at = (at + 8).min(indices.len());
            continue;
        }
        pack(&indices[packed..at], width, out);
        write_varint((same as u64) << 1, out);
        let bytes = width.div_ceil(8) as usize;
        out.extend_from_slice(&indices[at].to_le_bytes()[..bytes]);
        at += same;
        packed = at;
    }
    pack(&indices[packed..], width, out);
}

/// Packs values, by eights.
fn pack(values: &[u32], width: u32, out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    write_varint((values.len().div_ceil(8) as u64) << 1 | 1, out);
    let mut eights = values.chunks_exact(8);
    for eight in eights.by_ref() {
        pack_eight(eight, width, out);
    }
    let rest = eights.remainder();
    if !rest.is_empty() {
        let mut eight = [0; 8];
        eight[..rest.len()].copy_from_slice(rest);
        pack_eight(&eight, width, out);
    }
}

/// Eight values of so many bits take so many bytes.
fn pack_eight(values: &[u32], width: u32, out: &mut Vec<u8>) {
    let half =
        |values: &[u32]| values.iter().rev().fold(0_u128, |bits, value| bits << width | u128::from(*value));
    let bytes = width as usize;
    if width <= 16 {
        let bits = half(values);
        out.extend_from_slice(&bits.to_le_bytes()[..bytes]);
    } else {
        // Four values of more than 16 bits fill some bytes and, where the width is odd, half of one.
        let (low, high) = (half(&values[..4]), half(&values[4..]));
        let mut all = [0; 32];
        all[..16].copy_from_slice(&low.to_le_bytes());
        let (at, shift) = (bytes / 2, 4 * (width % 2));
        for (byte, more) in all[at..].iter_mut().zip((high << shift).to_le_bytes()) {
            *byte |= more;
        }
        out.extend_from_slice(&all[..bytes]);
    }
}

/// Writes definition levels of a column that may be null: their length, then one bit a row.
pub(super) fn write_levels(rows: usize, valid: &[bool], out: &mut Vec<u8>) {
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    match valid.first() {
        // No level was noted, so that all are alike.
        None => {
            write_varint((rows as u64) << 1, out);
            out.push(1);
        }
        Some(first) if valid.iter().all(|valid| valid == first) => {
            write_varint((rows as u64) << 1, out);
            out.push(u8::from(*first));
        }
        Some(_) => {
            write_varint((rows.div_ceil(8) as u64) << 1 | 1, out);
            write_bits(valid, out);
        }
    }
    let length = u32::try_from(out.len() - length_at - 4).unwrap_or(u32::MAX);
    out[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
}

/// Writes one bit each, the first one lowest.
pub(super) fn write_bits(values: &[bool], out: &mut Vec<u8>) {
    let byte = |eight: &[bool]| eight.iter().rev().fold(0_u8, |bits, bit| bits << 1 | u8::from(*bit));
    out.extend(values.chunks(8).map(byte));
}

pub(super) fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}
