//! Converts CSV files and merges them, in the given order, into one Parquet file: the code that the functions run.
//!
//! ```text
//! cargo run --release -p table --example convert -- [--types accountId=string] [--timings] CSV… OUT.parquet
//! ```
//!
//! Rejected rows go to standard error, a line of JSON each. `--timings` says how long staging and merging took.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::time::Instant;

use table::{ColumnTypes, FileSlice, Input, Output, Summary, convert, merge};

const USAGE: &str = "usage: convert [--types NAME=TYPE,…] [--timings] CSV… PARQUET";

fn main() -> Result<(), Box<dyn Error>> {
    let (mut types, mut timings, mut files) = (ColumnTypes::default(), false, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--types" => types = arguments.next().ok_or(USAGE)?.parse()?,
            "--timings" => timings = true,
            _ => files.push(argument),
        }
    }
    let Some((output, csvs)) = files.split_last().filter(|(_, csvs)| !csvs.is_empty()) else {
        return Err(USAGE.into());
    };
    let mut out = BufWriter::new(io::stdout());
    let staging = Instant::now();
    let (mut fragments, mut rejected) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let mut ends = vec![0];
    for csv in csvs {
        let input = File::open(csv).map_err(|error| format!("{csv}: {error}"))?;
        let fragment = Tail { file: &mut fragments, start: ends[ends.len() - 1] };
        let summary = convert(input, &types, |_| Vec::new(), fragment, &mut rejected)
            .map_err(|error| format!("{csv}: {error}"))?;
        if summary.rejected_rows > 0 {
            rejected.rewind()?;
            io::copy(&mut rejected, &mut io::stderr())?;
            rejected.restart()?;
        }
        let Summary { rows, rejected_rows, encoding, delimiter, .. } = summary;
        writeln!(out, "{csv}: {rows} rows, {rejected_rows} rejected, {encoding}, delimiter {delimiter:?}")?;
        ends.push(fragments.stream_position()?);
    }
    let staging = staging.elapsed();
    let merging = Instant::now();
    let fragments = Arc::new(fragments);
    let slice = |ends: &[u64]| Input::fragment(FileSlice::new(Arc::clone(&fragments), ends[0]..ends[1]));
    let inputs = ends.windows(2).map(slice).collect::<Result<Vec<_>, _>>()?;
    let merged = merge(&inputs, &types, Vec::new(), File::create(output)?)?;
    let merging = merging.elapsed();
    writeln!(out, "{output}: {} rows, {} bytes", merged.rows, merged.bytes)?;
    for column in merged.columns {
        writeln!(out, "    {}: {:?}", column.name, column.kind)?;
    }
    if timings {
        writeln!(out, "stage {:.3} s", staging.as_secs_f64())?;
        writeln!(out, "merge {:.3} s", merging.as_secs_f64())?;
    }
    Ok(out.flush()?)
}

/// What is written to the end of a file: one file for all fragments needs one descriptor.
struct Tail<'a> {
    file: &'a mut File,
    start: u64,
}

impl Write for Tail<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Output for Tail<'_> {
    fn restart(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.start))?;
        self.file.set_len(self.start)
    }
}
