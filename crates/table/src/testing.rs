//! What tests of several modules need: short ways to call, and a reader of what came out that shares no code with
//! what wrote it, beyond Arrow's.

use std::io::Cursor;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};
use bytes::Bytes;
use jiff::civil;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::{ColumnTypes, ConvertError, Input, Merged, Summary, Type, convert, merge};

/// A column as it was read back: name, type, cells.
pub(crate) type ReadColumn = (String, Type, Vec<Option<String>>);

pub(crate) fn pins(text: &str) -> ColumnTypes {
    text.parse().unwrap()
}

/// A fragment, the rejected rows, and the summary.
pub(crate) fn converted(
    csv: impl AsRef<[u8]>,
    types: &str,
) -> Result<(Bytes, String, Summary), ConvertError> {
    let (mut fragment, mut rejected) = (Vec::new(), Vec::new());
    let summary = convert(Cursor::new(csv), &pins(types), |_| Vec::new(), &mut fragment, &mut rejected)?;
    Ok((fragment.into(), String::from_utf8(rejected).unwrap(), summary))
}

pub(crate) fn fragment(csv: impl AsRef<[u8]>, types: &str) -> Input<Bytes> {
    Input::fragment(converted(csv, types).unwrap().0).unwrap()
}

pub(crate) fn merged(inputs: &[Input<Bytes>], types: &str) -> (Bytes, Merged) {
    let mut output = Vec::new();
    let merged =
        merge(inputs, &pins(types), vec![("key".to_owned(), "value".to_owned())], &mut output).unwrap();
    assert_eq!(merged.bytes, output.len() as u64);
    (output.into(), merged)
}

/// Merges CSVs and reads the result.
pub(crate) fn table_of(csvs: &[&str], types: &str) -> Vec<ReadColumn> {
    let inputs: Vec<_> = csvs.iter().map(|csv| fragment(csv, types)).collect();
    read(&merged(&inputs, types).0)
}

/// All columns of a Parquet file.
pub(crate) fn read(parquet: &Bytes) -> Vec<ReadColumn> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(parquet.clone()).unwrap();
    let mut columns: Vec<ReadColumn> = builder
        .schema()
        .fields()
        .iter()
        .map(|field| {
            assert!(field.is_nullable());
            (field.name().clone(), type_of(field.data_type()), Vec::new())
        })
        .collect();
    for batch in builder.build().unwrap() {
        for (column, array) in columns.iter_mut().zip(batch.unwrap().columns()) {
            column.2.extend((0..array.len()).map(|row| array.is_valid(row).then(|| cell(array, row))));
        }
    }
    columns
}

fn type_of(found: &DataType) -> Type {
    match found {
        DataType::Boolean => Type::Boolean,
        DataType::Int64 => Type::Int64,
        DataType::Float64 => Type::Float64,
        DataType::Date32 => Type::Date,
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if &**zone == "UTC" => Type::TimestampUtc,
        DataType::Timestamp(TimeUnit::Microsecond, None) => Type::TimestampLocal,
        DataType::Utf8 => Type::Text,
        other => panic!("{other}"),
    }
}

fn cell(array: &ArrayRef, row: usize) -> String {
    match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float64 => double(array.as_primitive::<Float64Type>().value(row)),
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>().value(row);
            civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(days)).unwrap().to_string()
        }
        DataType::Timestamp(..) => array.as_primitive::<TimestampMicrosecondType>().value(row).to_string(),
        _ => array.as_string::<i32>().value(row).to_owned(),
    }
}

/// Every double has another text, -0 too.
fn double(value: f64) -> String {
    format!("{value:?}")
}

/// The contract's rule for types, told slowly: what the type makes of the text, if it holds it.
pub(crate) fn slow_value(kind: Type, text: &str) -> Option<String> {
    match kind {
        Type::Boolean => matches!(text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE")
            .then(|| text.to_lowercase()),
        Type::Int64 => {
            text.parse::<i64>().ok().map(|value| value.to_string()).filter(|rendered| rendered == text)
        }
        Type::Float64 => slow_float(text).map(double),
        Type::Date => {
            let day: civil::Date = (text.len() == 10).then(|| text.parse().ok())??;
            (day.to_string() == text).then(|| text.to_owned())
        }
        Type::TimestampUtc | Type::TimestampLocal => {
            let (micros, utc) = slow_timestamp(text)?;
            (utc == (kind == Type::TimestampUtc)).then(|| micros.to_string())
        }
        Type::Text => Some(text.to_owned()),
    }
}

/// Strips the text and its double's shortest form to digits and exponent, and compares.
pub(crate) fn slow_float(text: &str) -> Option<f64> {
    fn strip(text: &str) -> Option<(String, i64)> {
        let text = text.trim_start_matches('-');
        let (number, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        let mut exponent = exponent.parse::<i64>().ok()? - i64::try_from(fraction.len()).ok()?;
        let mut digits = digits.trim_start_matches('0').to_owned();
        while digits.ends_with('0') {
            digits.pop();
            exponent += 1;
        }
        if digits.is_empty() { Some((digits, 0)) } else { Some((digits, exponent)) }
    }
    if text == "NaN" {
        return Some(f64::NAN);
    }
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let number = unsigned.split(['e', 'E']).next()?;
    let (whole, fraction) =
        number.split_once('.').map_or((number, None), |(whole, rest)| (whole, Some(rest)));
    let digits_only = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.len() > 1 && whole.starts_with('0'))
        || fraction == Some("")
        || number.is_empty()
        || !digits_only(whole)
    {
        return None;
    }
    let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite())?;
    // The nearest of the shortest: the standard library rounds to a given number of digits with ties to even, but knows
    // only of itself how many there must be. At a power of two the nearest of that length may read as another double.
    let short = format!("{value:e}");
    let digits = strip(&short)?.0.len();
    let even = format!("{value:.*e}", digits.saturating_sub(1));
    let shortest = if even.parse() == Ok(value) { even } else { short };
    (strip(text)? == strip(&shortest)?).then_some(value)
}

/// Microseconds, and whether an offset stood there.
pub(crate) fn slow_timestamp(text: &str) -> Option<(i64, bool)> {
    let clock_end = text.get(16..)?.find(['Z', '+', '-']).map_or(text.len(), |at| at + 16);
    let (clock, offset) = text.split_at(clock_end);
    // What Jiff reads and Windrow does not: a second 60, nanoseconds, other separators.
    let fraction = clock.get(19..).unwrap_or_default();
    if clock.get(17..19) == Some("60")
        || fraction.len() > 7
        || fraction.starts_with(',')
        || clock.contains('t')
    {
        return None;
    }
    let local = clock.parse::<civil::DateTime>().ok()?;
    let local = local.duration_since(civil::DateTime::constant(1970, 1, 1, 0, 0, 0, 0));
    let local = i64::try_from(local.as_micros()).ok()?;
    if offset.is_empty() {
        return Some((local, false));
    }
    let digits: String = offset.chars().filter(char::is_ascii_digit).collect();
    let part = |range: std::ops::Range<usize>| digits.get(range).map_or(Ok(0), str::parse::<i64>).ok();
    let (hours, minutes) = (part(0..2)?, part(2..4)?);
    let micros = (hours * 60 + minutes) * 60_000_000;
    let micros = local - if offset.starts_with('-') { -micros } else { micros };
    let in_range = (-62_135_596_800_000_000..253_402_300_800_000_000).contains(&micros);
    (minutes < 60 && in_range).then_some((micros, true))
}
