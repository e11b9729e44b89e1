//! The window's object as it stands, before it is merged anew.

use store::{Head, Kind, Store};
use table::Footer;
use tokio::io::AsyncReadExt;
use window::lineage::{Input, LINEAGE_KEY, WINDOW_KEY};
use window::{ETag, FragmentId, ObjectKey, Window};

use crate::Error;
use crate::build::Carried;

/// What is read from an object's end at first: the footer of nearly every output lies within.
const TAIL_BYTES: u64 = 128 * 1024;

/// What an output says of itself.
pub(crate) struct Standing {
    /// Its window.
    pub(crate) window: Window,
    /// Its inputs, in row order.
    pub(crate) lineage: Vec<Input>,
}

impl Standing {
    /// The versions of fragments that are in it.
    pub(crate) fn made_of(&self) -> impl Iterator<Item = (&FragmentId, &ETag)> {
        self.lineage.iter().map(|input| (&input.fragment, &input.fragment_etag))
    }

    /// Those of its inputs whose fragment is not among the `staged`, and where their rows stand in it.
    pub(crate) fn without(self, staged: impl Fn(&FragmentId) -> bool) -> Vec<Carried> {
        let mut end = 0;
        let carried = self.lineage.into_iter().map(|input| {
            let start = end;
            end += input.source.rows;
            Carried { input, rows: start..end }
        });
        carried.filter(|carried| !staged(&carried.input.fragment)).collect()
    }
}

/// Reads what the object at `key`, known as `head`, says of itself; `None` when it is another by now.
pub(crate) async fn read(ours: &impl Store, key: &ObjectKey, head: &Head) -> Result<Option<Standing>, Error> {
    let Some(mut tail) = tail(ours, key, head, TAIL_BYTES).await? else {
        return Ok(None);
    };
    let needed = Footer::bytes(&tail).map_err(Error::corrupt(key))?;
    if needed > tail.len() as u64 {
        match self::tail(ours, key, head, needed).await? {
            Some(longer) => tail = longer,
            None => return Ok(None),
        }
    }
    let footer = Footer::read(&tail).map_err(Error::corrupt(key))?;
    let text = |name: &str| footer.metadata(name).ok_or_else(|| Error::lacks(key, name));
    let window = serde_json::from_str(text(WINDOW_KEY)?).map_err(Error::corrupt(key))?;
    let lineage = serde_json::from_str(text(LINEAGE_KEY)?).map_err(Error::corrupt(key))?;
    Ok(Some(Standing { window, lineage }))
}

/// The last `bytes` bytes of the object, or all of it.
async fn tail(ours: &impl Store, key: &ObjectKey, head: &Head, bytes: u64) -> Result<Option<Vec<u8>>, Error> {
    let range = head.bytes.saturating_sub(bytes)..head.bytes;
    let expected = range.end - range.start;
    let mut object = match ours.get_range(key, &head.etag, range).await {
        Ok(Some(object)) => object,
        Ok(None) => return Ok(None),
        Err(error) if matches!(error.kind, Kind::Changed | Kind::Conflict) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut tail = Vec::new();
    let read = object.body.read_to_end(&mut tail).await;
    match read {
        Ok(read) if read as u64 == expected => Ok(Some(tail)),
        outcome => {
            let reason = outcome.map_or_else(|error| error.to_string(), |_| "it ended early".to_owned());
            Err(Error::CutOff { key: key.clone(), read: tail.len() as u64, bytes: expected, reason })
        }
    }
}
