//! What is a result made of?

use std::fmt::Write;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use table::Footer;
use window::Window;
use window::failure::explained;
use window::lineage::{Input, LINEAGE_KEY, WINDOW_KEY};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A Parquet object that Windrow wrote, as a file on this machine
    file: PathBuf,
}

/// The window, and a line per input, in the order of their rows.
pub(crate) fn answer(arguments: &Arguments) -> Result<String, String> {
    read(&arguments.file).map_err(|reason| format!("{}: {reason}\n", arguments.file.display()))
}

fn read(path: &Path) -> Result<String, String> {
    let footer = footer(path)?;
    let text = |key: &str| {
        footer.metadata(key).ok_or_else(|| format!("its metadata has no `{key}`: Windrow did not write it"))
    };
    let window: Window = serde_json::from_str(text(WINDOW_KEY)?).map_err(|error| error.to_string())?;
    let lineage: Vec<Input> = serde_json::from_str(text(LINEAGE_KEY)?).map_err(|error| error.to_string())?;
    let (rows, rejected) = lineage.iter().fold((0, 0), |(rows, rejected), input| {
        (rows + input.source.rows, rejected + input.source.rejected_rows)
    });
    let mut answer = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(answer, "window {window}, {} to {}", window.start(), window.end());
    let _ = writeln!(answer, "{} inputs, {rows} rows, {rejected} rejected rows", lineage.len());
    let _ = writeln!(answer, "{:>12} {:>9} {:>12}  {:<24} key", "rows", "rejected", "bytes", "time");
    for Input { source, .. } in &lineage {
        let (time, key) = (source.time.to_string(), &source.key);
        let _ = writeln!(
            answer,
            "{:>12} {:>9} {:>12}  {time:<24} {key}",
            source.rows, source.rejected_rows, source.bytes
        );
    }
    Ok(answer)
}

fn footer(path: &Path) -> Result<Footer, String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    let mut tail = |bytes: u64| {
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(length.saturating_sub(bytes)))
            .and_then(|_| file.read_to_end(&mut tail))
            .map_err(|error| error.to_string())?;
        Ok::<_, String>(tail)
    };
    // The last eight bytes say how long the footer is.
    let bytes = Footer::bytes(&tail(8)?).map_err(|error| explained(&error))?;
    Footer::read(&tail(bytes)?).map_err(|error| explained(&error))
}
