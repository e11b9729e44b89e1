//! Converts CSV files and merges them, in the given order, into one Parquet file: the code that the functions run.
//!
//! ```text
//! cargo run --release -p table --example convert -- [--types accountId=string] [--timings] CSV… OUT.parquet
//! ```
//!
//! Rejected rows go to standard error, a line of JSON each. `--timings` says how long staging and merging took.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::time::{Duration, Instant};

use table::{ColumnTypes, Input, Summary, convert, merge};

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
    let started = Instant::now();
    let mut inputs = Vec::with_capacity(csvs.len());
    for csv in csvs {
        let (mut fragment, mut rejected) = (tempfile::tempfile()?, tempfile::tempfile()?);
        let input = File::open(csv).map_err(|error| format!("{csv}: {error}"))?;
        let none = |_: &Summary| Vec::new();
        let summary = convert(input, &types, none, &mut fragment, &mut rejected)
            .map_err(|error| format!("{csv}: {error}"))?;
        if summary.rejected_rows > 0 {
            rejected.rewind()?;
            io::copy(&mut rejected, &mut io::stderr())?;
        }
        let Summary { rows, rejected_rows, encoding, delimiter, .. } = summary;
        writeln!(out, "{csv}: {rows} rows, {rejected_rows} rejected, {encoding}, delimiter {delimiter:?}")?;
        inputs.push(Input::fragment(fragment)?);
    }
    let staged = started.elapsed();
    let merged = merge(&inputs, &types, Vec::new(), BufWriter::new(File::create(output)?))?;
    writeln!(out, "{output}: {} rows, {} bytes", merged.rows, merged.bytes)?;
    for column in merged.columns {
        writeln!(out, "    {}: {:?}", column.name, column.kind)?;
    }
    if timings {
        let seconds = |time: Duration| time.as_secs_f64();
        writeln!(out, "stage {:.3} s", seconds(staged))?;
        writeln!(out, "merge {:.3} s", seconds(started.elapsed() - staged))?;
    }
    Ok(out.flush()?)
}
