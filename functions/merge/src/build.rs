//! From fragments to the window's object. No requests here: files in, bytes out.

use std::ops::Range;
use std::sync::Arc;

use table::{ColumnTypes, FileSlice, MergeError};
use window::lineage::{Input, LINEAGE_KEY, SOURCE_KEY, Source, WINDOW_KEY};
use window::{FragmentId, ObjectKey, Window};

use crate::Error;
use crate::pipe::Output;
use crate::spool::Version;

/// An input whose fragment has expired: its rows stand in the window's object.
#[derive(Debug, Clone)]
pub(crate) struct Carried {
    pub(crate) input: Input,
    /// Its rows there.
    pub(crate) rows: Range<u64>,
}

/// The window's object, all of it handed over.
pub(crate) struct Built {
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
}

/// Where the rows of an input are.
enum Place {
    Fragment(ObjectKey, table::Input<FileSlice>),
    /// In the former output, there.
    Output(Range<u64>),
}

/// Merges fragments, and rows `carried` from the former output, which is the one of `objects` that is no fragment; `None`
/// when nobody wants it any more.
pub(crate) fn build(
    window: &Window,
    types: &ColumnTypes,
    objects: Vec<(Version, FileSlice)>,
    carried: Vec<Carried>,
    mut to: Output,
) -> Result<Option<Built>, Error> {
    let mut inputs: Vec<(Input, Place)> = Vec::with_capacity(objects.len() + carried.len());
    let mut output = None;
    for (version, slice) in objects {
        let Some(fragment) = FragmentId::from_staging_key(window, &version.key) else {
            output = Some((version.key, slice));
            continue;
        };
        let part = table::Input::fragment(slice).map_err(Error::corrupt(&version.key))?;
        let source = part.metadata(SOURCE_KEY).ok_or_else(|| Error::lacks(&version.key, SOURCE_KEY))?;
        let source: Source = serde_json::from_str(source).map_err(Error::corrupt(&version.key))?;
        let input = Input { source, fragment, fragment_etag: version.etag };
        inputs.push((input, Place::Fragment(version.key, part)));
    }
    inputs.extend(carried.into_iter().map(|carried| (carried.input, Place::Output(carried.rows))));
    // The order of rows follows from the files alone: not from who came first.
    inputs.sort_by(|(one, _), (other, _)| {
        let by = |input: &Input| (input.source.time, input.source.key.clone());
        by(one).cmp(&by(other))
    });
    let (lineage, places): (Vec<Input>, Vec<Place>) = inputs.into_iter().unzip();
    let (keys, parts) = parts(places, output)?;
    let json = Error::internal::<serde_json::Error>;
    let metadata = vec![
        (WINDOW_KEY.to_owned(), serde_json::to_string(window).map_err(json("describing the window"))?),
        (LINEAGE_KEY.to_owned(), serde_json::to_string(&lineage).map_err(json("describing the inputs"))?),
    ];
    match table::merge(&parts, types, metadata, &mut to) {
        Ok(merged) => Ok(to.end().ok().map(|bytes| Built { bytes, rows: merged.rows })),
        Err(MergeError::Input { input, source }) => Err(Error::corrupt(&keys[input])(source)),
        Err(MergeError::Write(_)) if to.is_abandoned() => Ok(None),
        Err(error @ MergeError::Write(_)) => Err(Error::internal("merging")(error)),
    }
}

/// What is merged, and beside it the objects that it is of. Neighbours that were neighbours in the `output` are one.
fn parts(
    places: Vec<Place>,
    output: Option<(ObjectKey, FileSlice)>,
) -> Result<(Vec<ObjectKey>, Vec<table::Input<FileSlice>>), Error> {
    let (key, slice) = output.unzip();
    let slice = slice.map(Arc::new);
    let (mut keys, mut parts) = (Vec::new(), Vec::new());
    let mut places = places.into_iter().peekable();
    while let Some(place) = places.next() {
        match (place, &key, &slice) {
            (Place::Fragment(key, part), ..) => {
                keys.push(key);
                parts.push(part);
            }
            (Place::Output(mut rows), Some(key), Some(slice)) => {
                while let Some(Place::Output(next)) = places.next_if(|next| next.goes_on_from(rows.end)) {
                    rows.end = next.end;
                }
                keys.push(key.clone());
                parts.push(table::Input::rows_of(Arc::clone(slice), rows).map_err(Error::corrupt(key))?);
            }
            (Place::Output(_), ..) => unreachable!("rows are carried from an output that was brought"),
        }
    }
    Ok((keys, parts))
}

impl Place {
    fn goes_on_from(&self, row: u64) -> bool {
        matches!(self, Self::Output(rows) if rows.start == row)
    }
}
