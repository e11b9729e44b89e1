//! `merge`: all staged fragments of a window become one Parquet object.
//!
//! The object is looked at before the fragments are listed, and written only if it is still the one that was looked at.
//! Listing is strongly consistent, so whoever stages last and merges later sees everything; whoever was overtaken begins
//! anew. (Listing first would lose updates: a fragment that is staged and merged by another between the listing and the
//! look would be missing from what is then written over it.)

mod build;
mod config;
mod error;
mod metrics;
mod spool;
mod standing;

use serde_json::Value;
use store::{ATTEMPTS, Condition, Head, Listed, Put, Store, Written};
use window::lineage::{self, DIGEST_METADATA, Input};
use window::payload::{MergeInput, MergeOutput, Staged};
use window::{ETag, FragmentId, ObjectKey, Window, name};

use build::{Built, Carried};
pub use config::Config;
pub use error::Error;

/// Our bucket, and what else `merge` needs.
pub struct Merge<O> {
    /// Our bucket, with the function's own rights.
    pub ours: O,
    /// What the environment says.
    pub config: Config,
}

/// A fragment that is staged.
struct Fragment {
    id: FragmentId,
    listed: Listed,
}

/// The window's object holds everything that was staged when it was looked at.
struct Merged {
    etag: ETag,
    /// What of it is staged.
    staged: Vec<Fragment>,
    /// What of it is staged no more.
    carried: Vec<Carried>,
    /// What was written; nothing, where it held everything already.
    built: Option<Built>,
}

impl<O: Store> Merge<O> {
    /// Merges the window that `event`, a [`MergeInput`], names.
    ///
    /// # Errors
    ///
    /// [`Error`]; the window's object is then as it was, or as another left it, and always whole.
    pub async fn handle(&self, event: Value) -> Result<MergeOutput, Error> {
        let input: MergeInput = serde_json::from_value(event)
            .map_err(|error| Error::InvalidInput { reason: error.to_string() })?;
        let [first, ..] = input.staged.as_slice() else {
            return Err(Error::InvalidInput { reason: "`staged` is empty".to_owned() });
        };
        let key = self.config.output_prefix.output_key(&input.window);
        for attempt in 1..=ATTEMPTS {
            if let Some(merged) = self.attempt(&input.window, &key, first).await? {
                find_own(&key, &input.staged, &merged)?;
                let inputs = merged.staged.len() + merged.carried.len();
                let (rows, bytes) =
                    merged.built.as_ref().map_or((None, None), |b| (Some(b.rows), Some(b.bytes)));
                let written = merged.built.is_some();
                tracing::info!(
                    window = input.window.id(), execution = input.execution, message_id = input.message_id,
                    key = key.as_str(), etag = %merged.etag, inputs, carried = merged.carried.len(), rows, bytes,
                    written, attempt,
                    "window merged"
                );
                if written {
                    metrics::freshness(&self.config.stack_name, input.closes_at);
                }
                return Ok(MergeOutput { key, etag: merged.etag, inputs, written });
            }
            tracing::info!(
                window = input.window.id(),
                execution = input.execution,
                message_id = input.message_id,
                attempt,
                "window changed while it was merged"
            );
            store::pause(attempt).await;
        }
        Err(Error::WindowChanged { key })
    }

    /// One pass of the protocol; `None` when something changed meanwhile.
    async fn attempt(&self, window: &Window, key: &ObjectKey, own: &Staged) -> Result<Option<Merged>, Error> {
        let head = self.ours.head(key).await?;
        let staged = self.staged(window).await?;
        let carried = match &head {
            None => Vec::new(),
            // Where all inputs are staged the digest alone tells; most repetitions end here.
            Some(head) if self.holds(head, &staged, &[]) => Vec::new(),
            Some(head) => match standing::read(&self.ours, key, head).await? {
                None => return Ok(None),
                Some(standing) => {
                    same_length(key, window, &standing.window)?;
                    standing.without(|id| staged.iter().any(|fragment| fragment.id == *id))
                }
            },
        };
        match head {
            Some(head) if self.holds(&head, &staged, &carried) => {
                Ok(Some(Merged { etag: head.etag, staged, carried, built: None }))
            }
            None if staged.is_empty() => {
                Err(Error::FragmentMissing { key: key.clone(), fragment: own.fragment.clone() })
            }
            head => self.write(window, key, head.as_ref(), staged, carried).await,
        }
    }

    async fn write(
        &self,
        window: &Window,
        key: &ObjectKey,
        head: Option<&Head>,
        staged: Vec<Fragment>,
        carried: Vec<Carried>,
    ) -> Result<Option<Merged>, Error> {
        let mut objects: Vec<Listed> = staged.iter().map(|fragment| fragment.listed.clone()).collect();
        if let (Some(head), false) = (head, carried.is_empty()) {
            objects.push(Listed { key: key.clone(), etag: head.etag.clone(), bytes: head.bytes });
        }
        let Some(slices) = spool::bring(&self.ours, &objects).await? else {
            return Ok(None);
        };
        let objects = objects.into_iter().zip(slices).collect();
        let job = {
            let (window, types, carried) = (*window, self.config.column_types.clone(), carried.clone());
            move || build::build(&window, &types, objects, carried)
        };
        // Building works on files and for as long as it takes: beside the requests.
        let built = tokio::task::spawn_blocking(job).await.map_err(Error::internal("merging"))??;
        let body = built.file.try_clone().map_err(Error::internal("reading a scratch file"))?;
        let put = Put {
            key,
            condition: &Condition::unchanged_since(head),
            bytes: built.bytes,
            content_type: "application/vnd.apache.parquet",
            metadata: &[(DIGEST_METADATA, self.digest(&staged, &carried))],
            acl: None,
        };
        match self.ours.put(put, Box::new(tokio::fs::File::from_std(body))).await? {
            Written::As(etag) => Ok(Some(Merged { etag, staged, carried, built: Some(built) })),
            // If this was our own write and only its reply was lost, the next look finds our digest there.
            Written::Lost => Ok(None),
        }
    }

    async fn staged(&self, window: &Window) -> Result<Vec<Fragment>, Error> {
        let listed = self.ours.list(&name::staging_prefix(window)).await?;
        let fragments = listed.into_iter().filter_map(|listed| {
            let id = FragmentId::from_staging_key(window, &listed.key);
            if id.is_none() {
                tracing::warn!(key = listed.key.as_str(), "this is no fragment, and not for this place");
            }
            Some(Fragment { id: id?, listed })
        });
        Ok(fragments.collect())
    }

    /// Whether the object was made of exactly these.
    fn holds(&self, head: &Head, staged: &[Fragment], carried: &[Carried]) -> bool {
        head.metadata.get(DIGEST_METADATA) == Some(&self.digest(staged, carried))
    }

    fn digest(&self, staged: &[Fragment], carried: &[Carried]) -> String {
        let staged = staged.iter().map(|fragment| (&fragment.id, &fragment.listed.etag));
        let carried = carried.iter().map(|input| (&input.input.fragment, &input.input.fragment_etag));
        lineage::digest(&self.config.column_types.to_string(), staged.chain(carried))
    }
}

fn same_length(key: &ObjectKey, window: &Window, standing: &Window) -> Result<(), Error> {
    if window.length() == standing.length() {
        return Ok(());
    }
    let (standing, configured) = (standing.length().minutes(), window.length().minutes());
    Err(Error::WindowLengthChanged { key: key.clone(), standing, configured })
}

/// An execution ends well only if the object holds what it staged, or what was staged of the same source since.
fn find_own(key: &ObjectKey, own: &[Staged], merged: &Merged) -> Result<(), Error> {
    let staged = |own: &Staged| merged.staged.iter().any(|fragment| fragment.id == own.fragment);
    // Staging lets no older version follow a newer one. But what is carried may be older than what was staged since,
    // merged by nobody, and expired.
    let carried = |own: &Staged| {
        let same = |input: &Input| input.fragment == own.fragment && input.fragment_etag == own.etag;
        merged.carried.iter().any(|carried| same(&carried.input))
    };
    match own.iter().find(|own| !staged(own) && !carried(own)) {
        None => Ok(()),
        Some(own) => Err(Error::FragmentMissing { key: key.clone(), fragment: own.fragment.clone() }),
    }
}
