//! The time that a file's name stands for.

use jiff::civil::{Date, DateTime, ISOWeekDate, Time, Weekday};
use jiff::tz::Offset;
use jiff::{Span, Timestamp};

/// Endings of a file that is announced, longest first.
const ENDINGS: [&str; 3] = [".csv.zst", ".csv.gz", ".csv"];

/// Why a file's name is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a time: {reason}")]
pub struct FileTimeError {
    /// The file's base name.
    pub name: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Why a text is not an offset from UTC.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an offset from UTC: expected `Z`, `±hh`, `±hhmm` or `±hh:mm`, at most 23:59")]
pub struct OffsetError(String);

/// Reads the time from the base name of `key`: ISO 8601, tolerantly.
///
/// Accepted are calendar, ordinal and week dates in basic and extended form, unpadded month, day and hour in
/// extended form, a fraction with `.` or `,` of any length (kept to the nanosecond), seconds left out, `24:00`,
/// `:60` (taken as `:59`), and the offsets of [`parse_offset`]. Without an offset, `default_offset` holds.
///
/// ```
/// use jiff::tz::Offset;
/// let time = window::file_time::parse("a/input/2021-01-1T12:01:31-06:00.csv", Offset::UTC)?;
/// assert_eq!(time.to_string(), "2021-01-01T18:01:31Z");
/// assert!(window::file_time::parse("a/input/2021-01-01.csv", Offset::UTC).is_err());
/// # Ok::<(), window::file_time::FileTimeError>(())
/// ```
///
/// # Errors
///
/// [`FileTimeError`] when the name does not end in `.csv`, `.csv.gz` or `.csv.zst` (in any case), is a date or an
/// hour alone, is no ISO 8601 time, or names a day, hour or offset that does not exist.
pub fn parse(key: &str, default_offset: Offset) -> Result<Timestamp, FileTimeError> {
    let name = key.rsplit('/').next().unwrap_or(key);
    let refuse = |reason| FileTimeError { name: name.to_owned(), reason };
    let stem = ENDINGS
        .iter()
        .find_map(|ending| strip_ending(name, ending))
        .ok_or_else(|| refuse("it does not end in `.csv`, `.csv.gz` or `.csv.zst`"))?;
    let (datetime, offset) = parse_stem(stem).map_err(refuse)?;
    offset
        .unwrap_or(default_offset)
        .to_timestamp(datetime)
        .map_err(|_| refuse("it lies outside the years that can be computed with"))
}

/// Reads an offset from UTC: `Z`, `±hh`, `±hhmm` or `±hh:mm`.
///
/// # Errors
///
/// [`OffsetError`] when the text is anything else, or an offset of 24 hours or more.
pub fn parse_offset(text: &str) -> Result<Offset, OffsetError> {
    offset(text).ok_or_else(|| OffsetError(text.to_owned()))
}

fn strip_ending<'a>(name: &'a str, ending: &str) -> Option<&'a str> {
    let at = name.len().checked_sub(ending.len())?;
    let tail = name.get(at..)?;
    tail.eq_ignore_ascii_case(ending).then(|| &name[..at])
}

fn parse_stem(stem: &str) -> Result<(DateTime, Option<Offset>), &'static str> {
    let Some((date, rest)) = stem.split_once(['T', 't', ' ']) else {
        return Err("a time of day is missing (expected `<date>T<time>`, as in `2021-01-01T12:01:31Z`)");
    };
    let date = parse_date(date)?;
    // `-` in the time part can only begin an offset; U+2212 is ISO 8601's own minus.
    let (time, zone) = match rest.find(['Z', 'z', '+', '-', '\u{2212}']) {
        Some(at) => (&rest[..at], Some(&rest[at..])),
        None => (rest, None),
    };
    let offset = match zone {
        Some(zone) => Some(
            offset(zone)
                .ok_or("its offset is none of `Z`, `±hh`, `±hhmm`, `±hh:mm`, or not below 24 hours")?,
        ),
        None => None,
    };
    let (time, next_day) = parse_time(time)?;
    let mut datetime = date.to_datetime(time);
    if next_day {
        datetime =
            datetime.checked_add(Span::new().days(1)).map_err(|_| "the day after it does not exist")?;
    }
    Ok((datetime, offset))
}

fn parse_date(text: &str) -> Result<Date, &'static str> {
    const FORM: &str =
        "its date is none of `YYYY-MM-DD`, `YYYYMMDD`, `YYYY-DDD`, `YYYYDDD`, `YYYY-Www-D`, `YYYYWwwD`";
    const ABSENT: &str = "there is no such day in the calendar";
    let (year, rest) = text.split_at_checked(4).ok_or(FORM)?;
    let year: i16 = number(year, 4..=4).ok_or(FORM)?;
    let (rest, extended) = match rest.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    if let Some(week) = rest.strip_prefix(['W', 'w']) {
        let (week, day) = if extended {
            week.split_once('-').ok_or(FORM)?
        } else {
            week.split_at_checked(2).ok_or(FORM)?
        };
        let week: i8 = number(week, 2..=2).ok_or(FORM)?;
        let day: i8 = number(day, 1..=1).ok_or(FORM)?;
        let day = Weekday::from_monday_one_offset(day).map_err(|_| ABSENT)?;
        return ISOWeekDate::new(year, week, day).map(ISOWeekDate::date).map_err(|_| ABSENT);
    }
    if rest.len() == 3 && !rest.contains('-') {
        let day: i16 = number(rest, 3..=3).ok_or(FORM)?;
        let first = Date::new(year, 1, 1).map_err(|_| ABSENT)?;
        return first.with().day_of_year(day).build().map_err(|_| ABSENT);
    }
    let (month, day, widths) = if extended {
        let (month, day) = rest.split_once('-').ok_or(FORM)?;
        (month, day, 1..=2)
    } else {
        let (month, day) = rest.split_at_checked(2).ok_or(FORM)?;
        (month, day, 2..=2)
    };
    let month: i8 = number(month, widths.clone()).ok_or(FORM)?;
    let day: i8 = number(day, widths).ok_or(FORM)?;
    Date::new(year, month, day).map_err(|_| ABSENT)
}

/// The time of day, and whether it is that of the next day (`24:00`).
fn parse_time(text: &str) -> Result<(Time, bool), &'static str> {
    const FORM: &str = "its time of day is none of `hh:mm`, `hh:mm:ss`, `hhmm`, `hhmmss` (with a fraction)";
    const ABSENT: &str = "there is no such time of day";
    let (whole, fraction) = match text.split_once(['.', ',']) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let (hour, minute, second) = if whole.contains(':') {
        let mut parts = whole.split(':');
        let hour: i8 = parts.next().and_then(|hour| number(hour, 1..=2)).ok_or(FORM)?;
        let minute: i8 = parts.next().and_then(|minute| number(minute, 2..=2)).ok_or(FORM)?;
        let second: Option<i8> = match parts.next() {
            Some(second) => Some(number(second, 2..=2).ok_or(FORM)?),
            None => None,
        };
        if parts.next().is_some() {
            return Err(FORM);
        }
        (hour, minute, second)
    } else {
        let digits: u32 = number(whole, 1..=6).ok_or(FORM)?;
        let part = |divisor: u32| i8::try_from(digits / divisor % 100).map_err(|_| FORM);
        match whole.len() {
            1 | 2 => return Err("an hour alone is not a time (minutes are missing)"),
            4 => (part(100)?, part(1)?, None),
            6 => (part(10_000)?, part(100)?, Some(part(1)?)),
            _ => return Err(FORM),
        }
    };
    // A fraction belongs to the last unit that is written: of the minute when seconds are left out.
    let unit: i64 = if second.is_some() { 1_000_000_000 } else { 60_000_000_000 };
    let nanoseconds = fraction.map_or(Some(0), |digits| fraction_of(digits, unit)).ok_or(FORM)?;
    if minute > 59 || second.is_some_and(|second| second > 60) {
        return Err(ABSENT);
    }
    if hour == 24 {
        let midnight = minute == 0 && second.unwrap_or(0) == 0 && nanoseconds == 0;
        return if midnight { Ok((Time::midnight(), true)) } else { Err(ABSENT) };
    }
    // A leap second is filed with the second before it, so that it stays in its minute.
    let second = i64::from(second.unwrap_or(0).min(59)) + nanoseconds / 1_000_000_000;
    let second = i8::try_from(second).map_err(|_| ABSENT)?;
    let subsecond = i32::try_from(nanoseconds % 1_000_000_000).map_err(|_| ABSENT)?;
    Time::new(hour, minute, second, subsecond).map(|time| (time, false)).map_err(|_| ABSENT)
}

/// `0.digits` of `unit` nanoseconds, rounded down.
fn fraction_of(digits: &str, unit: i64) -> Option<i64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Twelve digits of a minute are finer than a nanosecond; later ones cannot matter.
    let kept = &digits[..digits.len().min(12)];
    let numerator: i128 = kept.parse().ok()?;
    let denominator = 10_i128.pow(u32::try_from(kept.len()).ok()?);
    i64::try_from(numerator * i128::from(unit) / denominator).ok()
}

fn offset(text: &str) -> Option<Offset> {
    if matches!(text, "Z" | "z") {
        return Some(Offset::UTC);
    }
    let (sign, rest) = match text.strip_prefix('+') {
        Some(rest) => (1, rest),
        None => (-1, text.strip_prefix(['-', '\u{2212}'])?),
    };
    let (hours, minutes) = match (rest.len(), rest.split_once(':')) {
        (2, None) => (rest, "00"),
        (4, None) => rest.split_at_checked(2)?,
        (5, Some(pair)) => pair,
        _ => return None,
    };
    let hours: i32 = number(hours, 2..=2)?;
    let minutes: i32 = number(minutes, 2..=2)?;
    if hours > 23 || minutes > 59 {
        return None;
    }
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

/// Decimal ASCII digits only: `str::parse` would also take a sign.
fn number<N: std::str::FromStr>(text: &str, widths: std::ops::RangeInclusive<usize>) -> Option<N> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    (digits && widths.contains(&text.len())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(name: &str) -> Result<String, String> {
        parse(name, Offset::UTC).map(|time| time.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_every_form_that_is_promised() {
        for (name, expected) in [
            ("2021-01-1T12:01:31-06:00.csv", "2021-01-01T18:01:31Z"),
            ("infra-eng/x/input/2021-1-1T9:05:00Z.csv", "2021-01-01T09:05:00Z"),
            ("20210101T120131Z.csv", "2021-01-01T12:01:31Z"),
            ("20210101T12:01:31Z.csv", "2021-01-01T12:01:31Z"),
            ("2021-01-01T120131-0600.csv", "2021-01-01T18:01:31Z"),
            ("2021-01-01T12:01:31+05.csv", "2021-01-01T07:01:31Z"),
            ("2021-01-01T12:01:31\u{2212}06:00.csv", "2021-01-01T18:01:31Z"),
            ("2021-001T12:01Z.csv", "2021-01-01T12:01:00Z"),
            ("2021001T1201Z.csv", "2021-01-01T12:01:00Z"),
            ("2020-366T00:00Z.csv", "2020-12-31T00:00:00Z"),
            ("2021-W01-5T12:01Z.csv", "2021-01-08T12:01:00Z"),
            ("2021W015T1201Z.csv", "2021-01-08T12:01:00Z"),
            ("2020-W53-5T00:00Z.csv", "2021-01-01T00:00:00Z"),
            ("2021-01-01T12:01:31.25Z.csv", "2021-01-01T12:01:31.25Z"),
            ("2021-01-01T12:01:31,25Z.csv", "2021-01-01T12:01:31.25Z"),
            ("2021-01-01T12:01:31.1234567899Z.csv", "2021-01-01T12:01:31.123456789Z"),
            ("2021-01-01T12:01.5Z.csv", "2021-01-01T12:01:30Z"),
            ("2021-01-01T24:00Z.csv", "2021-01-02T00:00:00Z"),
            ("2020-12-31T24:00:00.0Z.csv", "2021-01-01T00:00:00Z"),
            ("2016-12-31T23:59:60Z.csv", "2016-12-31T23:59:59Z"),
            ("2016-12-31T23:59:60.5Z.csv", "2016-12-31T23:59:59.5Z"),
            ("2021-01-01T12:01:31.csv", "2021-01-01T12:01:31Z"),
            ("2021-01-01t12:01:31z.CSV.GZ", "2021-01-01T12:01:31Z"),
            ("2021-01-01 12:01:31.csv.zst", "2021-01-01T12:01:31Z"),
            ("1969-12-31T23:59:59.5Z.csv", "1969-12-31T23:59:59.5Z"),
        ] {
            assert_eq!(read(name), Ok(expected.to_owned()), "{name}");
        }
    }

    #[test]
    fn takes_the_default_offset_where_a_name_has_none() {
        let offset = parse_offset("-06:00").unwrap();
        assert_eq!(parse("2021-01-01T12:00.csv", offset).unwrap().to_string(), "2021-01-01T18:00:00Z");
        assert_eq!(parse("2021-01-01T12:00Z.csv", offset).unwrap().to_string(), "2021-01-01T12:00:00Z");
    }

    #[test]
    fn refuses_what_is_no_time_and_says_why() {
        for (name, reason) in [
            ("2021-01-01.csv", "a time of day is missing"),
            ("2021-01-01T12.csv", "an hour alone"),
            ("2021-01-01T12Z.csv", "an hour alone"),
            ("2021-01T12:00.csv", "its date is none of"),
            ("21-01-01T12:00.csv", "its date is none of"),
            ("2021-13-01T12:00.csv", "no such day"),
            ("2021-02-29T12:00.csv", "no such day"),
            ("2021-366T12:00.csv", "no such day"),
            ("2021-000T12:00.csv", "no such day"),
            ("2021-W54-1T12:00.csv", "no such day"),
            ("2021-W01-8T12:00.csv", "no such day"),
            ("2021-01-01T25:00.csv", "no such time"),
            ("2021-01-01T24:00:01.csv", "no such time"),
            ("2021-01-01T12:60.csv", "no such time"),
            ("2021-01-01T12:00:61.csv", "no such time"),
            ("2021-01-01T12:0.csv", "its time of day"),
            ("2021-01-01T12:00:00:00.csv", "its time of day"),
            ("2021-01-01T12:00:00..csv", "its time of day"),
            ("2021-01-01T12:00+24:00.csv", "its offset"),
            ("2021-01-01T12:00+6.csv", "its offset"),
            ("2021-01-01T12:00ZZ.csv", "its offset"),
            ("+021-01-01T12:00.csv", "its date"),
            ("2021-+1-01T12:00.csv", "its date"),
            ("readme.csv", "a time of day is missing"),
            ("report.csv", "its date"),
            ("2021-01-01T12:00.parquet", "does not end in"),
            ("٢٠٢١-01-01T12:00.csv", "its date"),
            (".csv", "a time of day is missing"),
            ("", "does not end in"),
        ] {
            let error = read(name).expect_err(name);
            assert!(error.contains(reason), "{name}: {error}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(name in "\\PC{0,40}") {
            let _ = parse(&name, Offset::UTC);
            let _ = parse(&format!("{name}.csv"), Offset::UTC);
        }

        #[test]
        fn reads_back_every_instant_that_is_written(nanosecond in -62_000_000_000_000_000_000_i128..253_000_000_000_000_000_000) {
            let time = Timestamp::from_nanosecond(nanosecond).unwrap();
            prop_assert_eq!(parse(&format!("{time}.csv"), Offset::UTC), Ok(time));
        }
    }
}
