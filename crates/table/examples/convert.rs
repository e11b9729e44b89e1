//! Converts CSV files and merges them, in the given order, into one Parquet file: the code that the functions run.
//!
//! ```text
//! cargo run --release -p table --example convert -- [--types accountId=string] CSV… OUT.parquet
//! ```
//!
//! Rejected rows go to standard error, a line of JSON each. The last lines say how long staging and merging took.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use table::{ColumnTypes, FileSlice, Input, Output, Summary, convert, merge};

const USAGE: &str = "usage: convert [--types NAME=TYPE,…] CSV… PARQUET";
/// Of a larger file, the columns are worked on side by side; smaller files are, as if each had a function of its own.
const SMALL_BYTES: u64 = 1024 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut types, mut files) = (ColumnTypes::default(), Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--types" => types = arguments.next().ok_or(USAGE)?.parse()?,
            _ => files.push(argument),
        }
    }
    let Some((output, csvs)) = files.split_last().filter(|(_, csvs)| !csvs.is_empty()) else {
        return Err(USAGE.into());
    };
    let mut out = BufWriter::new(io::stdout());
    let staging = Instant::now();
    let staged = stage(csvs, &types)?;
    let staging = staging.elapsed();
    let merging = Instant::now();
    let mut inputs = Vec::with_capacity(csvs.len());
    for (csv, Staged { summary, fragment, rejected }) in csvs.iter().zip(staged) {
        let Summary { rows, rejected_rows, encoding, delimiter, .. } = summary;
        writeln!(out, "{csv}: {rows} rows, {rejected_rows} rejected, {encoding}, delimiter {delimiter:?}")?;
        if let Some(mut rejected) = rejected {
            io::copy(&mut rejected, &mut io::stderr())?;
        }
        inputs.push(Input::fragment(fragment)?);
    }
    let merged = merge(&inputs, &types, Vec::new(), File::create(output)?)?;
    let merging = merging.elapsed();
    writeln!(out, "{output}: {} rows, {} bytes", merged.rows, merged.bytes)?;
    for column in merged.columns {
        writeln!(out, "    {}: {:?}", column.name, column.kind)?;
    }
    writeln!(out, "stage {:.3} s", staging.as_secs_f64())?;
    writeln!(out, "merge {:.3} s", merging.as_secs_f64())?;
    Ok(out.flush()?)
}

/// What became of a file.
struct Staged {
    summary: Summary,
    fragment: FileSlice,
    rejected: Option<FileSlice>,
}

/// Converts files, many small ones side by side.
fn stage(csvs: &[String], types: &ColumnTypes) -> Result<Vec<Staged>, String> {
    let is_small = |csv: &String| std::fs::metadata(csv).is_ok_and(|found| found.len() < SMALL_BYTES);
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let threads = if csvs.iter().all(is_small) { processors.min(csvs.len()) } else { 1 };
    let next = AtomicUsize::new(0);
    let work = || {
        let mut worker = Worker::new().map_err(|error| format!("temporary files: {error}"))?;
        let mut done = Vec::new();
        while let index = next.fetch_add(1, Ordering::Relaxed)
            && let Some(csv) = csvs.get(index)
        {
            let staged = worker.stage(csv, types).map_err(|error| format!("{csv}: {error}"))?;
            done.push((index, staged));
        }
        Ok(done)
    };
    let done: Result<Vec<_>, String> = thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut done = vec![work()];
        for helper in helpers {
            done.push(helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done.into_iter().collect()
    });
    let mut done: Vec<(usize, Staged)> = done?.into_iter().flatten().collect();
    done.sort_unstable_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, staged)| staged).collect())
}

/// Where one thread's fragments and rejected rows go, one after the other: two file descriptors for all of them.
struct Worker {
    fragments: Tail,
    rejected: Tail,
}

impl Worker {
    fn new() -> io::Result<Self> {
        Ok(Self { fragments: Tail::new()?, rejected: Tail::new()? })
    }

    fn stage(&mut self, csv: &str, types: &ColumnTypes) -> Result<Staged, Box<dyn Error>> {
        let input = File::open(csv)?;
        let summary = convert(input, types, |_| Vec::new(), &mut self.fragments, &mut self.rejected)?;
        let rejected = self.rejected.end()?;
        Ok(Staged {
            summary,
            fragment: FileSlice::new(Arc::clone(&self.fragments.file), self.fragments.end()?),
            rejected: (!rejected.is_empty())
                .then(|| FileSlice::new(Arc::clone(&self.rejected.file), rejected)),
        })
    }
}

/// A file, and where in it that begins which is being written.
struct Tail {
    file: Arc<File>,
    start: u64,
}

impl Tail {
    fn new() -> io::Result<Self> {
        Ok(Self { file: Arc::new(tempfile::tempfile()?), start: 0 })
    }

    /// Ends what is being written, and begins anew behind it.
    fn end(&mut self) -> io::Result<Range<u64>> {
        let start = self.start;
        self.start = (&*self.file).stream_position()?;
        Ok(start..self.start)
    }
}

impl Write for Tail {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.file).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self.file).flush()
    }
}

impl Output for Tail {
    fn restart(&mut self) -> io::Result<()> {
        (&*self.file).seek(SeekFrom::Start(self.start))?;
        self.file.set_len(self.start)
    }
}
