//! What is a window made of, and what became of it?
//!
//! The object says itself what is in it. Around it stand what is staged, who brought it, and what the publisher got.

mod delivery;
mod object;
mod rejected;
mod render;

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use window::lineage::{Input, LINEAGE_KEY, SOURCE_KEY, Source, WINDOW_KEY};
use window::{ETag, FragmentId, ObjectKey, OutputPrefix, Window, WindowLength, file_time, name};

use crate::aws::Error;
use crate::executions::{self, Execution};
use crate::seen::{NotSeen, clock, time};
use crate::{Aws, Outcome, Session, Stack};
use delivery::{Delivery, Ours};
use object::Object;
use rejected::Rejected;

/// Executions that are looked through for those of the window.
const EXECUTIONS: usize = 10_000;
/// Those of the window that are looked at closer.
const DESCRIBED: usize = 200;
/// The newest versions of the object that are read for what they are made of.
const READ_VERSIONS: usize = 10;
/// Objects that are read at a time.
const AT_A_TIME: usize = 8;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A window as 20210101T180000Z, any time within it, or the name or key of a file of it
    window: String,
    /// Show the text of rejected rows as it stood in the file
    #[arg(long)]
    raw: bool,
}

/// Tells all there is to know of the window; `false` if that is nothing.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Outcome {
    let window = placed(&session.stack, &arguments.window)?;
    let answer = gathered(session, window, arguments.raw).await?;
    if session.style.json {
        let json = serde_json::to_string(&answer).map_err(|error| Error::Other(error.to_string()))?;
        println!("{json}");
    } else {
        print!("{}", render::text(session.style, &answer));
    }
    Ok(answer.known)
}

/// All there is to know.
#[derive(Serialize)]
struct Answer {
    stack: String,
    bucket: String,
    window: Window,
    /// Whether anything at all was found.
    known: bool,
    /// The window's object as it stands.
    object: Option<Merged>,
    /// What it is made of, in the order of its rows.
    inputs: Vec<Part>,
    /// What is staged and not in it.
    not_merged: Vec<Waiting>,
    /// What executions were to stage, and is neither.
    not_staged: Vec<String>,
    /// The versions of the object, newest first.
    versions: Option<Vec<Version>>,
    /// The executions of the window, newest first.
    executions: Option<Vec<Execution>>,
    delivery: Option<Delivery>,
    not_seen: NotSeen,
}

#[derive(Serialize)]
struct Merged {
    key: ObjectKey,
    etag: ETag,
    version: Option<String>,
    written: Option<Timestamp>,
    bytes: u64,
    /// The digest of its inputs, by which `merge` sees whether there is anything new.
    digest: Option<String>,
    /// Nothing where the object does not say what it is made of.
    rows: Option<u64>,
    rejected_rows: Option<u64>,
}

/// An input of the object.
#[derive(Serialize)]
struct Part {
    #[serde(flatten)]
    input: Input,
    /// Nothing where it could not be looked at.
    staging: Option<Staging>,
    rejected: Option<Rejected>,
    /// Why its rejected rows cannot be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_not_seen: Option<String>,
}

/// What has become of an input's fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Staging {
    /// It is staged, as it was merged.
    Staged,
    /// A newer version of the file is staged, and not in the object yet.
    NewerStaged,
    /// It has expired: the object alone has its rows.
    Expired,
}

/// A fragment that is not in the object.
#[derive(Serialize)]
struct Waiting {
    fragment: FragmentId,
    staged: Option<Timestamp>,
    #[serde(flatten)]
    source: Option<Source>,
}

#[derive(Serialize)]
struct Version {
    #[serde(rename = "version")]
    id: String,
    written: Option<Timestamp>,
    bytes: u64,
    newest: bool,
    /// A mark that the object was deleted.
    deleted: bool,
    /// The digest of its inputs, and how many these are; nothing where it was not read, or does not say so.
    digest: Option<String>,
    inputs: Option<usize>,
}

/// The window that the operator means.
fn placed(stack: &Stack, text: &str) -> Result<Window, Error> {
    let parameter = |error: String| Error::Other(format!("the stack's parameters cannot be read: {error}"));
    let length: WindowLength = stack.parameter("WindowMinutes").parse().map_err(parameter)?;
    let offset = file_time::parse_offset(stack.parameter("DefaultOffset"))
        .map_err(|error| parameter(error.to_string()))?;
    let time = meant(text, stack.parameter("OutputPrefix"), offset).map_err(Error::Other)?;
    Window::of(time, length).map_err(|error| Error::Other(error.to_string()))
}

/// The time that stands in a window's id, in a time, in a file's name, or in a result's.
fn meant(text: &str, output_prefix: &str, offset: jiff::tz::Offset) -> Result<Timestamp, String> {
    let base_name = text.rsplit('/').next().unwrap_or(text);
    let of_file = file_time::parse(base_name, offset);
    let result = base_name.strip_suffix(".parquet").and_then(|name| name.strip_prefix(output_prefix));
    let bare = result.unwrap_or(base_name);
    of_file.or_else(|_| file_time::parse(&format!("{bare}.csv"), offset)).map_err(|error| {
        format!(
            "`{text}` is neither a window (20210101T180000Z), nor a time, nor the name of a file: {}",
            error.reason
        )
    })
}

async fn gathered(session: &Session, window: Window, with_raw: bool) -> Result<Answer, Error> {
    let Session { aws, stack, .. } = session;
    let bucket = stack.output("BucketName")?;
    let prefix: OutputPrefix =
        stack.parameter("OutputPrefix").parse().map_err(|error| Error::Other(format!("{error}")))?;
    let key = prefix.output_key(&window);
    let mut not_seen = NotSeen::default();

    let object = not_seen.seen("object", object::read(aws, bucket, key.as_str()).await);
    // What is not there is made of nothing; what cannot be read is made of what nobody knows.
    let lineage = match &object {
        None => None,
        Some(None) => Some(Vec::new()),
        Some(Some(object)) => not_seen.seen("object", lineage(object, &window)),
    };
    let staged = not_seen.seen("staging", staged(session, bucket, &window).await);
    let mut versions = not_seen.seen("versions", versions(session, bucket, &key).await);
    if let Some(versions) = &mut versions {
        not_seen.seen("versions", look_into(aws, bucket, &key, versions).await);
    }
    let executions = executions_of(session, &window, &mut not_seen).await;
    let ours = match &object {
        None => Ours::NotSeen,
        Some(None) => Ours::Absent,
        Some(Some(object)) => Ours::Stands(&object.etag),
    };
    let delivery = not_seen.seen("delivery", delivery::look(session, &key, ours).await);

    // Without the object it cannot be said what is not in it.
    let absent = lineage.as_ref().map(|lineage| absent(lineage, staged.as_ref(), executions.as_deref()));
    let (not_merged, not_staged) = absent.unwrap_or_default();
    let is_read = lineage.is_some();
    let not_merged = waiting(session, bucket, &window, not_merged, &mut not_seen).await;
    let inputs =
        parts(session, bucket, &window, lineage.unwrap_or_default(), staged.as_ref(), with_raw).await;
    let object = object.flatten().map(|object| {
        let sum = |count: fn(&Source) -> u64| {
            is_read.then(|| inputs.iter().map(|part| count(&part.input.source)).sum())
        };
        Merged {
            key,
            rows: sum(|source| source.rows),
            rejected_rows: sum(|source| source.rejected_rows),
            etag: object.etag,
            version: object.version,
            written: object.written,
            bytes: object.bytes,
            digest: object.digest,
        }
    });
    let any = |found: Option<bool>| found.unwrap_or_default();
    let known = object.is_some()
        || any(staged.map(|staged| !staged.is_empty()))
        || any(versions.as_ref().map(|versions| !versions.is_empty()))
        || any(executions.as_ref().map(|executions| !executions.is_empty()))
        || any(delivery.as_ref().map(|delivery| delivery.state != delivery::State::NotDelivered));
    Ok(Answer {
        stack: stack.name.clone(),
        bucket: bucket.to_owned(),
        window,
        known,
        object,
        inputs,
        not_merged,
        not_staged,
        versions,
        executions,
        delivery,
        not_seen,
    })
}

/// What the object says that it is made of.
fn lineage(object: &Object, window: &Window) -> Result<Vec<Input>, Error> {
    let of: Window = object.says(WINDOW_KEY)?;
    if of != *window {
        let (start, end) = (of.start(), of.end());
        return Err(Error::Other(format!(
            "the object is of another window, {start} to {end}: has WindowMinutes been changed?"
        )));
    }
    object.says(LINEAGE_KEY)
}

/// A fragment's version, and when it was staged.
type StagedAt = (ETag, Option<Timestamp>);

async fn staged(
    session: &Session,
    bucket: &str,
    window: &Window,
) -> Result<BTreeMap<FragmentId, StagedAt>, Error> {
    let s3 = session.aws.s3();
    let listing = s3.list_objects_v2().bucket(bucket).prefix(name::staging_prefix(window));
    let mut pages = listing.into_paginator().send();
    let mut staged = BTreeMap::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| session.aws.failed("s3:ListBucket", &error))?;
        for entry in page.contents.unwrap_or_default() {
            let key: Option<ObjectKey> = entry.key.and_then(|key| key.parse().ok());
            if let Some(fragment) = key.and_then(|key| FragmentId::from_staging_key(window, &key)) {
                let etag = ETag::from(entry.e_tag.unwrap_or_default());
                staged.insert(fragment, (etag, entry.last_modified.as_ref().and_then(time)));
            }
        }
    }
    Ok(staged)
}

async fn versions(session: &Session, bucket: &str, key: &ObjectKey) -> Result<Vec<Version>, Error> {
    let s3 = session.aws.s3();
    let (mut after_key, mut after_version) = (None, None);
    let mut versions = Vec::new();
    loop {
        let listing = s3.list_object_versions().bucket(bucket).prefix(key.as_str());
        let page = listing.set_key_marker(after_key).set_version_id_marker(after_version).send().await;
        let page = page.map_err(|error| session.aws.failed("s3:ListBucketVersions", &error))?;
        let is_ours = |found: Option<&str>| found == Some(key.as_str());
        versions.extend(page.versions().iter().filter(|one| is_ours(one.key())).map(|one| Version {
            id: one.version_id().unwrap_or_default().to_owned(),
            written: one.last_modified().and_then(time),
            bytes: one.size().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default(),
            newest: one.is_latest().unwrap_or_default(),
            deleted: false,
            digest: None,
            inputs: None,
        }));
        versions.extend(page.delete_markers().iter().filter(|one| is_ours(one.key())).map(|one| Version {
            id: one.version_id().unwrap_or_default().to_owned(),
            written: one.last_modified().and_then(time),
            bytes: 0,
            newest: one.is_latest().unwrap_or_default(),
            deleted: true,
            digest: None,
            inputs: None,
        }));
        if !page.is_truncated().unwrap_or_default() {
            break;
        }
        (after_key, after_version) = (page.next_key_marker, page.next_version_id_marker);
    }
    versions.sort_by_key(|one| std::cmp::Reverse((one.newest, one.written)));
    Ok(versions)
}

/// Looks into the newest versions. An error is the first that was met; what was listed stays.
async fn look_into(aws: &Aws, bucket: &str, key: &ObjectKey, versions: &mut [Version]) -> Result<(), Error> {
    let look = async |version: &mut Version| {
        let object = match object::read_version(aws, bucket, key.as_str(), Some(&version.id)).await {
            Ok(Some(object)) => object,
            // Removed since, or put there by somebody else.
            Ok(None) | Err(Error::Other(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        version.inputs = object.says::<Vec<Input>>(LINEAGE_KEY).ok().map(|lineage| lineage.len());
        version.digest = object.digest;
        Ok(())
    };
    let newest = versions.iter_mut().filter(|version| !version.deleted).take(READ_VERSIONS);
    let looked: Vec<Result<(), Error>> =
        stream::iter(newest).map(look).buffer_unordered(AT_A_TIME).collect().await;
    looked.into_iter().collect()
}

async fn executions_of(session: &Session, window: &Window, not_seen: &mut NotSeen) -> Option<Vec<Execution>> {
    let Session { aws, stack, .. } = session;
    let newest = not_seen.seen("executions", executions::newest(aws, stack, None, EXECUTIONS).await)?;
    let oldest = newest.last().and_then(|last| last.started);
    if newest.len() == EXECUTIONS && oldest.is_none_or(|oldest| oldest > before_any(stack, window)) {
        let since = clock(oldest);
        not_seen
            .add("executions", format!("those before {since}: only the newest 10,000 are looked through"));
    }
    let id = window.id();
    let mut of_window: Vec<Execution> = newest.into_iter().filter(|one| one.window() == id).collect();
    let closer = of_window.len().min(DESCRIBED);
    if of_window.len() > DESCRIBED {
        not_seen.add("executions", format!("files and causes of all but the newest {DESCRIBED}"));
    }
    if let Some(closer) = of_window.get_mut(..closer) {
        not_seen.seen("executions", executions::describe(aws, closer).await);
    }
    Some(of_window)
}

/// When no execution of the window can have started yet: its files may be announced only so long before their time.
fn before_any(stack: &Stack, window: &Window) -> Timestamp {
    let ahead = stack.parameter("MaxFutureMinutes").parse().unwrap_or_default();
    window.start().checked_sub(SignedDuration::from_mins(ahead)).unwrap_or(Timestamp::MIN)
}

/// What is staged and not in the object, with when; and what executions were to stage, and is neither.
fn absent(
    lineage: &[Input],
    staged: Option<&BTreeMap<FragmentId, StagedAt>>,
    executions: Option<&[Execution]>,
) -> (Vec<(FragmentId, Option<Timestamp>)>, Vec<String>) {
    let merged: BTreeSet<&FragmentId> = lineage.iter().map(|input| &input.fragment).collect();
    let Some(staged) = staged else {
        return (Vec::new(), Vec::new());
    };
    let not_merged = staged.iter().filter(|(fragment, _)| !merged.contains(fragment));
    let mut not_staged = BTreeSet::new();
    for input in executions.unwrap_or_default().iter().filter_map(|execution| execution.input.as_ref()) {
        for file in &input.files {
            let fragment = FragmentId::of(&input.source.bucket, &file.key);
            if !merged.contains(&fragment) && !staged.contains_key(&fragment) {
                not_staged.insert(file.key.to_string());
            }
        }
    }
    (
        not_merged.map(|(fragment, (_, time))| (fragment.clone(), *time)).collect(),
        not_staged.into_iter().collect(),
    )
}

/// Each says itself what it was read from.
async fn waiting(
    session: &Session,
    bucket: &str,
    window: &Window,
    fragments: Vec<(FragmentId, Option<Timestamp>)>,
    not_seen: &mut NotSeen,
) -> Vec<Waiting> {
    let look = async |(fragment, staged): (FragmentId, Option<Timestamp>)| {
        let key = fragment.staging_key(window);
        let source = match object::read(&session.aws, bucket, key.as_str()).await {
            Ok(Some(object)) => object.says::<Source>(SOURCE_KEY).map(Some),
            // Removed since.
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        (Waiting { fragment, staged, source: None }, source)
    };
    let looked: Vec<_> = stream::iter(fragments).map(look).buffered(AT_A_TIME).collect().await;
    let mut failed = None;
    let waiting = looked.into_iter().map(|(waiting, source)| match source {
        Ok(source) => Waiting { source, ..waiting },
        Err(error) => {
            failed.get_or_insert(error);
            waiting
        }
    });
    let waiting = waiting.collect();
    if let Some(error) = failed {
        not_seen.add("staging", error.to_string());
    }
    waiting
}

async fn parts(
    session: &Session,
    bucket: &str,
    window: &Window,
    lineage: Vec<Input>,
    staged: Option<&BTreeMap<FragmentId, StagedAt>>,
    with_raw: bool,
) -> Vec<Part> {
    let look = async |input: Input| {
        let staging = staged.map(|staged| match staged.get(&input.fragment) {
            Some((etag, _)) if *etag == input.fragment_etag => Staging::Staged,
            Some(_) => Staging::NewerStaged,
            None => Staging::Expired,
        });
        let (rejected, rejected_not_seen) = if input.source.rejected_rows == 0 {
            (None, None)
        } else {
            match rejected::read(&session.aws, bucket, window, &input, with_raw).await {
                Ok(rejected) => (Some(rejected), None),
                Err(error) => (None, Some(error.to_string())),
            }
        };
        Part { input, staging, rejected, rejected_not_seen }
    };
    stream::iter(lineage).map(look).buffered(AT_A_TIME).collect().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::Offset;

    #[test]
    fn a_window_is_meant_by_its_id_a_time_a_file_or_a_result() {
        for text in [
            "20210101T180131Z",
            "2021-01-01T18:01:31Z",
            "2021-01-1T12:01:31-06:00",
            "2021-01-1T12:01:31-06:00.csv",
            "/infra-eng/x/input/2021-01-1T12:01:31-06:00.CSV.gz",
            "s3://bucket/infra-eng/x/input/2021-001T18:01:31.csv",
            "output/ms-20210101T180131Z.parquet",
        ] {
            assert_eq!(
                meant(text, "ms-", Offset::UTC).unwrap().to_string(),
                "2021-01-01T18:01:31Z",
                "{text}"
            );
        }
        let six = Offset::constant(-6);
        assert_eq!(meant("2021-01-01T12:01", "ms-", six).unwrap().to_string(), "2021-01-01T18:01:00Z");
    }

    #[test]
    fn what_is_no_window_says_what_would_be_one() {
        for text in ["", "yesterday", "2021-01-01", "ms-20210101T180000Z.csv", "x-20210101T180000Z.parquet"] {
            let said = meant(text, "ms-", Offset::UTC).unwrap_err();
            assert!(said.starts_with(&format!("`{text}` is neither a window (20210101T180000Z)")), "{said}");
        }
    }
}
