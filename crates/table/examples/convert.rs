//! Converts CSV files and merges them, in the given order, into one Parquet file: the code that the functions run.
//!
//! ```text
//! cargo run --release -p table --example convert -- [--types accountId=string] *.csv out.parquet
//! ```
//!
//! Rejected rows go to standard error, a line of JSON each.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, Write};

use table::{ColumnTypes, Input, Summary, convert, merge};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut types = ColumnTypes::default();
    if arguments.first().is_some_and(|first| first == "--types") && arguments.len() > 1 {
        types = arguments[1].parse()?;
        arguments.drain(..2);
    }
    let Some((output, csvs)) = arguments.split_last().filter(|(_, csvs)| !csvs.is_empty()) else {
        return Err("usage: convert [--types NAME=TYPE,…] CSV… PARQUET".into());
    };
    let mut inputs = Vec::new();
    for csv in csvs {
        let mut fragment = tempfile::tempfile()?;
        let input = File::open(csv).map_err(|error| format!("{csv}: {error}"))?;
        let none = |_: &Summary| Vec::new();
        let summary =
            convert(input, &types, none, BufWriter::new(&mut fragment), BufWriter::new(io::stderr()))
                .map_err(|error| format!("{csv}: {error}"))?;
        writeln!(
            io::stdout(),
            "{csv}: {} rows, {} rejected, {}, delimiter {:?}",
            summary.rows,
            summary.rejected_rows,
            summary.encoding,
            summary.delimiter
        )?;
        inputs.push(Input::fragment(fragment)?);
    }
    let merged = merge(&inputs, &types, Vec::new(), BufWriter::new(File::create(output)?))?;
    writeln!(io::stdout(), "{output}: {} rows, {} bytes", merged.rows, merged.bytes)?;
    for column in merged.columns {
        writeln!(io::stdout(), "    {}: {:?}", column.name, column.kind)?;
    }
    Ok(())
}
