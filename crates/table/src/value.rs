//! Values: from their text, and back into the one text by which each type renders them.
//!
//! Parsers take exactly the forms that the contract names and nothing else. Each also says whether the text is the
//! canonical one, that is, what the type renders the value as; where it is not, a fragment keeps the text beside
//! the value. The law between them: what a type renders, it parses to the same value, as canonical.

use std::fmt;

use crate::digits;
use crate::types::{Type, TypeSet};

/// A value, and whether its text is the one that its type renders it as.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Parsed<T> {
    pub(crate) value: T,
    pub(crate) canonical: bool,
}

/// An instant or a wall clock's reading.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Micros {
    /// Since 1970-01-01T00:00:00, in UTC or on that clock.
    pub(crate) micros: i64,
    /// Whether an offset stood there.
    pub(crate) utc: bool,
}

/// The types that hold a text, and those among them that would render it back as it stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Fit {
    pub(crate) types: TypeSet,
    pub(crate) canonical: TypeSet,
}

/// Whether the text stands for no value in a column that is not text.
pub(crate) fn is_null_word(text: &[u8]) -> bool {
    matches!(text, b"NA" | b"N/A" | b"#N/A" | b"NULL" | b"null" | b"nan")
}

/// Which of the types in `among` hold the text. It is neither empty nor a null word.
pub(crate) fn fit(text: &[u8], among: TypeSet) -> Fit {
    let mut fit = Fit { types: TypeSet::TEXT, canonical: TypeSet::TEXT };
    let mut add = |kind: Type, canonical: bool| {
        if among.has(kind) {
            fit.types = fit.types.or(TypeSet::of(&[kind]));
            if canonical {
                fit.canonical = fit.canonical.or(TypeSet::of(&[kind]));
            }
        }
    };
    match text.first() {
        Some(b't' | b'T' | b'f' | b'F') => {
            if let Some(found) = boolean(text) {
                add(Type::Boolean, found.canonical);
            }
        }
        Some(b'0'..=b'9' | b'-' | b'.' | b'N') => {
            if text.len() >= 10 && text[4] == b'-' {
                if date(text).is_some() {
                    add(Type::Date, true);
                    return fit;
                }
                if let Some(found) = timestamp(text) {
                    let kind = if found.value.utc { Type::TimestampUtc } else { Type::TimestampLocal };
                    add(kind, found.canonical);
                    return fit;
                }
            }
            if let Some(whole) = int64(text) {
                add(Type::Int64, true);
                if among.has(Type::Float64) && fits_float64(whole) {
                    add(Type::Float64, whole.unsigned_abs() < PLAIN_BELOW);
                }
            } else if among.has(Type::Float64)
                && let Some(found) = float64(text)
            {
                add(Type::Float64, found.canonical);
            }
        }
        _ => {}
    }
    fit
}

/// `true`, `True`, `TRUE` and their like.
pub(crate) fn boolean(text: &[u8]) -> Option<Parsed<bool>> {
    match text {
        b"true" => Some(Parsed { value: true, canonical: true }),
        b"false" => Some(Parsed { value: false, canonical: true }),
        b"True" | b"TRUE" => Some(Parsed { value: true, canonical: false }),
        b"False" | b"FALSE" => Some(Parsed { value: false, canonical: false }),
        _ => None,
    }
}

/// `0|-?[1-9][0-9]*` within 64 bits. There is no other text for the value.
pub(crate) fn int64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        b"0" => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    // 19 digits are below 10^19, which a u64 holds.
    if !(1..=19).contains(&digits.len()) || digits[0] == b'0' {
        return None;
    }
    let magnitude = digits::number(digits)?;
    if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// From here on a double's shortest form is rendered with an exponent.
const PLAIN_BELOW: u64 = 10_000_000_000_000_000;
/// Decimal exponents of the first digit for which it is rendered without one.
const PLAIN: std::ops::Range<i32> = -5..16;
/// Powers of ten that a double holds exactly.
pub(crate) const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// A decimal number: `mantissa` times ten to the `exponent`, without zeros at the mantissa's end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Decimal {
    mantissa: u64,
    exponent: i32,
    /// Of the mantissa. Where there are more than 17, the mantissa is cut, and no double's shortest form is equal.
    digits: i32,
}

/// A decimal number equal to the shortest form of the double nearest to it, or `NaN`:
/// `-?(0|[1-9][0-9]*)?(\.[0-9]+)?([eE][+-]?[0-9]+)?` with a digit before the exponent.
pub(crate) fn float64(text: &[u8]) -> Option<Parsed<f64>> {
    if text == b"NaN" {
        return Some(Parsed { value: f64::NAN, canonical: true });
    }
    let (negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let scanned = scan_plain(unsigned).or_else(|| scan(unsigned))?;
    let decimal = scanned.decimal;
    let sign = if negative { -1.0 } else { 1.0 };
    if decimal.digits == 0 {
        return Some(Parsed { value: 0.0 * sign, canonical: unsigned == b"0" });
    }
    if decimal.digits > 17 {
        return None;
    }
    let first = decimal.exponent.saturating_add(decimal.digits - 1);
    let magnitude = if decimal.digits <= 15 && (-22..=22).contains(&decimal.exponent) {
        // Both are exact, so the one rounding gives the nearest double. 15 digits always come back from one.
        #[expect(clippy::cast_precision_loss, reason = "15 digits are below 2^53")]
        let mantissa = decimal.mantissa as f64;
        let power = EXACT_POWERS.get(decimal.exponent.unsigned_abs() as usize)?;
        if decimal.exponent < 0 { mantissa / power } else { mantissa * power }
    } else if let Some(magnitude) = likely(decimal).filter(|likely| is_shortest(*likely, unsigned, decimal)) {
        // What is the shortest form of a double reads back as that double.
        magnitude
    } else {
        let magnitude: f64 = std::str::from_utf8(unsigned).ok()?.parse().ok()?;
        // 15 digits come back only where doubles are normal; else, and from 16 on, look.
        let surely = decimal.digits <= 15 && (-290..=290).contains(&first);
        if !surely && (!magnitude.is_finite() || shortest(magnitude) != Some(decimal)) {
            return None;
        }
        magnitude
    };
    let value = magnitude * sign;
    let canonical = if scanned.has_exponent || !PLAIN.contains(&first) {
        let mut rendered = Short::default();
        write_float64(&mut rendered, value).is_ok() && rendered.bytes() == text
    } else {
        scanned.is_tidy
    };
    Some(Parsed { value, canonical })
}

/// Whether a whole number is equal, as a decimal, to the shortest form of the double nearest to it.
pub(crate) fn fits_float64(whole: i64) -> bool {
    let mut mantissa = whole.unsigned_abs();
    if mantissa < 1_000_000_000_000_000 {
        return true;
    }
    let mut exponent = 0;
    while mantissa.is_multiple_of(10) {
        mantissa /= 10;
        exponent += 1;
    }
    let digits = digits_of(mantissa);
    digits <= 15 || shortest(as_float64(whole).abs()) == Some(Decimal { mantissa, exponent, digits })
}

/// The double nearest to a whole number.
pub(crate) fn as_float64(whole: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "callers know from `fits_float64` what may be lost")]
    let float = whole as f64;
    float
}

struct Scanned {
    decimal: Decimal,
    has_exponent: bool,
    /// Digits before the point, no zero at the end of those after it.
    is_tidy: bool,
}

/// The double nearest to a decimal, or one beside it.
fn likely(decimal: Decimal) -> Option<f64> {
    let power = EXACT_POWERS.get(usize::try_from(decimal.exponent.checked_neg()?).ok()?)?;
    #[expect(clippy::cast_precision_loss, reason = "what is lost is made up for below")]
    let rounded = decimal.mantissa as f64;
    #[expect(clippy::cast_possible_truncation, reason = "it was a whole number before")]
    #[expect(clippy::cast_precision_loss, reason = "a rounding is small")]
    let lost = (i128::from(decimal.mantissa) - rounded as i128) as f64;
    let quotient = rounded / power;
    let remainder = quotient.mul_add(-power, rounded) + lost;
    Some(quotient + remainder / power)
}

/// Whether a double's shortest form is this decimal, which stands there as `text`.
fn is_shortest(magnitude: f64, text: &[u8], decimal: Decimal) -> bool {
    let mut buffer = zmij::Buffer::new();
    let rendered = buffer.format_finite(magnitude).as_bytes();
    rendered == text || scan(rendered).is_some_and(|scanned| scanned.decimal == decimal)
}

/// Reads a decimal number without a sign and an exponent, of few digits; `None` where it is another.
#[inline]
fn scan_plain(text: &[u8]) -> Option<Scanned> {
    let point = text.iter().position(|byte| *byte == b'.').unwrap_or(text.len());
    let (whole, fraction) = (&text[..point], text.get(point + 1..).unwrap_or_default());
    let is_plain = (1..=19).contains(&(whole.len() + fraction.len()))
        && !(whole.len() > 1 && whole[0] == b'0')
        && (point == text.len() || !fraction.is_empty());
    if !is_plain {
        return None;
    }
    let mut mantissa = digits::number(whole)? * digits::POWERS[fraction.len()] + digits::number(fraction)?;
    let mut exponent = -i32::try_from(fraction.len()).ok()?;
    let is_tidy = !whole.is_empty() && (fraction.is_empty() || !fraction.ends_with(b"0"));
    if mantissa == 0 {
        exponent = 0;
    } else if text.ends_with(b"0") {
        while mantissa.is_multiple_of(10) {
            mantissa /= 10;
            exponent += 1;
        }
    }
    let digits = digits_of(mantissa);
    Some(Scanned { decimal: Decimal { mantissa, exponent, digits }, has_exponent: false, is_tidy })
}

/// Reads a decimal number without a sign.
fn scan(text: &[u8]) -> Option<Scanned> {
    let mut mantissa = 0_u64;
    // Digits from the first that is not zero on, and how many of them up to the last that is not.
    let (mut seen, mut digits) = (0_i32, 0_i32);
    let mut take = |byte: u8| {
        let digit = u64::from(byte - b'0');
        if seen > 0 || digit > 0 {
            seen = seen.saturating_add(1);
            if seen <= 19 {
                mantissa = mantissa * 10 + digit;
            }
            if digit > 0 {
                digits = seen;
            }
        }
    };
    let whole = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if whole > 1 && text[0] == b'0' {
        return None;
    }
    text[..whole].iter().copied().for_each(&mut take);
    let mut at = whole;
    let mut fraction = 0;
    if text.get(at) == Some(&b'.') {
        fraction = text[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if fraction == 0 {
            return None;
        }
        text[at + 1..=at + fraction].iter().copied().for_each(&mut take);
        at += 1 + fraction;
    }
    if whole + fraction == 0 {
        return None;
    }
    let is_tidy = whole > 0 && (fraction == 0 || text[at - 1] != b'0');
    let mut exponent = 0_i32;
    let has_exponent = matches!(text.get(at), Some(b'e' | b'E'));
    if has_exponent {
        at += 1;
        let negative = text.get(at) == Some(&b'-');
        if matches!(text.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        if at == text.len() {
            return None;
        }
        while let Some(byte @ b'0'..=b'9') = text.get(at) {
            exponent = exponent.saturating_mul(10).saturating_add(i32::from(byte - b'0'));
            at += 1;
        }
        if negative {
            exponent = -exponent;
        }
    }
    if at != text.len() {
        return None;
    }
    let kept = seen.min(19);
    let mut decimal = Decimal { mantissa, exponent: 0, digits };
    if digits > 0 && digits <= 19 {
        for _ in digits..kept {
            decimal.mantissa /= 10;
        }
        // The last digit seen has exponent `exponent - fraction`, the mantissa's last is `seen - digits` before it.
        let fraction = i32::try_from(fraction).ok()?;
        decimal.exponent = exponent.saturating_sub(fraction).saturating_add(seen - digits);
    }
    Some(Scanned { decimal, has_exponent, is_tidy })
}

/// The shortest decimal that reads back as this finite double, which is not negative.
fn shortest(magnitude: f64) -> Option<Decimal> {
    let mut buffer = zmij::Buffer::new();
    scan(buffer.format_finite(magnitude).as_bytes()).map(|scanned| scanned.decimal)
}

fn digits_of(mantissa: u64) -> i32 {
    mantissa.checked_ilog10().map_or(0, |log| log.cast_signed() + 1)
}

/// Room for a number's text.
struct Short {
    bytes: [u8; 40],
    filled: usize,
}

impl Default for Short {
    fn default() -> Self {
        Self { bytes: [0; 40], filled: 0 }
    }
}

impl Short {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.filled + text.len();
        self.bytes.get_mut(self.filled..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.filled = end;
        Ok(())
    }
}

pub(crate) const MICROS_A_SECOND: i64 = 1_000_000;
const MICROS_A_DAY: i64 = 86_400 * MICROS_A_SECOND;
/// 0001-01-01 and 10000-01-01, in days since 1970.
const DAYS: std::ops::Range<i64> = -719_162..2_932_897;

/// `YYYY-MM-DD`, a day that exists, from year 1: days since 1970. There is no other text for it.
pub(crate) fn date(text: &[u8]) -> Option<i32> {
    if text.len() != 10 || text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    let year = two(text, 0)? * 100 + two(text, 2)?;
    let (month, day) = (two(text, 5)?, two(text, 8)?);
    if year == 0 || !(1..=12).contains(&month) || day == 0 || day > days_in(year, month) {
        return None;
    }
    i32::try_from(days_from_civil(year, month, day)).ok()
}

/// `YYYY-MM-DD[T ]HH:MM[:SS[.ffffff]]`, and an offset (`Z`, `±hh`, `±hhmm`, `±hh:mm`) or none. Every field is in its
/// range (no `24:00`, no `:60`), and the year is from 1 to 9999 in UTC as well.
pub(crate) fn timestamp(text: &[u8]) -> Option<Parsed<Micros>> {
    if text.len() < 16 || !matches!(text[10], b'T' | b' ') || text[13] != b':' {
        return None;
    }
    let mut canonical = text[10] == b'T';
    let day = date(&text[..10])?;
    let (hour, minute) = (two(text, 11)?, two(text, 14)?);
    let mut at = 16;
    let (mut second, mut micros) = (0, 0);
    if text.get(at) == Some(&b':') {
        second = two(text, at + 1)?;
        at += 3;
        if text.get(at) == Some(&b'.') {
            let digits = text[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=6).contains(&digits) {
                return None;
            }
            for place in 1..=6 {
                let digit = if place <= digits { text[at + place] - b'0' } else { 0 };
                micros = micros * 10 + i64::from(digit);
            }
            at += digits + 1;
            canonical &= text[at - 1] != b'0';
        }
    } else {
        canonical = false;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let local =
        i64::from(day) * MICROS_A_DAY + (hour * 3600 + minute * 60 + second) * MICROS_A_SECOND + micros;
    let offset = &text[at..];
    if offset.is_empty() {
        return Some(Parsed { value: Micros { micros: local, utc: false }, canonical });
    }
    canonical &= offset == b"Z";
    let minutes = offset_minutes(offset)?;
    let micros = local - minutes * 60 * MICROS_A_SECOND;
    DAYS.contains(&micros.div_euclid(MICROS_A_DAY))
        .then_some(Parsed { value: Micros { micros, utc: true }, canonical })
}

/// Minutes east of UTC: `Z`, `±hh`, `±hhmm`, `±hh:mm`; nothing at all counts as none.
pub(crate) fn offset_minutes(offset: &[u8]) -> Option<i64> {
    if matches!(offset, b"" | b"Z") {
        return Some(0);
    }
    let (hours, minutes) = match offset.len() {
        3 => (two(offset, 1)?, 0),
        5 => (two(offset, 1)?, two(offset, 3)?),
        6 if offset[3] == b':' => (two(offset, 1)?, two(offset, 4)?),
        _ => return None,
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    match offset[0] {
        b'+' => Some(hours * 60 + minutes),
        b'-' => Some(-(hours * 60 + minutes)),
        _ => None,
    }
}

/// The two digits at that place.
fn two(text: &[u8], at: usize) -> Option<i64> {
    let tens = text.get(at)?.wrapping_sub(b'0');
    let ones = text.get(at + 1)?.wrapping_sub(b'0');
    (tens <= 9 && ones <= 9).then(|| i64::from(tens * 10 + ones))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970 of a day in the proleptic Gregorian calendar. Years are counted from March, so that the leap day
/// comes last: <https://howardhinnant.github.io/date_algorithms.html>.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The other way round: year, month, day.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day_of_year - (153 * from_march + 2) / 5 + 1)
}

/// Writes `true` or `false`.
pub(crate) fn write_boolean(out: &mut impl fmt::Write, value: bool) -> fmt::Result {
    out.write_str(if value { "true" } else { "false" })
}

/// Writes a whole number.
pub(crate) fn write_int64(out: &mut impl fmt::Write, value: i64) -> fmt::Result {
    write!(out, "{value}")
}

/// Writes the shortest decimal that reads back as this double: `1`, `0.1`, `-0`, `NaN`; with an exponent only below
/// 0.00001 and from 10^16 on.
pub(crate) fn write_float64(out: &mut impl fmt::Write, value: f64) -> fmt::Result {
    if !value.is_finite() || value == 0.0 {
        return write!(out, "{value}");
    }
    // Not by the standard library's formatting: of two shortest decimals that are equally near it takes the upper one
    // where all others, that write CSV files, take the even one.
    let Some(Decimal { mantissa, exponent, digits }) = shortest(value.abs()) else { return Err(fmt::Error) };
    if value < 0.0 {
        out.write_char('-')?;
    }
    let first = exponent + digits - 1;
    let point = usize::try_from(if PLAIN.contains(&first) { first + 1 } else { 1 });
    let digits = digits.unsigned_abs() as usize;
    match point {
        Ok(point) if point >= digits => write!(out, "{mantissa}{:0<1$}", "", point - digits)?,
        Ok(point) if point > 0 => {
            let power = digits::POWERS[digits - point];
            write!(out, "{}.{:02$}", mantissa / power, mantissa % power, digits - point)?;
        }
        _ => write!(out, "0.{:0<1$}{mantissa}", "", (-1 - first).unsigned_abs() as usize)?,
    }
    if PLAIN.contains(&first) { Ok(()) } else { write!(out, "e{first}") }
}

/// Writes `YYYY-MM-DD` for days since 1970.
pub(crate) fn write_date(out: &mut impl fmt::Write, days: i32) -> fmt::Result {
    let (year, month, day) = civil_from_days(i64::from(days));
    write!(out, "{year:04}-{month:02}-{day:02}")
}

/// Writes `YYYY-MM-DDTHH:MM:SS`, a fraction where there is one, and `Z` for an instant.
pub(crate) fn write_timestamp(out: &mut impl fmt::Write, value: Micros) -> fmt::Result {
    let Clock { day, hour, minute, second, micros } = Clock::of(value.micros);
    write_date(out, day)?;
    write!(out, "T{hour:02}:{minute:02}:{second:02}")?;
    if micros > 0 {
        let (mut fraction, mut width) = (micros, 6);
        while fraction % 10 == 0 {
            fraction /= 10;
            width -= 1;
        }
        write!(out, ".{fraction:0width$}")?;
    }
    if value.utc { out.write_str("Z") } else { Ok(()) }
}

/// What calendar and clock show.
pub(crate) struct Clock {
    /// Days since 1970.
    pub(crate) day: i32,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
    pub(crate) micros: i64,
}

impl Clock {
    /// After so many microseconds since 1970.
    pub(crate) fn of(micros: i64) -> Self {
        let of_day = micros.rem_euclid(MICROS_A_DAY);
        let seconds = of_day / MICROS_A_SECOND;
        Self {
            // Microseconds of 64 bits are fewer days than that.
            day: i32::try_from(micros.div_euclid(MICROS_A_DAY)).unwrap_or_default(),
            hour: seconds / 3600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            micros: of_day % MICROS_A_SECOND,
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{slow_float, slow_timestamp};

    fn float_of(text: &str) -> Option<(f64, bool)> {
        float64(text.as_bytes()).map(|found| (found.value, found.canonical))
    }

    fn instant(text: &str) -> Option<(String, bool)> {
        let found = timestamp(text.as_bytes())?;
        let mut rendered = String::new();
        write_timestamp(&mut rendered, found.value).unwrap();
        Some((rendered, found.canonical))
    }

    #[test]
    fn booleans() {
        for (text, expected) in [
            ("true", Some((true, true))),
            ("True", Some((true, false))),
            ("TRUE", Some((true, false))),
            ("false", Some((false, true))),
            ("False", Some((false, false))),
            ("FALSE", Some((false, false))),
            ("tRUE", None),
            ("t", None),
            ("yes", None),
            (" true", None),
        ] {
            assert_eq!(
                boolean(text.as_bytes()).map(|found| (found.value, found.canonical)),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn whole_numbers() {
        for (text, expected) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("18446744073709551616", None),
            ("99999999999999999999", None),
            ("00", None),
            ("01", None),
            ("-0", None),
            ("-01", None),
            ("+1", None),
            ("1.0", None),
            ("-", None),
            ("", None),
            ("1 ", None),
            ("1_000", None),
            ("١", None),
        ] {
            assert_eq!(int64(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn decimal_numbers_equal_to_their_doubles_shortest_form() {
        for (text, value, canonical) in [
            ("0", 0.0, true),
            ("0.0", 0.0, false),
            ("0e999999999999999999999", 0.0, false),
            ("1", 1.0, true),
            ("1.5", 1.5, true),
            ("1.50", 1.5, false),
            ("1e5", 100_000.0, false),
            ("1E+5", 100_000.0, false),
            ("-2.5", -2.5, true),
            (".5", 0.5, false),
            ("-.5", -0.5, false),
            ("0.1", 0.1, true),
            ("0.00001", 0.00001, true),
            ("0.000001", 0.000_001, false),
            ("1e-6", 1e-6, true),
            ("1e16", 1e16, true),
            ("10000000000000000", 1e16, false),
            ("10000000000000000000", 1e19, false),
            ("1000000000000000", 1e15, true),
            ("3.141592653589793", std::f64::consts::PI, true),
            ("0.30000000000000004", 0.300_000_000_000_000_04, true),
            ("1.7976931348623157e308", f64::MAX, true),
            ("5e-324", 5e-324, true),
            ("2.2250738585072014e-308", f64::MIN_POSITIVE, true),
            ("123456789012345e-300", 1.234_567_890_123_45e-286, false),
            ("0.50000000000000000000000000000", 0.5, false),
            ("9007199254740992", 9_007_199_254_740_992.0, true),
        ] {
            assert_eq!(float_of(text), Some((value, canonical)), "{text}");
        }
        assert!(float_of("-0").is_some_and(|(value, canonical)| value.is_sign_negative() && canonical));
        assert!(float_of("-0.0").is_some_and(|(value, canonical)| value.is_sign_negative() && !canonical));
        assert!(float_of("NaN").is_some_and(|(value, canonical)| value.is_nan() && canonical));
    }

    #[test]
    fn decimal_numbers_that_a_double_does_not_hold() {
        for text in [
            "",
            "-",
            ".",
            "5.",
            "-.",
            "01.5",
            "00",
            "-01",
            "+1",
            "1e",
            "1e+",
            "e5",
            ".e5",
            "1.e5",
            "1.5.5",
            "1,5",
            " 1",
            "1 ",
            "0x10",
            "nan",
            "-NaN",
            "NAN",
            "inf",
            "Infinity",
            "1e400",
            "-1e400",
            "1e-400",
            "4.94e-324",
            "3e-324",
            "9007199254740993",
            "12345678901234567890",
            "0.1000000000000000055511151231257827",
            "1152921504606846976",
            "9223372036854775807",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "742.6e-2147483648",
        ] {
            assert_eq!(float_of(text), None, "{text}");
        }
    }

    #[test]
    fn whole_numbers_that_a_double_holds() {
        for (whole, expected) in [
            (0, true),
            (999_999_999_999_999, true),
            (9_007_199_254_740_992, true),
            (9_007_199_254_740_993, false),
            (-9_007_199_254_740_993, false),
            (1_000_000_000_000_000_000, true),
            (1_152_921_504_606_846_976, false),
            (i64::MAX, false),
            (i64::MIN, false),
        ] {
            assert_eq!(fits_float64(whole), expected, "{whole}");
        }
    }

    #[test]
    fn dates() {
        for (text, expected) in [
            ("1970-01-01", Some(0)),
            ("1969-12-31", Some(-1)),
            ("2000-02-29", Some(11_016)),
            ("0001-01-01", Some(-719_162)),
            ("9999-12-31", Some(2_932_896)),
            ("0000-01-01", None),
            ("1900-02-29", None),
            ("2021-02-30", None),
            ("2021-04-31", None),
            ("2021-13-01", None),
            ("2021-00-01", None),
            ("2021-01-00", None),
            ("2021-1-01", None),
            ("2021/01/01", None),
            ("20210101", None),
            ("2021-01-01 ", None),
            ("-021-01-01", None),
            ("+021-01-01", None),
        ] {
            assert_eq!(date(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn timestamps() {
        for (text, rendered, canonical) in [
            ("2021-01-01T18:00:00Z", "2021-01-01T18:00:00Z", true),
            ("2021-01-01T18:00:00", "2021-01-01T18:00:00", true),
            ("2021-01-01T18:00:00.003Z", "2021-01-01T18:00:00.003Z", true),
            ("2021-01-01T18:00:00.000001", "2021-01-01T18:00:00.000001", true),
            ("2021-01-01 18:00:00", "2021-01-01T18:00:00", false),
            ("2021-01-01T18:00", "2021-01-01T18:00:00", false),
            ("2021-01-01T18:00Z", "2021-01-01T18:00:00Z", false),
            ("2021-01-01T18:00:00.100Z", "2021-01-01T18:00:00.1Z", false),
            ("2021-01-01T18:00:00.0Z", "2021-01-01T18:00:00Z", false),
            ("2021-01-01T12:01:31-06:00", "2021-01-01T18:01:31Z", false),
            ("2021-01-01T12:01:31-0600", "2021-01-01T18:01:31Z", false),
            ("2021-01-01T12:01:31-06", "2021-01-01T18:01:31Z", false),
            ("2021-01-01T00:00:00+05:30", "2020-12-31T18:30:00Z", false),
            ("2021-01-01T00:00:00-00:00", "2021-01-01T00:00:00Z", false),
            ("0001-01-01T00:00:00", "0001-01-01T00:00:00", true),
            ("9999-12-31T23:59:59.999999", "9999-12-31T23:59:59.999999", true),
            ("0001-01-01T00:00:00-01:00", "0001-01-01T01:00:00Z", false),
            ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.5Z", true),
        ] {
            assert_eq!(instant(text), Some((rendered.to_owned(), canonical)), "{text}");
        }
    }

    #[test]
    fn what_is_no_timestamp() {
        for text in [
            "2021-01-01",
            "2021-01-01T",
            "2021-01-01T18",
            "2021-01-01T18:",
            "2021-01-01T18:0",
            "2021-01-01T18:00:",
            "2021-01-01T18:00:0",
            "2021-01-01T18:00:00.",
            "2021-01-01T18:00:00.Z",
            "2021-01-01T18:00:00.1234567",
            "2021-01-01T18:00:00,5",
            "2021-01-01t18:00:00",
            "2021-01-01T18:00:00z",
            "2021-01-01T18:00:00 Z",
            "2021-01-01  18:00:00",
            "2021-01-01T24:00:00",
            "2021-01-01T23:60:00",
            "2021-01-01T23:59:60",
            "2021-02-29T00:00:00",
            "2021-01-01T00:00:00+24:00",
            "2021-01-01T00:00:00+01:60",
            "2021-01-01T00:00:00+1",
            "2021-01-01T00:00:00+1:00",
            "2021-01-01T00:00:00+01:00:00",
            "2021-01-01T00:00:00+01:0",
            "2021-01-01T00:00:00+",
            "2021-01-01T00:00:00UTC",
            "2021-01-01T00:00:00ZZ",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:00-00:01",
            "0000-12-31T23:59:59Z",
            "1609524000",
        ] {
            assert_eq!(instant(text), None, "{text}");
        }
    }

    #[test]
    fn a_text_fits_the_types_that_hold_it() {
        let all = TypeSet::ALL;
        for (text, types) in [
            ("1", &[Type::Int64, Type::Float64][..]),
            ("9007199254740993", &[Type::Int64]),
            ("1.5", &[Type::Float64]),
            ("123e-00005", &[Type::Float64]),
            ("-0", &[Type::Float64]),
            ("NaN", &[Type::Float64]),
            ("true", &[Type::Boolean]),
            ("2021-01-01", &[Type::Date]),
            ("2021-01-01T00:00", &[Type::TimestampLocal]),
            ("2021-01-01T00:00Z", &[Type::TimestampUtc]),
            ("x", &[]),
            (" 1", &[]),
            ("2021-01-32", &[]),
        ] {
            assert_eq!(fit(text.as_bytes(), all).types, TypeSet::of(types), "{text}");
        }
    }

    #[test]
    fn no_value_fits_every_type() {
        assert_eq!(fit(b"1", TypeSet::TEXT).types, TypeSet::TEXT);
        assert!(fit(b"1", TypeSet::ALL).types.votes());
    }

    /// Texts that are, or nearly are, numbers.
    /// Doubles of which many lie half way between two shortest decimals.
    fn eighths() -> impl Strategy<Value = f64> {
        (0..1_i64 << 53).prop_map(|value| as_float64(value) / 8.0)
    }

    fn numberlike() -> impl Strategy<Value = String> {
        prop_oneof![
            "-?[0-9]{0,20}(\\.[0-9]{0,20})?([eE][+-]?[0-9]{0,3})?",
            any::<f64>().prop_map(|value| format!("{value}")),
            any::<f64>().prop_map(|value| format!("{value:e}")),
            any::<f64>().prop_map(|value| zmij::Buffer::new().format(value).to_owned()),
            eighths().prop_map(|value| zmij::Buffer::new().format(value).to_owned()),
            any::<i64>().prop_map(|value| value.to_string()),
            (any::<i32>(), 0..8_usize)
                .prop_map(|(value, places)| format!("{:.places$}", f64::from(value) / 1e4)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn doubles_are_those_of_the_standard_library(text in numberlike()) {
            let slow = slow_float(&text);
            let fast = float64(text.as_bytes()).map(|found| found.value);
            prop_assert_eq!(fast.map(f64::to_bits), slow.map(f64::to_bits), "{}", text);
        }

        #[test]
        fn a_double_is_read_as_it_is_rendered(value in any::<f64>()) {
            prop_assume!(value.is_finite());
            let mut text = String::new();
            write_float64(&mut text, value).unwrap();
            let found = float64(text.as_bytes());
            prop_assert_eq!(found.map(|found| (found.value.to_bits(), found.canonical)), Some((value.to_bits(), true)));
        }

        #[test]
        fn a_double_is_rendered_as_elsewhere(value in prop_oneof![any::<f64>(), eighths()]) {
            let mut text = String::new();
            write_float64(&mut text, value).unwrap();
            // The standard library's layout, with other digits only in a tie.
            let plain = value == 0.0 || (1e-5..1e16).contains(&value.abs()) || !value.is_finite();
            let theirs = if plain { format!("{value}") } else { format!("{value:e}") };
            prop_assert_eq!(text.len(), theirs.len());
            if text != theirs {
                prop_assert_eq!(slow_float(&text).map(f64::to_bits), Some(value.to_bits()), "{} {}", text, theirs);
            }
        }

        #[test]
        fn a_number_is_canonical_if_it_is_rendered_so(text in numberlike()) {
            if let Some(found) = float64(text.as_bytes()) {
                let mut rendered = String::new();
                write_float64(&mut rendered, found.value).unwrap();
                prop_assert_eq!(found.canonical, rendered == text, "{} {}", rendered, text);
            }
            let fit = fit(text.as_bytes(), TypeSet::ALL);
            if let (true, Ok(whole)) = (fit.types.has(Type::Int64), text.parse::<i64>()) {
                let float = float64(text.as_bytes());
                prop_assert_eq!(fit.types.has(Type::Float64), float.is_some());
                prop_assert_eq!(fits_float64(whole), float.is_some());
                prop_assert_eq!(fit.canonical.has(Type::Float64), float.is_some_and(|found| found.canonical));
            }
        }

        #[test]
        fn a_whole_number_is_read_as_it_is_rendered(value in any::<i64>()) {
            let mut text = String::new();
            write_int64(&mut text, value).unwrap();
            prop_assert_eq!(int64(text.as_bytes()), Some(value));
        }

        #[test]
        fn whole_numbers_are_those_of_the_standard_library(text in "-?[0-9]{0,20}") {
            let canonical = text.parse::<i64>().ok().filter(|value| value.to_string() == text);
            prop_assert_eq!(int64(text.as_bytes()), canonical);
        }

        #[test]
        fn days_are_those_of_the_calendar(days in -719_162..2_932_897) {
            let mut text = String::new();
            write_date(&mut text, days).unwrap();
            let epoch = civil::date(1970, 1, 1);
            let expected = epoch.checked_add(jiff::Span::new().days(days)).unwrap();
            prop_assert_eq!(&text, &expected.to_string());
            prop_assert_eq!(date(text.as_bytes()), Some(days));
        }

        #[test]
        fn days_that_do_not_exist_are_no_dates(text in "[0-9]{4}-[01][0-9]-[0-3][0-9]") {
            let expected = text.parse::<civil::Date>().ok().filter(|day| day.year() > 0);
            prop_assert_eq!(date(text.as_bytes()).is_some(), expected.is_some(), "{}", text);
        }

        #[test]
        fn an_instant_is_read_as_it_is_rendered(micros in -62_135_596_800_000_000..253_402_300_800_000_000_i64, utc: bool) {
            let value = Micros { micros, utc };
            let mut text = String::new();
            write_timestamp(&mut text, value).unwrap();
            prop_assert_eq!(timestamp(text.as_bytes()), Some(Parsed { value, canonical: true }));
            if utc && micros < 253_402_200_000_000_000 {
                let expected = jiff::Timestamp::from_microsecond(micros).unwrap();
                prop_assert_eq!(text, expected.to_string());
            }
        }

        #[test]
        fn instants_are_those_of_the_calendar(
            text in "(1|2|9)[0-9]{3}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9](:[0-6][0-9](\\.[0-9]{1,6})?)?",
            offset in "(Z|[+-](0[0-9]|1[0-5])(:?[0-6][0-9])?)?",
        ) {
            let text = format!("{text}{offset}");
            let found = timestamp(text.as_bytes()).map(|found| (found.value.micros, found.value.utc));
            prop_assert_eq!(found, slow_timestamp(&text), "{}", text);
        }
    }
}
