//! `merge`: all staged fragments of a window become one Parquet object.
//!
//! The object is looked at before the fragments are listed, and written only if it is still the one that was looked at.
//! Listing is strongly consistent, so whoever stages last and merges later sees everything; whoever was overtaken begins
//! anew. (Listing first would lose updates: a fragment that is staged and merged by another between the listing and the
//! look would be missing from what is then written over it.)

mod build;
mod config;
mod error;
mod pipe;
mod spool;
mod standing;
mod trial;
mod turn;

use std::collections::HashSet;

use serde_json::Value;
use store::{ATTEMPTS, Condition, Head, Listed, Put, Store, Written};
use telemetry::{Metric, Step};
use window::lineage::{self, DIGEST_METADATA};
use window::payload::{MergeInput, MergeOutput, Staged};
use window::probe::{self, Answer};
use window::{ETag, FragmentId, ObjectKey, Window, name};

use build::{Built, Carried};
pub use config::Config;
pub use error::Error;
use spool::Version;
use standing::Standing;
use turn::Turn;

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

/// How one pass of the protocol ended.
enum Pass {
    /// The window's object holds what it has to.
    Merged(Merged),
    /// Others go first.
    PutOff {
        /// Seconds until it is to be looked again.
        seconds: u32,
    },
    /// Something changed meanwhile.
    Overtaken,
}

/// The window's object holds everything that was staged when it was looked at, or at least what this execution staged.
struct Merged {
    etag: ETag,
    /// What is staged.
    staged: Vec<Fragment>,
    /// What of it is staged no more.
    carried: Vec<Carried>,
    /// How many files it holds the rows of.
    inputs: usize,
    /// What was written; nothing, where it held everything already.
    built: Option<Built>,
}

impl<O: Store> Merge<O> {
    /// Answers `event`: a probe by trials, anything else as [`Self::handle`] does.
    ///
    /// # Errors
    ///
    /// Those of [`Self::handle`]; what goes wrong in a trial is no error.
    pub async fn answer(&self, event: Value) -> Result<Answer<MergeOutput>, Error> {
        if probe::is_probe(&event) {
            return Ok(Answer::Probed { trials: self.trials().await });
        }
        self.handle(event).await.map(Answer::Done)
    }

    /// Merges the window that `event`, a [`MergeInput`], names.
    ///
    /// # Errors
    ///
    /// [`Error`]; the window's object is then as it was, or as another left it, and always whole.
    pub async fn handle(&self, event: Value) -> Result<MergeOutput, Error> {
        let input: MergeInput = serde_json::from_value(event)
            .map_err(|error| Error::InvalidInput { reason: error.to_string() })?;
        let mut step = Step::begin("merge", &self.config.stack_name);
        step.field("window", input.window.id());
        step.field("execution", input.execution.as_str());
        step.field("message_id", input.message_id.as_str());
        let outcome = self.merge(&input, &mut step).await;
        let done = match &outcome {
            Ok(MergeOutput::PutOff { .. }) => "others go first",
            _ => "window merged",
        };
        step.end(done, &outcome, Error::failure);
        outcome
    }

    async fn merge(&self, input: &MergeInput, step: &mut Step) -> Result<MergeOutput, Error> {
        let [first, ..] = input.staged.as_slice() else {
            return Err(Error::InvalidInput { reason: "`staged` is empty".to_owned() });
        };
        let key = self.config.output_prefix.output_key(&input.window);
        step.field("key", key.as_str());
        for attempt in 1..=ATTEMPTS {
            step.field("attempt", attempt);
            match self.pass(input, first, &key).await? {
                Pass::Merged(merged) => return ended(input, key, merged, step),
                Pass::PutOff { seconds } => {
                    step.field("put_off", input.put_off);
                    step.field("seconds", seconds);
                    return Ok(MergeOutput::PutOff { seconds });
                }
                Pass::Overtaken => {
                    step.count(Metric::MergeConflicts, 1);
                    store::pause(attempt).await;
                }
            }
        }
        Err(Error::WindowChanged { key })
    }

    /// One pass of the protocol.
    async fn pass(&self, input: &MergeInput, first: &Staged, key: &ObjectKey) -> Result<Pass, Error> {
        let head = self.ours.head(key).await?;
        let staged = self.staged(&input.window).await?;
        // Where all inputs are staged the digest alone tells; most repetitions end here.
        if let Some(head) = &head
            && self.holds(head, &staged, &[])
        {
            return Ok(Pass::standing(head, staged.len(), staged, Vec::new()));
        }
        let standing = match &head {
            None => None,
            Some(head) => match standing::read(&self.ours, key, head).await? {
                None => return Ok(Pass::Overtaken),
                standing => standing,
            },
        };
        if let Some(standing) = &standing {
            same_length(key, &input.window, &standing.window)?;
        }
        let inputs = standing.as_ref().map_or(0, |standing| standing.lineage.len());
        let turn = {
            // What was made with other settings is to be made anew, all of it.
            let standing = standing.as_ref().filter(|standing| {
                head.as_ref().is_some_and(|head| self.has_digest(head, standing.made_of()))
            });
            let merged: HashSet<(&FragmentId, &ETag)> =
                standing.into_iter().flat_map(Standing::made_of).collect();
            let is_unmerged = |fragment: &&Fragment| !merged.contains(&(&fragment.id, &fragment.listed.etag));
            let unmerged: Vec<&Fragment> = staged.iter().filter(is_unmerged).collect();
            let bytes = staged.iter().map(|fragment| fragment.listed.bytes);
            Turn::of(input, unmerged, bytes.sum::<u64>() + head.as_ref().map_or(0, |head| head.bytes))
        };
        let carried = standing.map_or_else(Vec::new, |standing| {
            let ids: HashSet<&FragmentId> = staged.iter().map(|fragment| &fragment.id).collect();
            standing.without(|id| ids.contains(id))
        });
        match (head, turn) {
            (None, _) if staged.is_empty() => Err(missing(key, first)),
            (Some(head), _) if self.holds(&head, &staged, &carried) => {
                Ok(Pass::standing(&head, inputs, staged, carried))
            }
            (Some(head), Turn::Others) if lacks(&input.staged, &staged, &carried).is_none() => {
                Ok(Pass::standing(&head, inputs, staged, carried))
            }
            (_, Turn::PutOff { seconds }) => Ok(Pass::PutOff { seconds }),
            (head, _) => self.write(&input.window, key, head.as_ref(), staged, carried).await,
        }
    }

    async fn write(
        &self,
        window: &Window,
        key: &ObjectKey,
        head: Option<&Head>,
        staged: Vec<Fragment>,
        carried: Vec<Carried>,
    ) -> Result<Pass, Error> {
        let mut objects: Vec<Version> =
            staged.iter().map(|fragment| Version::listed(&fragment.listed)).collect();
        if let (Some(head), false) = (head, carried.is_empty()) {
            objects.push(Version::of(key, head));
        }
        let Some(slices) = spool::bring(&self.ours, &objects).await? else {
            return Ok(Pass::Overtaken);
        };
        let objects = objects.into_iter().zip(slices).collect();
        let (to, body) = pipe::pipe();
        let job = {
            let (window, types, carried) = (*window, self.config.column_types.clone(), carried.clone());
            move || build::build(&window, &types, objects, carried, to)
        };
        let metadata = [(DIGEST_METADATA, self.digest(made_of(&staged, &carried)))];
        let put = Put {
            key,
            condition: &Condition::unchanged_since(head),
            bytes: None,
            content_type: "application/vnd.apache.parquet",
            metadata: &metadata,
            acl: None,
        };
        // Building works on files, in threads of its own; what it makes is sent while it goes on.
        let (written, built) =
            tokio::join!(self.ours.put(put, Box::new(body)), tokio::task::spawn_blocking(job));
        // Where building failed, sending did for that reason.
        let built = built.map_err(Error::internal("merging"))??;
        match written? {
            Written::As(etag) => {
                let inputs = staged.len() + carried.len();
                Ok(Pass::Merged(Merged { etag, staged, carried, inputs, built }))
            }
            // If this was our own write and only its reply was lost, the next look finds our digest there.
            Written::Lost => Ok(Pass::Overtaken),
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

    /// Whether the object was made of exactly these, with the settings of today.
    fn holds(&self, head: &Head, staged: &[Fragment], carried: &[Carried]) -> bool {
        self.has_digest(head, made_of(staged, carried))
    }

    fn has_digest<'a>(&self, head: &Head, made_of: impl Iterator<Item = (&'a FragmentId, &'a ETag)>) -> bool {
        head.metadata.get(DIGEST_METADATA) == Some(&self.digest(made_of))
    }

    fn digest<'a>(&self, made_of: impl Iterator<Item = (&'a FragmentId, &'a ETag)>) -> String {
        lineage::digest(&self.config.column_types.to_string(), made_of)
    }
}

fn ended(input: &MergeInput, key: ObjectKey, merged: Merged, step: &mut Step) -> Result<MergeOutput, Error> {
    // An execution ends well only if the object holds what it staged.
    if let Some(own) = lacks(&input.staged, &merged.staged, &merged.carried) {
        return Err(missing(&key, own));
    }
    let (etag, inputs, written) = (merged.etag, merged.inputs, merged.built.is_some());
    step.field("etag", etag.as_str());
    step.field("inputs", inputs);
    step.field("carried", merged.carried.len());
    match merged.built {
        Some(built) => {
            step.field("rows", built.rows);
            step.count(Metric::FragmentsMerged, inputs as u64);
            step.count(Metric::BytesWritten, built.bytes);
            step.since(Metric::FreshnessSeconds, input.closes_at);
        }
        None => step.count(Metric::MergesSkipped, 1),
    }
    Ok(MergeOutput::Merged { key, etag, inputs, written })
}

fn made_of<'a>(
    staged: &'a [Fragment],
    carried: &'a [Carried],
) -> impl Iterator<Item = (&'a FragmentId, &'a ETag)> {
    let staged = staged.iter().map(|fragment| (&fragment.id, &fragment.listed.etag));
    staged.chain(carried.iter().map(|carried| (&carried.input.fragment, &carried.input.fragment_etag)))
}

impl Pass {
    /// Nothing is to be written.
    fn standing(head: &Head, inputs: usize, staged: Vec<Fragment>, carried: Vec<Carried>) -> Self {
        Self::Merged(Merged { etag: head.etag.clone(), staged, carried, inputs, built: None })
    }
}

fn same_length(key: &ObjectKey, window: &Window, standing: &Window) -> Result<(), Error> {
    if window.length() == standing.length() {
        return Ok(());
    }
    let (standing, configured) = (standing.length().minutes(), window.length().minutes());
    Err(Error::WindowLengthChanged { key: key.clone(), standing, configured })
}

/// What this execution staged and is not in an object made of these, nor what was staged of the same source since.
fn lacks<'a>(own: &'a [Staged], staged: &[Fragment], carried: &[Carried]) -> Option<&'a Staged> {
    let ids: HashSet<&FragmentId> = staged.iter().map(|fragment| &fragment.id).collect();
    // Staging lets no older version follow a newer one. But what is carried may be older than what was staged since,
    // merged by nobody, and expired.
    let versions: HashSet<(&FragmentId, &ETag)> =
        carried.iter().map(|carried| (&carried.input.fragment, &carried.input.fragment_etag)).collect();
    own.iter().find(|own| !ids.contains(&own.fragment) && !versions.contains(&(&own.fragment, &own.etag)))
}

fn missing(key: &ObjectKey, own: &Staged) -> Error {
    Error::FragmentMissing { key: key.clone(), fragment: own.fragment.clone() }
}
