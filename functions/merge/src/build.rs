//! From fragments to the window's object. No requests here: files in, a file out.

use std::fs::File;
use std::io::Seek;
use std::ops::Range;

use store::Listed;
use table::{ColumnTypes, FileSlice};
use window::lineage::{Input, LINEAGE_KEY, SOURCE_KEY, Source, WINDOW_KEY};
use window::{FragmentId, Window};

use crate::Error;

/// An input whose fragment has expired: its rows stand in the window's object.
#[derive(Debug, Clone)]
pub(crate) struct Carried {
    pub(crate) input: Input,
    /// Its rows there.
    pub(crate) rows: Range<u64>,
}

/// The window's object, ready to be written.
pub(crate) struct Built {
    /// From its start.
    pub(crate) file: File,
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
}

/// Merges fragments, and rows `carried` from the former output, which is the one of `objects` that is no fragment.
pub(crate) fn build(
    window: &Window,
    types: &ColumnTypes,
    objects: Vec<(Listed, FileSlice)>,
    carried: Vec<Carried>,
) -> Result<Built, Error> {
    let mut parts: Vec<(Input, table::Input<FileSlice>)> = Vec::with_capacity(objects.len() + carried.len());
    let mut output = None;
    for (listed, slice) in objects {
        let Some(fragment) = FragmentId::from_staging_key(window, &listed.key) else {
            output = Some((listed, slice));
            continue;
        };
        let part = table::Input::fragment(slice).map_err(Error::corrupt(&listed.key))?;
        let source = part.metadata(SOURCE_KEY).ok_or_else(|| Error::lacks(&listed.key, SOURCE_KEY))?;
        let source: Source = serde_json::from_str(source).map_err(Error::corrupt(&listed.key))?;
        parts.push((Input { source, fragment, fragment_etag: listed.etag }, part));
    }
    if let Some((listed, slice)) = output {
        for carried in carried {
            let part =
                table::Input::rows_of(slice.clone(), carried.rows).map_err(Error::corrupt(&listed.key))?;
            parts.push((carried.input, part));
        }
    }
    // The order of rows follows from the files alone: not from who came first.
    parts.sort_by(|(one, _), (other, _)| {
        let by = |input: &Input| (input.source.time, input.source.key.clone());
        by(one).cmp(&by(other))
    });
    let (lineage, parts): (Vec<Input>, Vec<_>) = parts.into_iter().unzip();
    let json = Error::internal::<serde_json::Error>;
    let metadata = vec![
        (WINDOW_KEY.to_owned(), serde_json::to_string(window).map_err(json("describing the window"))?),
        (LINEAGE_KEY.to_owned(), serde_json::to_string(&lineage).map_err(json("describing the inputs"))?),
    ];
    let mut file = tempfile::tempfile().map_err(Error::internal("making a scratch file"))?;
    let merged = table::merge(&parts, types, metadata, &mut file).map_err(Error::internal("merging"))?;
    let bytes = file.metadata().map_err(Error::internal("reading a scratch file"))?.len();
    file.rewind().map_err(Error::internal("reading a scratch file"))?;
    Ok(Built { file, bytes, rows: merged.rows })
}
