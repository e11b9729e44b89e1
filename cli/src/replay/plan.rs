//! Which files and results fall into the time that is asked for, and what is announced together. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::tz::Offset;
use window::{ObjectKey, OutputPrefix, SourcePrefix, Window, WindowLength, file_time};

use crate::aws::Error;

/// Files of a message, and results beside them, at the most: as many as fit one execution.
const MOST: usize = window::payload::FILES_PER_EXECUTION;
/// Names that are told where there are many.
const NAMED: usize = 5;

/// The time that is asked for: from the first on, up to the second without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) from: Option<Timestamp>,
    pub(super) to: Option<Timestamp>,
}

impl Range {
    pub(super) fn read(from: Option<&str>, to: Option<&str>, offset: Offset) -> Result<Self, Error> {
        let read = |text: &str| time(text, offset);
        let range = Self { from: from.map(read).transpose()?, to: to.map(read).transpose()? };
        if let Self { from: Some(from), to: Some(to) } = range
            && from >= to
        {
            return Err(Error::Other(format!("there is no time from {from} to {to}")));
        }
        Ok(range)
    }

    fn contains(self, time: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= time) && self.to.is_none_or(|to| time < to)
    }

    fn touches(self, window: &Window) -> bool {
        self.from.is_none_or(|from| from < window.end()) && self.to.is_none_or(|to| window.start() < to)
    }

    /// Where to begin so that the window of `start` is whole, as far as it was asked for.
    pub(super) fn going_on_at(self, start: Timestamp) -> Timestamp {
        self.from.map_or(start, |from| from.max(start))
    }
}

/// A date, which is its midnight, or a time as in a file's name.
fn time(text: &str, offset: Offset) -> Result<Timestamp, Error> {
    let as_name = |stem: &str| file_time::parse(&format!("{stem}.csv"), offset);
    as_name(text).or_else(|error| as_name(&format!("{text}T00:00")).map_err(|_| error)).map_err(|error| {
        Error::Other(format!(
            "`{text}` is neither a date nor a time as in a file's name, as 2021-01-01 or 2021-01-01T12:01:31-06:00: {}",
            error.reason
        ))
    })
}

/// Names that stand for no time.
#[derive(Debug, Default)]
pub(super) struct NoTimes {
    pub(super) count: usize,
    pub(super) first: Vec<String>,
}

/// What was found so far.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) range: Range,
    pub(super) no_times: NoTimes,
    offset: Offset,
    length: WindowLength,
    prefix: SourcePrefix,
    /// By the window's start.
    windows: BTreeMap<Timestamp, Content>,
}

#[derive(Debug, Default)]
struct Content {
    /// Sorted, and each key once, however it is spelt.
    files: BTreeSet<(Timestamp, ObjectKey)>,
    result: Option<ObjectKey>,
}

impl Found {
    pub(super) fn new(range: Range, offset: Offset, length: WindowLength, prefix: SourcePrefix) -> Self {
        Self { range, no_times: NoTimes::default(), offset, length, prefix, windows: BTreeMap::new() }
    }

    /// Takes an object of the publisher's bucket, if it falls into the time.
    pub(super) fn add_object(&mut self, listed: &str) {
        // What consoles make for an empty folder.
        if listed.ends_with('/') {
            return;
        }
        let place = || {
            let key = self.prefix.key_of(listed).map_err(|error| error.to_string())?;
            let time = file_time::parse(key.as_str(), self.offset).map_err(|error| error.to_string())?;
            let window = Window::of(time, self.length).map_err(|error| error.to_string())?;
            Ok::<_, String>((key, time, window))
        };
        match place() {
            Ok((key, time, window)) if self.range.contains(time) => {
                self.windows.entry(window.start()).or_default().files.insert((time, key));
            }
            Ok(_) => {}
            Err(_) => {
                self.no_times.count += 1;
                if self.no_times.first.len() < NAMED {
                    self.no_times.first.push(listed.to_owned());
                }
            }
        }
    }

    /// Takes an object of our bucket, if it is the result of a window in the time; with `of_files`, of a window that has
    /// files.
    pub(super) fn add_result(&mut self, key: ObjectKey, prefix: &OutputPrefix, of_files: bool) {
        let name = key.base_name().strip_prefix(prefix.as_str()).unwrap_or_default();
        // A window's id is a time in basic form.
        let Some(id) = name.strip_suffix(".parquet") else { return };
        let Ok(time) = file_time::parse(&format!("{id}.csv"), Offset::UTC) else { return };
        let Ok(window) = Window::of(time, self.length) else { return };
        if prefix.output_key(&window) != key || !self.range.touches(&window) {
            return;
        }
        if of_files && !self.windows.contains_key(&window.start()) {
            return;
        }
        self.windows.entry(window.start()).or_default().result = Some(key);
    }

    pub(super) fn windows(&self) -> usize {
        self.windows.len()
    }

    pub(super) fn files(&self) -> usize {
        self.windows.values().map(|content| content.files.len()).sum()
    }

    /// The first window, by which results are listed from there on.
    pub(super) fn first(&self) -> Option<Window> {
        let first = self.windows.keys().next().copied();
        Window::of(self.range.from.or(first)?, self.length).ok()
    }

    /// When the last window ends.
    pub(super) fn end(&self) -> Option<Timestamp> {
        let (start, _) = self.windows.last_key_value()?;
        Window::of(*start, self.length).ok().map(|window| window.end())
    }

    /// In the order of time, whole windows together; only one with more files than a message has is shared out.
    pub(super) fn batches(&self) -> Vec<Batch> {
        let mut batches: Vec<Batch> = Vec::new();
        for (start, content) in &self.windows {
            let files: Vec<&ObjectKey> = content.files.iter().map(|(_, key)| key).collect();
            match batches.last_mut() {
                Some(batch) if batch.files.len() + files.len() <= MOST && batch.results.len() < MOST => {
                    batch.files.extend(files.into_iter().cloned());
                }
                _ => {
                    let parts = files.chunks(MOST).map(<[_]>::to_vec);
                    let parts = if files.is_empty() { vec![Vec::new()] } else { parts.collect() };
                    batches.extend(parts.into_iter().map(|files| Batch {
                        start: *start,
                        files: files.into_iter().cloned().collect(),
                        results: Vec::new(),
                    }));
                }
            }
            if let Some(batch) = batches.last_mut() {
                batch.results.extend(content.result.clone());
            }
        }
        batches
    }
}

/// What is announced in one message, and the results of its windows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// Of its first window.
    pub(super) start: Timestamp,
    pub(super) files: Vec<ObjectKey>,
    pub(super) results: Vec<ObjectKey>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(from: &str, to: &str) -> Found {
        let range = Range::read(Some(from), Some(to), Offset::UTC).unwrap();
        Found::new(range, Offset::UTC, WindowLength::from_minutes(5).unwrap(), "p".parse().unwrap())
    }

    fn names(batch: &Batch) -> Vec<&str> {
        batch.files.iter().map(ObjectKey::base_name).collect()
    }

    #[test]
    fn a_time_is_a_date_or_what_a_name_may_be() {
        let offset = file_time::parse_offset("-06:00").unwrap();
        for (text, expected) in [
            ("2021-01-01", "2021-01-01T06:00:00Z"),
            ("2021-1-1", "2021-01-01T06:00:00Z"),
            ("20210101", "2021-01-01T06:00:00Z"),
            ("2021-W01-5", "2021-01-08T06:00:00Z"),
            ("2021-01-1T12:01:31-06:00", "2021-01-01T18:01:31Z"),
            ("2021-01-01T12:01Z", "2021-01-01T12:01:00Z"),
        ] {
            assert_eq!(time(text, offset).unwrap().to_string(), expected, "{text}");
        }
        for text in ["", "yesterday", "2021", "2021-13-01", "2021-01-01T12"] {
            assert!(
                time(text, offset).unwrap_err().to_string().contains("neither a date nor a time"),
                "{text}"
            );
        }
        let backwards = Range::read(Some("2021-01-02"), Some("2021-01-02"), offset).unwrap_err();
        assert!(backwards.to_string().contains("there is no time from"), "{backwards}");
    }

    #[test]
    fn files_of_the_time_are_found_once_in_its_order_and_no_others() {
        let mut found = found("2021-01-01T18:01", "2021-01-01T18:06");
        for key in [
            "/p/input/2021-01-01T18:02Z.csv",
            "p/input/2021-01-01T18:05:59Z.csv",
            "p/input/2021-01-1T12:01:00-06:00.csv",
            "p/input/2021-01-01T18:02Z.csv",
            "p/input/2021-01-01T18:00:59Z.csv",
            "p/input/2021-01-01T18:06:00Z.csv",
            "p/input/deep/",
            "p/input/readme.csv",
        ] {
            found.add_object(key);
        }
        let batches = found.batches();
        assert_eq!(batches.len(), 1);
        let expected = ["2021-01-1T12:01:00-06:00.csv", "2021-01-01T18:02Z.csv", "2021-01-01T18:05:59Z.csv"];
        assert_eq!(names(&batches[0]), expected);
        assert_eq!((found.windows(), found.files()), (2, 3));
        assert_eq!(
            (found.no_times.count, found.no_times.first.as_slice()),
            (1, &["p/input/readme.csv".to_owned()][..])
        );
    }

    #[test]
    fn windows_stay_together_and_only_a_large_one_is_shared_out() {
        let mut found = found("2021-01-01", "2021-01-02");
        for (window, files) in [("00:00", 150), ("00:05", 60), ("00:10", 450), ("00:15", 1)] {
            for file in 0..files {
                found.add_object(&format!("p/input/{file}/2021-01-01T{window}Z.csv"));
            }
        }
        let prefix: OutputPrefix = "ms-".parse().unwrap();
        for id in ["20210101T000500Z", "20210101T001000Z", "20210102T000000Z", "20210101T001300Z"] {
            found.add_result(format!("output/ms-{id}.parquet").parse().unwrap(), &prefix, false);
        }
        let batches = found.batches();
        let sizes: Vec<_> = batches.iter().map(|batch| (batch.files.len(), batch.results.len())).collect();
        assert_eq!(sizes, [(150, 0), (60, 1), (200, 0), (200, 0), (51, 1)]);
        assert_eq!(
            batches[3].start.to_string(),
            "2021-01-01T00:10:00Z",
            "going on there repeats the whole window"
        );
    }

    #[test]
    fn results_without_files_count_unless_the_files_say_which_windows() {
        let prefix: OutputPrefix = "ms-".parse().unwrap();
        for (of_files, batches) in [(false, 1), (true, 0)] {
            let mut found = found("2021-01-01T00:02", "2021-01-02");
            // The window began before the time does, and reaches into it.
            found.add_result("output/ms-20210101T000000Z.parquet".parse().unwrap(), &prefix, of_files);
            found.add_result("output/ms-x.parquet".parse().unwrap(), &prefix, of_files);
            assert_eq!(found.batches().len(), batches);
        }
    }

    #[test]
    fn going_on_begins_no_earlier_than_was_asked_for() {
        let range = found("2021-01-01T00:02", "2021-01-02").range;
        let within = |start: &str| range.going_on_at(start.parse().unwrap()).to_string();
        assert_eq!(within("2021-01-01T00:00:00Z"), "2021-01-01T00:02:00Z");
        assert_eq!(within("2021-01-01T00:05:00Z"), "2021-01-01T00:05:00Z");
    }
}
