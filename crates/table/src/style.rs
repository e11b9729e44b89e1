//! How the values of one column are spelled.
//!
//! A type renders each value as one text. Where a file has another for all of them, `1.50` or `2021-01-01 00:00:00`,
//! the column's style says so, and renders that: so a fragment keeps only those texts that are out of style.
//!
//! The law: what a style takes for its own, it renders to the letter.

use std::fmt::{self, Write};

use serde::{Deserialize, Serialize};

use crate::digits;
use crate::value::{self, Clock, Micros};

/// A column's spelling.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Style {
    /// The one by which the type itself renders.
    #[default]
    Canonical,
    /// Booleans in title case: `True`.
    Title,
    /// Booleans in upper case: `TRUE`.
    Upper,
    /// Numbers with so many digits after the point: `1.50`.
    Decimals(u8),
    /// Timestamps of one form.
    Timestamp(TimestampStyle),
}

/// The form of a timestamp.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct TimestampStyle {
    /// Between date and time: `T` or a space.
    pub(crate) separator: char,
    /// Digits of the seconds' fraction; none where seconds are left out.
    pub(crate) decimals: Option<u8>,
    /// As it stands there: `Z`, `+02:00`, nothing.
    pub(crate) offset: String,
}

/// No number of more digits comes back from its double for sure.
const SURE_DIGITS: usize = 15;

impl Style {
    /// Whether a style other than the type's own.
    pub(crate) fn is_canonical(&self) -> bool {
        *self == Self::Canonical
    }

    /// The style of a boolean.
    pub(crate) fn of_boolean(text: &[u8]) -> Self {
        match text {
            b"True" | b"False" => Self::Title,
            b"TRUE" | b"FALSE" => Self::Upper,
            _ => Self::Canonical,
        }
    }

    /// The style of a number that a double holds.
    pub(crate) fn of_number(text: &[u8]) -> Self {
        let decimals =
            text.iter().rev().position(|byte| *byte == b'.').and_then(|digits| u8::try_from(digits).ok());
        decimals
            .filter(|decimals| *decimals > 0 && decimal(text, *decimals).is_some())
            .map_or(Self::Canonical, Self::Decimals)
    }

    /// The style of a timestamp.
    pub(crate) fn of_timestamp(text: &[u8]) -> Self {
        let clock = &text[..text.len().min(16)];
        let rest = &text[clock.len()..];
        let offset_at = rest.iter().position(|byte| matches!(byte, b'Z' | b'+' | b'-')).unwrap_or(rest.len());
        let decimals = match &rest[..offset_at] {
            [] => None,
            seconds => Some(u8::try_from(seconds.len().saturating_sub(4)).unwrap_or(u8::MAX)),
        };
        let style = TimestampStyle {
            separator: clock.get(10).copied().map_or('T', char::from),
            decimals,
            offset: String::from_utf8_lossy(&rest[offset_at..]).into_owned(),
        };
        match TimestampReader::new(&style).read(text) {
            Some(_) => Self::Timestamp(style),
            None => Self::Canonical,
        }
    }

    /// Renders a boolean.
    pub(crate) fn write_boolean(&self, out: &mut impl Write, value: bool) -> fmt::Result {
        out.write_str(match (self, value) {
            (Self::Title, true) => "True",
            (Self::Title, false) => "False",
            (Self::Upper, true) => "TRUE",
            (Self::Upper, false) => "FALSE",
            _ => return value::write_boolean(out, value),
        })
    }

    /// Renders a double.
    pub(crate) fn write_float64(&self, out: &mut impl Write, value: f64) -> fmt::Result {
        match self {
            Self::Decimals(decimals) => write!(out, "{value:.*}", usize::from(*decimals)),
            _ => value::write_float64(out, value),
        }
    }

    /// Renders an instant or a clock's reading.
    pub(crate) fn write_timestamp(&self, out: &mut impl Write, value: Micros) -> fmt::Result {
        let Self::Timestamp(style) = self else { return value::write_timestamp(out, value) };
        let offset = value::offset_minutes(style.offset.as_bytes()).unwrap_or(0);
        let Clock { day, hour, minute, second, micros } =
            Clock::of(value.micros + offset * 60 * value::MICROS_A_SECOND);
        value::write_date(out, day)?;
        write!(out, "{}{hour:02}:{minute:02}", style.separator)?;
        if let Some(decimals) = style.decimals {
            write!(out, ":{second:02}")?;
            if decimals > 0 {
                let digits = usize::from(decimals.min(6));
                write!(out, ".{}", &format!("{micros:06}")[..digits])?;
            }
        }
        out.write_str(&style.offset)
    }
}

/// Reads a number with so many digits after the point, and not too many in all.
#[inline]
pub(crate) fn decimal(text: &[u8], decimals: u8) -> Option<f64> {
    let decimals = usize::from(decimals);
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let point = digits.len().checked_sub(decimals + 1)?;
    if digits[point] != b'.'
        || point == 0
        || point + decimals > SURE_DIGITS
        || (point > 1 && digits[0] == b'0')
    {
        return None;
    }
    let whole = digits::number(&digits[..point])?;
    let mantissa = whole * digits::POWERS[decimals] + digits::number(&digits[point + 1..])?;
    // Both are exact, so that the one rounding gives the nearest double.
    #[expect(clippy::cast_precision_loss, reason = "15 digits are below 2^53")]
    let magnitude = mantissa as f64 / value::EXACT_POWERS[decimals];
    Some(if negative { -magnitude } else { magnitude })
}

/// Bytes of a timestamp to its minute, and of the longest offset.
const MINUTE: usize = 16;
const MAX_OFFSET: usize = 6;

/// Reads timestamps of one form, one after the other: those that follow each other mostly share their minute.
pub(crate) struct TimestampReader {
    length: usize,
    seconds: bool,
    decimals: usize,
    offset: Vec<u8>,
    /// What makes a fraction's digits microseconds.
    scale: i64,
    separator: u8,
    offset_minutes: i64,
    /// `YYYY-MM-DDTHH:MM` as it was last read, and where that minute starts.
    minute: [u8; MINUTE],
    minute_micros: i64,
}

impl TimestampReader {
    pub(crate) fn new(style: &TimestampStyle) -> Self {
        let decimals = usize::from(style.decimals.unwrap_or(0)).min(6);
        let clock = match style.decimals {
            None => 16,
            Some(0) => 19,
            Some(decimals) => 20 + usize::from(decimals),
        };
        let offset = style.offset.as_bytes();
        Self {
            length: clock + offset.len(),
            seconds: style.decimals.is_some(),
            decimals: usize::from(style.decimals.unwrap_or(0)),
            offset: offset.to_vec(),
            scale: 10_i64.pow(u32::try_from(6 - decimals).unwrap_or(0)),
            separator: u8::try_from(style.separator).unwrap_or(b'T'),
            offset_minutes: value::offset_minutes(offset).unwrap_or(i64::MIN),
            minute: [0; MINUTE],
            minute_micros: 0,
        }
    }

    /// The microseconds of a text that the style renders as it stands.
    #[inline]
    pub(crate) fn read(&mut self, text: &[u8]) -> Option<i64> {
        if text.len() != self.length || self.decimals > 6 {
            return None;
        }
        let (minute, rest) = text.split_first_chunk::<MINUTE>()?;
        if *minute != self.minute {
            self.start_minute(minute)?;
        }
        let (rest, offset) = rest.split_at(rest.len() - self.offset.len());
        if offset != self.offset {
            return None;
        }
        if !self.seconds {
            return Some(self.minute_micros);
        }
        let [b':', tens @ b'0'..=b'5', ones @ b'0'..=b'9', fraction @ ..] = rest else { return None };
        let seconds = i64::from(tens - b'0') * 10 + i64::from(ones - b'0');
        let mut micros = 0;
        if let [point, digits @ ..] = fraction {
            if *point != b'.' {
                return None;
            }
            for digit in digits {
                let digit = digit.wrapping_sub(b'0');
                if digit > 9 {
                    return None;
                }
                micros = micros * 10 + i64::from(digit);
            }
        }
        Some(self.minute_micros + seconds * value::MICROS_A_SECOND + micros * self.scale)
    }

    #[cold]
    fn start_minute(&mut self, text: &[u8; MINUTE]) -> Option<()> {
        if text[10] != self.separator || self.offset_minutes == i64::MIN {
            return None;
        }
        // With the offset, since together they may leave the years that are held.
        let mut whole = [0; MINUTE + MAX_OFFSET];
        let (minute, rest) = whole.split_at_mut(MINUTE);
        minute.copy_from_slice(text);
        rest.get_mut(..self.offset.len())?.copy_from_slice(&self.offset);
        self.minute_micros = value::timestamp(&whole[..MINUTE + self.offset.len()])?.value.micros;
        self.minute = *text;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rendered(write: impl FnOnce(&mut String) -> fmt::Result) -> String {
        let mut text = String::new();
        write(&mut text).unwrap();
        text
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn a_number_in_style_is_rendered_to_the_letter(
            text in "-?(0|[1-9][0-9]{0,9}|[0-9]{1,17})(\\.[0-9]{1,16})?([eE][+-]?[0-9]{1,3})?",
            other in "-?[0-9]{1,12}\\.[0-9]{1,4}",
        ) {
            let style = Style::of_number(text.as_bytes());
            if let Style::Decimals(decimals) = style {
                for text in [text, other] {
                    if let Some(value) = decimal(text.as_bytes(), decimals) {
                        prop_assert_eq!(value.to_bits(), text.parse::<f64>().unwrap().to_bits());
                        prop_assert_eq!(rendered(|out| style.write_float64(out, value)), text);
                    }
                }
            }
        }

        #[test]
        fn a_timestamp_in_style_is_rendered_to_the_letter(
            text in "(0000|00[0-9]{2}|20[0-9]{2}|9999)-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[T ]([01][0-9]|2[0-4]):[0-6][0-9](:[0-6][0-9](\\.[0-9]{1,7})?)?(Z|[+-](0[0-9]|1[0-9]|2[0-4])(:?[0-6][0-9])?)?",
            seconds in 0..60_u8,
        ) {
            let style = Style::of_timestamp(text.as_bytes());
            if let Style::Timestamp(form) = &style {
                let mut reader = TimestampReader::new(form);
                // The next one shares its minute.
                let mut next = text.clone();
                if next.as_bytes().get(16) == Some(&b':') {
                    next.replace_range(17..19, &format!("{seconds:02}"));
                }
                for text in [text, next] {
                    let micros = reader.read(text.as_bytes());
                    let value = value::timestamp(text.as_bytes()).unwrap().value;
                    prop_assert_eq!(micros, Some(value.micros));
                    prop_assert_eq!(rendered(|out| style.write_timestamp(out, value)), text);
                }
            }
        }
    }

    #[test]
    fn a_boolean_in_style_is_rendered_to_the_letter() {
        for text in ["true", "True", "TRUE", "false", "False", "FALSE"] {
            let style = Style::of_boolean(text.as_bytes());
            let value = text.eq_ignore_ascii_case("true");
            assert_eq!(rendered(|out| style.write_boolean(out, value)), text);
        }
    }
}
