//! From fragments to the window's object. No requests here: files in, a file out.

use std::fs::File;
use std::io::Seek;
use std::ops::Range;

use table::{ColumnTypes, FileSlice, MergeError};
use window::lineage::{Input, LINEAGE_KEY, SOURCE_KEY, Source, WINDOW_KEY};
use window::{FragmentId, ObjectKey, Window};

use crate::Error;
use crate::spool::Version;

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
    objects: Vec<(Version, FileSlice)>,
    carried: Vec<Carried>,
) -> Result<Built, Error> {
    // Beside each input its rows, and the object that they stand in.
    let mut parts: Vec<(Input, (ObjectKey, table::Input<FileSlice>))> =
        Vec::with_capacity(objects.len() + carried.len());
    let mut output = None;
    for (version, slice) in objects {
        let Some(fragment) = FragmentId::from_staging_key(window, &version.key) else {
            output = Some((version, slice));
            continue;
        };
        let part = table::Input::fragment(slice).map_err(Error::corrupt(&version.key))?;
        let source = part.metadata(SOURCE_KEY).ok_or_else(|| Error::lacks(&version.key, SOURCE_KEY))?;
        let source: Source = serde_json::from_str(source).map_err(Error::corrupt(&version.key))?;
        let input = Input { source, fragment, fragment_etag: version.etag };
        parts.push((input, (version.key, part)));
    }
    if let Some((version, slice)) = output {
        for carried in carried {
            let part =
                table::Input::rows_of(slice.clone(), carried.rows).map_err(Error::corrupt(&version.key))?;
            parts.push((carried.input, (version.key.clone(), part)));
        }
    }
    // The order of rows follows from the files alone: not from who came first.
    parts.sort_by(|(one, _), (other, _)| {
        let by = |input: &Input| (input.source.time, input.source.key.clone());
        by(one).cmp(&by(other))
    });
    let (lineage, parts): (Vec<Input>, Vec<_>) = parts.into_iter().unzip();
    let (keys, parts): (Vec<ObjectKey>, Vec<_>) = parts.into_iter().unzip();
    let json = Error::internal::<serde_json::Error>;
    let metadata = vec![
        (WINDOW_KEY.to_owned(), serde_json::to_string(window).map_err(json("describing the window"))?),
        (LINEAGE_KEY.to_owned(), serde_json::to_string(&lineage).map_err(json("describing the inputs"))?),
    ];
    let mut file = tempfile::tempfile().map_err(Error::internal("making a scratch file"))?;
    let merged = table::merge(&parts, types, metadata, &mut file).map_err(|error| match error {
        MergeError::Input { input, source } => Error::corrupt(&keys[input])(source),
        error @ MergeError::Write(_) => Error::internal("merging")(error),
    })?;
    let bytes = file.metadata().map_err(Error::internal("reading a scratch file"))?.len();
    file.rewind().map_err(Error::internal("reading a scratch file"))?;
    Ok(Built { file, bytes, rows: merged.rows })
}
