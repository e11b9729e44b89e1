//! Windows of event time, and when each closes.

use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

const NANOSECONDS_PER_SECOND: i128 = 1_000_000_000;

/// How long windows are, in minutes: a divisor of 60, so that windows stand aligned to the hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct WindowLength {
    minutes: u8,
}

/// Why a number of minutes is no length of windows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "windows of `{0}` minutes do not align to the hour: expected 1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30 or 60"
)]
pub struct WindowLengthError(u8);

impl WindowLength {
    /// # Errors
    ///
    /// [`WindowLengthError`] unless `minutes` divides 60.
    pub fn from_minutes(minutes: u8) -> Result<Self, WindowLengthError> {
        match minutes {
            1..=60 if 60 % minutes == 0 => Ok(Self { minutes }),
            _ => Err(WindowLengthError(minutes)),
        }
    }

    /// In minutes.
    pub fn minutes(self) -> u8 {
        self.minutes
    }

    fn duration(self) -> SignedDuration {
        SignedDuration::from_mins(i64::from(self.minutes))
    }
}

impl std::str::FromStr for WindowLength {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let minutes = text.parse().map_err(|_| format!("`{text}` is not a number of minutes"))?;
        Self::from_minutes(minutes).map_err(|error| error.to_string())
    }
}

impl TryFrom<u8> for WindowLength {
    type Error = WindowLengthError;

    fn try_from(minutes: u8) -> Result<Self, Self::Error> {
        Self::from_minutes(minutes)
    }
}

impl From<WindowLength> for u8 {
    fn from(length: WindowLength) -> Self {
        length.minutes
    }
}

/// A half-open span of event time, `start..end`, aligned to the hour.
///
/// As JSON: `{"id","start","end","minutes"}`, and nothing that contradicts itself is read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "WindowJson", into = "WindowJson")]
pub struct Window {
    start: Timestamp,
    end: Timestamp,
    length: WindowLength,
}

/// Why there is no such window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// An instant at the very edge of the calendar.
    #[error("the window of `{0}` reaches beyond the years that can be computed with")]
    OutOfRange(Timestamp),
    /// A window's description whose parts do not belong together.
    #[error("`{id}` is not the window of {minutes} minutes from `{start}` to `{end}`")]
    Contradiction {
        /// The id, as given.
        id: String,
        /// The start, as given.
        start: Timestamp,
        /// The end, as given.
        end: Timestamp,
        /// The length, as given.
        minutes: u8,
    },
}

impl Window {
    /// The window that `time` belongs to.
    ///
    /// ```
    /// # use window::{Window, WindowLength};
    /// let five = WindowLength::from_minutes(5)?;
    /// let window = Window::of("2021-01-01T18:05:00Z".parse()?, five)?;
    /// assert_eq!(window.id(), "20210101T180500Z");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`WindowError::OutOfRange`] within one window of the first or last instant that [`Timestamp`] can hold.
    pub fn of(time: Timestamp, length: WindowLength) -> Result<Self, WindowError> {
        let out_of_range = |_| WindowError::OutOfRange(time);
        let span = length.duration().as_nanos();
        let start =
            Timestamp::from_nanosecond(time.as_nanosecond().div_euclid(span) * span).map_err(out_of_range)?;
        let end = start.checked_add(length.duration()).map_err(out_of_range)?;
        Ok(Self { start, end, length })
    }

    /// The first instant that belongs to it.
    pub fn start(&self) -> Timestamp {
        self.start
    }

    /// The first instant that no longer belongs to it.
    pub fn end(&self) -> Timestamp {
        self.end
    }

    /// How long it is.
    pub fn length(&self) -> WindowLength {
        self.length
    }

    /// Its start in UTC, in basic form: colons break Hadoop paths, and are illegal in names of executions.
    pub fn id(&self) -> String {
        let start = Offset::UTC.to_datetime(self.start);
        format!(
            "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
            start.year(),
            start.month(),
            start.day(),
            start.hour(),
            start.minute(),
            start.second()
        )
    }

    /// When its files have had their time: the later of its end and `announced` (the message's own timestamp, so
    /// that history need not wait for a clock that has passed), and `grace_seconds` more, rounded up to a second
    /// because a Wait state cuts fractions off.
    ///
    /// # Errors
    ///
    /// [`WindowError::OutOfRange`] when that instant cannot be computed with.
    pub fn closes_at(&self, announced: Timestamp, grace_seconds: u32) -> Result<Timestamp, WindowError> {
        let out_of_range = |_| WindowError::OutOfRange(self.end);
        let closes = self
            .end
            .max(announced)
            .checked_add(SignedDuration::from_secs(i64::from(grace_seconds)))
            .map_err(out_of_range)?
            .as_nanosecond();
        let seconds = -(-closes).div_euclid(NANOSECONDS_PER_SECOND);
        Timestamp::from_nanosecond(seconds * NANOSECONDS_PER_SECOND).map_err(out_of_range)
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.id())
    }
}

#[derive(Serialize, Deserialize)]
struct WindowJson {
    id: String,
    start: Timestamp,
    end: Timestamp,
    minutes: u8,
}

impl From<Window> for WindowJson {
    fn from(window: Window) -> Self {
        Self { id: window.id(), start: window.start, end: window.end, minutes: window.length.minutes }
    }
}

impl TryFrom<WindowJson> for Window {
    type Error = WindowError;

    fn try_from(json: WindowJson) -> Result<Self, Self::Error> {
        let window = WindowLength::from_minutes(json.minutes)
            .ok()
            .and_then(|length| Window::of(json.start, length).ok())
            .filter(|window| window.start == json.start && window.end == json.end && window.id() == json.id);
        window.ok_or(WindowError::Contradiction {
            id: json.id,
            start: json.start,
            end: json.end,
            minutes: json.minutes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn five() -> WindowLength {
        WindowLength::from_minutes(5).unwrap()
    }

    #[test]
    fn an_instant_on_the_boundary_belongs_to_the_window_that_starts_there() {
        for (time, id) in [
            ("2021-01-01T18:01:31Z", "20210101T180000Z"),
            ("2021-01-01T18:04:59.999999999Z", "20210101T180000Z"),
            ("2021-01-01T18:05:00Z", "20210101T180500Z"),
            ("1969-12-31T23:59:59.999999999Z", "19691231T235500Z"),
            ("2021-01-01T12:01:31-06:00", "20210101T180000Z"),
        ] {
            assert_eq!(Window::of(at(time), five()).unwrap().id(), id, "{time}");
        }
    }

    #[test]
    fn only_divisors_of_sixty_are_lengths() {
        let lengths: Vec<u8> = (0..=u8::MAX).filter(|m| WindowLength::from_minutes(*m).is_ok()).collect();
        assert_eq!(lengths, [1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60]);
        assert!(WindowLength::from_minutes(7).unwrap_err().to_string().contains("`7`"));
    }

    #[test]
    fn live_data_waits_for_the_end_of_its_window_and_history_for_the_grace_only() {
        let window = Window::of(at("2021-01-01T18:01:31Z"), five()).unwrap();
        for (announced, closes) in [
            ("2021-01-01T18:02:00.123Z", "2021-01-01T18:06:00Z"),
            ("2021-01-01T18:05:00Z", "2021-01-01T18:06:00Z"),
            ("2021-01-01T18:05:00.001Z", "2021-01-01T18:06:01Z"),
            ("2026-11-22T10:00:00Z", "2026-11-22T10:01:00Z"),
        ] {
            assert_eq!(window.closes_at(at(announced), 60).unwrap(), at(closes), "{announced}");
        }
    }

    #[test]
    fn reads_back_its_own_json_and_no_contradiction() {
        let window = Window::of(at("2021-01-01T18:01:31Z"), five()).unwrap();
        let json = serde_json::to_string(&window).unwrap();
        assert_eq!(
            json,
            r#"{"id":"20210101T180000Z","start":"2021-01-01T18:00:00Z","end":"2021-01-01T18:05:00Z","minutes":5}"#
        );
        assert_eq!(serde_json::from_str::<Window>(&json).unwrap(), window);
        for (from, to) in [("T180000Z", "T180500Z"), ("18:05:00", "18:06:00"), (":5}", ":6}"), (":5}", ":7}")]
        {
            assert!(serde_json::from_str::<Window>(&json.replacen(from, to, 1)).is_err(), "{from} -> {to}");
        }
    }

    proptest! {
        #[test]
        fn every_instant_lies_in_its_window_and_the_start_is_its_own_floor(
            nanosecond in -60_000_000_000_000_000_000_i128..250_000_000_000_000_000_000,
            minutes in proptest::sample::select(vec![1_u8, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60]),
        ) {
            let time = Timestamp::from_nanosecond(nanosecond).unwrap();
            let length = WindowLength::from_minutes(minutes).unwrap();
            let window = Window::of(time, length).unwrap();
            prop_assert!(window.start() <= time && time < window.end());
            prop_assert_eq!(Window::of(window.start(), length).unwrap(), window);
            prop_assert_eq!(window.start().as_second().rem_euclid(3600) % (i64::from(minutes) * 60), 0);
        }
    }
}
