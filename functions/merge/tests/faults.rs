//! The real `stage`, `merge` and `deliver` on buckets that are slow, refuse, cut bodies short and lose replies, killed at any
//! call, told twice, late and out of order, over fragments that expire: in an order that follows from a seed.
//!
//! `SEEDS=FROM..TO` runs those; a failure names its seed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, pending};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use common::{Granted, lookup, output, source, time, window};
use deliver::Deliver;
use fastrand::Rng;
use futures_util::StreamExt;
use futures_util::future::{LocalBoxFuture, join, join_all};
use futures_util::stream::FuturesUnordered;
use merge::Merge;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
use serde_json::{Value, json};
use settings::Settings;
use stage::Stage;
use store::memory::Memory;
use store::{Body, Head, Kind, Listed, Object, Put, Store, StoreError, Written};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use window::payload::{MergeOutput, StageOutput};
use window::{ETag, ObjectKey};

/// A bucket, and what the calls to it go through.
#[derive(Clone)]
struct Rough(Arc<Inner>);

struct Inner {
    bucket: Memory,
    rng: Mutex<Rng>,
    /// How many calls in a thousand go wrong.
    mishaps: u32,
    is_calm: AtomicBool,
    /// Bytes of fragments read, and of outputs written.
    work: AtomicU64,
    /// Outputs that were written, of which nobody has been told.
    notices: Mutex<Vec<ObjectKey>>,
}

/// What becomes of a call.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Well,
    /// 503 or a timeout, before anything was done.
    Refused,
    /// It was done, and nobody hears of it.
    ReplyLost,
    /// A body ends early; a condition fails though it holds, as S3's 409 says.
    HalfDone,
    /// The function is killed before the call is made, or after it was done.
    KilledBefore,
    KilledAfter,
}

impl Rough {
    fn new(rng: &mut Rng, mishaps: u32) -> Self {
        Self(Arc::new(Inner {
            bucket: Memory::default(),
            rng: Mutex::new(rng.fork()),
            mishaps,
            is_calm: AtomicBool::new(false),
            work: AtomicU64::new(0),
            notices: Mutex::default(),
        }))
    }

    fn fate(&self) -> (Fate, Duration) {
        let mut rng = self.0.rng.lock().unwrap();
        let longest = if self.0.mishaps > 0 && rng.u8(0..20) == 0 { 20_000 } else { 300 };
        let delay = Duration::from_millis(rng.u64(1..longest));
        let is_mishap = rng.u32(0..1_000) < self.0.mishaps && !self.0.is_calm.load(Ordering::Relaxed);
        let fates = [Fate::Refused, Fate::ReplyLost, Fate::HalfDone, Fate::KilledBefore, Fate::KilledAfter];
        (if is_mishap { rng.choice(fates).unwrap() } else { Fate::Well }, delay)
    }

    async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
        half: impl FnOnce(T) -> T,
    ) -> Result<T, StoreError> {
        let (fate, delay) = self.fate();
        sleep(delay).await;
        if fate == Fate::KilledBefore {
            return pending().await;
        }
        if fate == Fate::Refused {
            return Err(unavailable());
        }
        let done = call.await;
        sleep(delay / 2).await;
        match fate {
            Fate::KilledAfter => pending().await,
            Fate::ReplyLost => Err(unavailable()),
            Fate::HalfDone => done.map(half),
            _ => done,
        }
    }

    fn worked(&self, bytes: u64) {
        self.0.work.fetch_add(bytes, Ordering::Relaxed);
    }
}

fn unavailable() -> StoreError {
    let bucket = "rough".parse().unwrap();
    StoreError {
        kind: Kind::Unavailable,
        operation: "call",
        bucket,
        key: String::new(),
        detail: "as the dice fell".to_owned(),
    }
}

fn cut(object: Option<Object>) -> Option<Object> {
    object.map(|object| Object { body: Box::new(std::io::Cursor::new(b"PAR1")), ..object })
}

impl Store for Rough {
    async fn head(&self, key: &ObjectKey) -> Result<Option<Head>, StoreError> {
        self.call(self.0.bucket.head(key), |head| head).await
    }

    async fn get(&self, key: &ObjectKey, version: Option<&ETag>) -> Result<Option<Object>, StoreError> {
        let object = self.call(self.0.bucket.get(key, version), cut).await?;
        if let Some(object) = &object
            && key.as_str().starts_with("staging/")
        {
            self.worked(object.head.bytes);
        }
        Ok(object)
    }

    async fn get_range(
        &self,
        key: &ObjectKey,
        version: &ETag,
        range: Range<u64>,
    ) -> Result<Option<Object>, StoreError> {
        self.call(self.0.bucket.get_range(key, version, range), cut).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.call(self.0.bucket.list(prefix), |listed| listed).await
    }

    async fn first(&self, prefix: &str) -> Result<Option<ObjectKey>, StoreError> {
        self.call(self.0.bucket.first(prefix), |first| first).await
    }

    async fn put(&self, put: Put<'_>, mut body: Body) -> Result<Written, StoreError> {
        let (key, is_output) = (put.key, put.key.as_str().starts_with("output/"));
        let put = async {
            let mut bytes = Vec::new();
            body.read_to_end(&mut bytes).await.map_err(|_| unavailable())?;
            if is_output {
                self.worked(bytes.len() as u64);
            }
            let written = self.0.bucket.put(put, Box::new(std::io::Cursor::new(bytes))).await;
            // S3 tells of what was written, whoever hears the reply.
            if is_output && matches!(written, Ok(Written::As(_))) {
                self.0.notices.lock().unwrap().push(key.clone());
            }
            written
        };
        // The SDK's own retry of a put whose reply was lost, or S3's 409.
        self.call(put, |_| Written::Lost).await
    }
}

/// Both functions, the publisher, and what is known of both.
struct World {
    ours: Rough,
    theirs: Rough,
    stage: Stage<Rough, Rough, Granted>,
    merge: Merge<Rough>,
    deliver: Deliver<Rough, Rough, Granted>,
    /// The version that stands in the source bucket.
    published: Mutex<BTreeMap<u8, u32>>,
    announced: Mutex<BTreeSet<u8>>,
    /// Files whose announcement is to be repeated.
    letters: Mutex<Vec<u8>>,
    /// Results whose delivery is to be repeated.
    undelivered: Mutex<Vec<ObjectKey>>,
    rng: Mutex<Rng>,
    /// Whether executions let each other go first: what saves work must not be what keeps rows.
    is_polite: bool,
}

const WINDOW_END: u64 = 300;
const GRACE: u64 = 60;

impl World {
    fn new(rng: &mut Rng, mishaps: u32) -> Self {
        let settings = || Settings::from_lookup(lookup);
        let (ours, theirs) = (Rough::new(rng, mishaps), Rough::new(rng, mishaps));
        let stage = Stage {
            ours: ours.clone(),
            theirs: theirs.clone(),
            role: Granted,
            config: stage::Config::read(&settings()).unwrap(),
        };
        let merge = Merge { ours: ours.clone(), config: merge::Config::read(&settings()).unwrap() };
        let deliver = Deliver {
            ours: ours.clone(),
            theirs: theirs.clone(),
            role: Granted,
            config: deliver::Config::read(&settings()).unwrap(),
        };
        Self {
            ours,
            theirs,
            stage,
            merge,
            deliver,
            published: Mutex::default(),
            announced: Mutex::default(),
            letters: Mutex::default(),
            undelivered: Mutex::default(),
            rng: Mutex::new(rng.fork()),
            is_polite: rng.bool(),
        }
    }

    fn publish(&self, file: u8) {
        let mut published = self.published.lock().unwrap();
        let version = published.entry(file).and_modify(|version| *version += 1).or_insert(1);
        let row = |row: u8| format!("{file},{version},{row}\n");
        let csv = format!("file,version,row\n{}", (0..=file % 3).map(row).collect::<String>());
        self.theirs.0.bucket.place(&source(file), csv.as_bytes(), &[]);
    }

    /// One execution, as the state machine runs it.
    async fn execute(&self, start: Instant, files: Vec<u8>) {
        self.announced.lock().unwrap().extend(&files);
        let announced: Vec<u32> = files.iter().map(|file| self.published.lock().unwrap()[file]).collect();
        let closes_at = start + Duration::from_secs(start.elapsed().as_secs().max(WINDOW_END) + GRACE);
        let mut staged = Vec::new();
        let mut merging = Vec::new();
        for (file, version) in files.into_iter().zip(announced) {
            match self.stage_file(file).await {
                Some(fragment) => {
                    staged.push(fragment);
                    merging.push((file, version));
                }
                None => self.letters.lock().unwrap().push(file),
            }
        }
        if staged.is_empty() {
            return;
        }
        sleep_until(closes_at).await;
        if self.merge_window(&staged).await {
            let rows = self.rows();
            for (file, announced) in merging {
                let found = rows.iter().find(|(found, ..)| *found == file).map(|(_, version, _)| *version);
                assert!(found >= Some(announced), "file {file}: ended well with {found:?}, not {announced}");
            }
        } else {
            self.letters.lock().unwrap().extend(merging.iter().map(|(file, _)| *file));
        }
    }

    async fn stage_file(&self, file: u8) -> Option<Value> {
        let input = json!({
            "bucket": "theirs", "key": source(file), "time": time(file), "index": 0,
            "window": window(5),
        });
        for attempt in 0..4 {
            if let Ok(Ok(StageOutput { fragment, etag, .. })) =
                timeout(Duration::from_mins(10), self.stage.handle(input.clone())).await
            {
                return Some(json!({"fragment": fragment, "etag": etag}));
            }
            self.back_off(attempt).await;
        }
        None
    }

    async fn merge_window(&self, staged: &[Value]) -> bool {
        let mut put_off = 0;
        let mut attempt = 0;
        while attempt < 6 {
            let input = json!({
                "window": window(5), "closes_at": "2021-01-01T18:06:00Z", "staged": staged,
                "put_off": self.is_polite.then_some(put_off),
            });
            match timeout(Duration::from_mins(15), self.merge.handle(input)).await {
                Ok(Ok(MergeOutput::Merged { .. })) => return true,
                Ok(Ok(MergeOutput::PutOff { seconds })) => {
                    sleep(Duration::from_secs(seconds.into())).await;
                    put_off += 1;
                }
                _ => {
                    self.back_off(attempt).await;
                    attempt += 1;
                }
            }
        }
        false
    }

    fn ends_equal(&self) {
        assert!(self.undelivered.lock().unwrap().is_empty(), "what was delivered in calm failed again");
        let result =
            |bucket: &Rough, key: &str| bucket.0.bucket.peek(&key.parse().unwrap()).map(|(_, bytes)| bytes);
        let ours = result(&self.ours, output().as_str());
        assert_eq!(result(&self.theirs, &format!("p/{}", output())), ours, "the publisher has the newest");
    }

    /// Hands each notice to `deliver`, late, out of order and sometimes twice, until nothing more is to come.
    async fn deliver_all(&self, is_last: &AtomicBool) {
        let mut under_way = FuturesUnordered::new();
        loop {
            let was_last = is_last.load(Ordering::Relaxed);
            for key in std::mem::take(&mut *self.ours.0.notices.lock().unwrap()) {
                let times = 1 + usize::from(self.rng.lock().unwrap().u8(0..4) == 0);
                under_way.extend((0..times).map(|_| self.deliver_result(key.clone(), 60_000)));
            }
            if under_way.is_empty() {
                if was_last {
                    return;
                }
                sleep(Duration::from_secs(1)).await;
            } else {
                let _ = timeout(Duration::from_secs(1), under_way.next()).await;
            }
        }
    }

    /// Tells `deliver` of a result, at the latest after so many milliseconds, and once more when it fails.
    async fn deliver_result(&self, key: ObjectKey, latest: u64) {
        let late = self.rng.lock().unwrap().u64(0..=latest);
        sleep(Duration::from_millis(late)).await;
        let event = json!({"Records": [{
            "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1",
            "eventTime": "2021-01-01T18:06:00.000Z", "eventName": "ObjectCreated:Put",
            "userIdentity": {"principalId": "AWS:X"}, "requestParameters": {"sourceIPAddress": "127.0.0.1"},
            "responseElements": {},
            "s3": {
                "s3SchemaVersion": "1.0", "configurationId": "c",
                "bucket": {"name": "ours", "ownerIdentity": {"principalId": "A"}, "arn": ""},
                "object": {"key": key, "size": 1, "eTag": "e", "sequencer": "0"},
            },
        }]});
        for attempt in 0..3 {
            if let Ok(Ok(_)) = timeout(Duration::from_mins(15), self.deliver.handle(event.clone())).await {
                return;
            }
            sleep(Duration::from_mins(1 << attempt)).await;
        }
        self.undelivered.lock().unwrap().push(key);
    }

    async fn back_off(&self, attempt: u32) {
        let pause = self.rng.lock().unwrap().u64(0..3_000 << attempt);
        sleep(Duration::from_millis(pause)).await;
    }

    /// File, version and row of each row of the output.
    fn rows(&self) -> Vec<(u8, u32, i64)> {
        let Some((_, object)) = self.ours.0.bucket.peek(&output()) else { return Vec::new() };
        let reader = SerializedFileReader::new(Bytes::from(object)).unwrap();
        let row = |row: Result<parquet::record::Row, _>| {
            let row = row.unwrap();
            let number = |place| row.get_long(place).unwrap();
            (u8::try_from(number(0)).unwrap(), u32::try_from(number(1)).unwrap(), number(2))
        };
        reader.get_row_iter(None).unwrap().map(row).collect()
    }

    /// Takes fragments away, mostly such as have been merged.
    fn expire(&self) {
        let mut rng = self.rng.lock().unwrap();
        let bucket = &self.ours.0.bucket;
        for key in bucket.keys() {
            if key.as_str().starts_with("staging/") && rng.bool() {
                bucket.expire(&key);
            }
        }
    }
}

async fn run(seed: u64) {
    let rng = &mut Rng::with_seed(seed);
    fastrand::seed(seed);
    let mishaps = [0, 10, 50, 150][rng.usize(0..4)];
    let world = World::new(rng, mishaps);
    let start = Instant::now();
    let files = rng.u8(1..7);
    let mut tasks: Vec<LocalBoxFuture<'_, ()>> = Vec::new();
    for _ in 0..rng.usize(1..9) {
        let mut listed: Vec<u8> = (0..rng.usize(1..4)).map(|_| rng.u8(0..files)).collect();
        listed.sort_unstable();
        listed.dedup();
        // Messages come at any time, but many at once.
        let at = Duration::from_secs(if rng.bool() { 30 } else { rng.u64(0..900) });
        let repeated = 1 + usize::from(rng.u8(0..4) == 0);
        let overwritten = rng.bool();
        let world = &world;
        tasks.push(Box::pin(async move {
            sleep(at).await;
            for file in &listed {
                if overwritten || !world.published.lock().unwrap().contains_key(file) {
                    world.publish(*file);
                }
            }
            let executions = (0..repeated).map(|_| world.execute(start, listed.clone()));
            join_all(executions).await;
        }));
    }
    if rng.u8(0..3) == 0 {
        let at = Duration::from_secs(rng.u64(0..1_200));
        let world = &world;
        tasks.push(Box::pin(async move {
            sleep(at).await;
            world.expire();
        }));
    }
    let is_last = AtomicBool::new(false);
    let everything = async {
        join_all(tasks).await;
        is_last.store(true, Ordering::Relaxed);
    };
    join(everything, world.deliver_all(&is_last)).await;
    // Somebody mends what was broken, and replays what failed: whatever was announced.
    world.ours.0.is_calm.store(true, Ordering::Relaxed);
    world.theirs.0.is_calm.store(true, Ordering::Relaxed);
    let letters: BTreeSet<u8> = std::mem::take(&mut *world.letters.lock().unwrap()).into_iter().collect();
    join_all(letters.into_iter().map(|file| world.execute(start, vec![file]))).await;
    let undelivered = std::mem::take(&mut *world.undelivered.lock().unwrap());
    join_all(undelivered.into_iter().map(|key| world.deliver_result(key, 0))).await;
    world.deliver_all(&AtomicBool::new(true)).await;
    assert!(world.letters.lock().unwrap().is_empty(), "what was replayed in calm failed again");
    world.ends_equal();
    let published = world.published.lock().unwrap().clone();
    let expected: Vec<(u8, u32, i64)> = world
        .announced
        .lock()
        .unwrap()
        .iter()
        .flat_map(|file| (0..=i64::from(file % 3)).map(|row| (*file, published[file], row)))
        .collect();
    assert_eq!(world.rows(), expected);
}

fn in_virtual_time(test: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(test);
}

#[test]
fn each_announced_row_stands_exactly_once_whatever_happens() {
    for_each_seed(run);
}

/// Results that are written one soon after the other, so that copies of former ones are still under way when the last one
/// is delivered. Each is told of once: nobody comes later and mends what went wrong.
async fn deliver_in_a_hurry(seed: u64) {
    let rng = &mut Rng::with_seed(seed);
    fastrand::seed(seed);
    let mishaps = [0, 50][rng.usize(0..2)];
    let world = &World::new(rng, mishaps);
    let writes = (0..rng.u8(2..6)).map(|version| {
        let at = Duration::from_millis(rng.u64(0..2_000));
        async move {
            sleep(at).await;
            let etag = world.ours.0.bucket.place(&output(), &[version; 9], &[]);
            sleep(Duration::from_millis(u64::from(version) * 10)).await;
            world.deliver_result(output(), 500).await;
            etag
        }
    });
    join_all(writes.collect::<Vec<_>>()).await;
    world.ours.0.is_calm.store(true, Ordering::Relaxed);
    world.theirs.0.is_calm.store(true, Ordering::Relaxed);
    let undelivered = std::mem::take(&mut *world.undelivered.lock().unwrap());
    for key in undelivered {
        world.deliver_result(key, 0).await;
    }
    world.ends_equal();
}

#[test]
fn what_stands_at_the_destination_in_the_end_is_the_newest() {
    for_each_seed(deliver_in_a_hurry);
}

fn for_each_seed<F: Future<Output = ()>>(run: impl Fn(u64) -> F + Send + Sync + std::panic::RefUnwindSafe) {
    let seeds = std::env::var("SEEDS").ok();
    let seeds = seeds
        .as_deref()
        .and_then(|seeds| seeds.split_once(".."))
        .map_or(0..2_000, |(from, to)| from.parse().unwrap()..to.parse().unwrap());
    let next = AtomicU64::new(seeds.start);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let seed = next.fetch_add(1, Ordering::Relaxed)
                    && seeds.contains(&seed)
                {
                    let outcome = std::panic::catch_unwind(|| in_virtual_time(run(seed)));
                    assert!(outcome.is_ok(), "with seed {seed}; SEEDS={seed}..{} repeats it", seed + 1);
                }
            });
        }
    });
}

/// Bytes of fragments read and of outputs written, where each of 100 messages brings a file and so many of them are
/// there, spread over `seconds` after the close; as a multiple of what one merge of all takes.
async fn work_of_a_hundred(seconds: u64, one_is_gone: bool) -> f64 {
    const MESSAGES: u8 = 100;
    let rng = &mut Rng::with_seed(seconds);
    let mut world = World::new(rng, 0);
    world.is_polite = true;
    let start = Instant::now();
    let first = WINDOW_END;
    for file in 0..MESSAGES {
        world.publish(file);
    }
    let world = &world;
    let execute = |file: u8| async move {
        let after = seconds * u64::from(file) / u64::from(MESSAGES);
        sleep_until(start + Duration::from_secs(first + after)).await;
        if file == 0 && one_is_gone {
            // It stages, and never comes to merge.
            world.stage_file(file).await;
        } else {
            world.execute(start, vec![file]).await;
        }
    };
    join_all((0..MESSAGES).map(execute)).await;
    assert_eq!(world.rows().len(), (0..MESSAGES).map(|file| usize::from(file % 3) + 1).sum::<usize>());
    let bucket = &world.ours.0.bucket;
    let kept = bucket.keys().into_iter().filter(|key| !key.as_str().starts_with("rejected/"));
    let once: u64 = kept.map(|key| bucket.peek(&key).unwrap().0.bytes).sum();
    #[expect(clippy::cast_precision_loss, reason = "a ratio of megabytes")]
    let ratio = world.ours.0.work.load(Ordering::Relaxed) as f64 / once as f64;
    ratio
}

#[test]
fn a_hundred_messages_merge_little_more_than_one() {
    in_virtual_time(async {
        for one_is_gone in [false, true] {
            let work = work_of_a_hundred(0, one_is_gone).await;
            println!("all at once, one gone: {one_is_gone}: {work:.2} times");
            assert!(work <= 3.0, "{work}");
        }
        for seconds in [30, 60, 300, 900] {
            let work = work_of_a_hundred(seconds, false).await;
            #[expect(clippy::cast_precision_loss, reason = "some seconds")]
            let most = 3.0 + seconds as f64 / GRACE as f64;
            println!("within {seconds} s: {work:.2} times, at most {most:.1}");
            assert!(work <= most, "{work} where {most} are allowed");
        }
    });
}
