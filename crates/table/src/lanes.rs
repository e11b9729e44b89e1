//! Work on columns side by side: batches in, row groups out, each lane at its own pace.
//!
//! A lane is some neighbouring columns. Each takes every batch, in order; which thread does it, and when, decides
//! nothing but the time that it takes. One thread alone does all of it without any other being started.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::encode::Tools;

/// Lanes are far more than threads, so that none waits for the slowest one, and few enough to be looked through.
const MAX_LANES: usize = 24;
/// Batches that are begun and not yet done by all lanes, beyond one for each thread.
const BATCHES_AHEAD: usize = 2;

/// Some columns' work.
pub(crate) trait Lane: Send {
    type Batch: Default + Send + Sync;
    type Yield: Send;
    type Error: Send;

    /// Takes its columns of the next batch.
    fn take(&mut self, batch: &Self::Batch, tools: &mut Tools) -> Result<(), Self::Error>;

    /// Ends a group of batches, which may be the last.
    fn end_group(&mut self, is_last: bool, tools: &mut Tools) -> Result<Self::Yield, Self::Error>;
}

/// What comes next.
pub(crate) enum Next {
    /// The batch was filled.
    Batch,
    /// The batches since the last group are one.
    EndOfGroup,
    /// No more.
    End,
}

/// Parts so many columns into lanes.
pub(crate) fn part(columns: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let lanes = columns.clamp(1, MAX_LANES);
    (0..lanes).map(move |lane| columns * lane / lanes..columns * (lane + 1) / lanes)
}

/// How many threads there is room for.
pub(crate) fn threads() -> usize {
    static THREADS: LazyLock<usize> =
        LazyLock::new(|| thread::available_parallelism().map_or(1, usize::from));
    *THREADS
}

enum Job<B> {
    Batch(B),
    EndOfGroup { is_last: bool },
}

struct Slot<L: Lane> {
    /// Away while a thread works on it.
    lane: Option<L>,
    /// The job that it takes next.
    next: usize,
}

struct State<L: Lane> {
    slots: Vec<Slot<L>>,
    jobs: VecDeque<Arc<Job<L::Batch>>>,
    /// The number of the first of them.
    first: usize,
    /// Batches to be filled again.
    spare: Vec<L::Batch>,
    /// What lanes have made of groups: by group, by lane.
    groups: VecDeque<Vec<Option<L::Yield>>>,
    /// The group that each lane is at, counted from the first in `groups`.
    group_of: Vec<usize>,
    failed: Option<L::Error>,
    /// Threads that wait for something to do.
    waiting: usize,
    /// Nothing more is to be done: all is, or something failed, or somebody panicked.
    ended: bool,
}

/// A lane at work, and what on.
struct Work<L: Lane> {
    index: usize,
    lane: L,
    job: Arc<Job<L::Batch>>,
}

struct Shared<L: Lane> {
    state: Mutex<State<L>>,
    changed: Condvar,
    batches: usize,
}

/// Runs lanes over what `next` fills in, and hands each complete group to `write`, in order.
///
/// # Errors
///
/// The first error of `next`, of `write` or of a lane.
pub(crate) fn run<L: Lane>(
    lanes: impl IntoIterator<Item = L>,
    threads: usize,
    take_tools: impl Fn() -> Result<Tools, L::Error> + Sync,
    next: impl FnMut(&mut L::Batch) -> Result<Next, L::Error>,
    write: impl FnMut(Vec<L::Yield>) -> Result<(), L::Error>,
) -> Result<Vec<L>, L::Error> {
    let slots: Vec<_> = lanes.into_iter().map(|lane| Slot { lane: Some(lane), next: 0 }).collect();
    let group_of = vec![0; slots.len()];
    let state = State {
        slots,
        jobs: VecDeque::new(),
        first: 0,
        spare: Vec::new(),
        groups: VecDeque::new(),
        group_of,
        failed: None,
        waiting: 0,
        ended: false,
    };
    // One thread alone does well to keep to the batch that is at hand.
    let batches = if threads > 1 { threads + BATCHES_AHEAD } else { 1 };
    let shared = Shared { state: Mutex::new(state), changed: Condvar::new(), batches };
    thread::scope(|scope| {
        let start_helpers = || {
            for _ in 1..threads {
                scope.spawn(|| {
                    let _end = End(&shared);
                    shared.help(&take_tools);
                });
            }
        };
        let _end = End(&shared);
        shared.lead(take_tools()?, start_helpers, next, write)
    })?;
    let state = shared.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    match state.failed {
        Some(error) => Err(error),
        None => Ok(state.slots.into_iter().filter_map(|slot| slot.lane).collect()),
    }
}

/// However a thread ends, also in a panic: the others must not wait for it.
struct End<'a, L: Lane>(&'a Shared<L>);

impl<L: Lane> Drop for End<'_, L> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended = true;
        self.0.tell(&state);
    }
}

impl<L: Lane> Shared<L> {
    fn lock(&self) -> MutexGuard<'_, State<L>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, mut state: MutexGuard<'a, State<L>>) -> MutexGuard<'a, State<L>> {
        state.waiting += 1;
        let mut state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        state
    }

    /// Tells those who wait that something has changed. Where nobody does, it saves a call of the system.
    fn tell(&self, state: &State<L>) {
        if state.waiting > 0 {
            self.changed.notify_all();
        }
    }

    /// Fills batches, writes groups, and helps where there is nothing of either to do.
    fn lead(
        &self,
        mut tools: Tools,
        start_helpers: impl FnOnce(),
        mut next: impl FnMut(&mut L::Batch) -> Result<Next, L::Error>,
        mut write: impl FnMut(Vec<L::Yield>) -> Result<(), L::Error>,
    ) -> Result<(), L::Error> {
        let mut more = true;
        // One batch alone is done sooner than another thread is there.
        let mut is_first = true;
        let mut start_helpers = Some(start_helpers);
        let mut state = self.lock();
        loop {
            if let Some(error) = state.failed.take() {
                return Err(error);
            }
            // A thread that panicked: the panic goes on where the threads are joined.
            if state.ended {
                return Ok(());
            }
            if let Some(group) = state.complete_group() {
                drop(state);
                write(group)?;
                state = self.lock();
            } else if more && state.jobs.len() < self.batches {
                let mut batch = state.spare.pop().unwrap_or_default();
                drop(state);
                let found = next(&mut batch)?;
                state = self.lock();
                match found {
                    Next::Batch => {
                        state.jobs.push_back(Arc::new(Job::Batch(batch)));
                        if !std::mem::take(&mut is_first)
                            && let Some(start) = start_helpers.take()
                        {
                            start();
                        }
                    }
                    Next::EndOfGroup | Next::End => {
                        state.spare.push(batch);
                        more = matches!(found, Next::EndOfGroup);
                        state.jobs.push_back(Arc::new(Job::EndOfGroup { is_last: !more }));
                        let lanes = state.slots.len();
                        state.groups.push_back((0..lanes).map(|_| None).collect());
                    }
                }
                self.tell(&state);
            } else if let Some(work) = state.work() {
                drop(state);
                let done = work.run(&mut tools);
                state = self.lock();
                state.put_back(done);
                self.tell(&state);
            } else if !more && state.jobs.is_empty() && state.groups.is_empty() {
                tools.leave();
                return Ok(());
            } else {
                state = self.wait(state);
            }
        }
    }

    fn help(&self, take_tools: &impl Fn() -> Result<Tools, L::Error>) {
        let mut tools = match take_tools() {
            Ok(tools) => tools,
            Err(error) => {
                self.lock().failed = Some(error);
                return;
            }
        };
        let mut state = self.lock();
        while !state.ended && state.failed.is_none() {
            if let Some(work) = state.work() {
                drop(state);
                let done = work.run(&mut tools);
                state = self.lock();
                state.put_back(done);
                self.tell(&state);
            } else {
                state = self.wait(state);
            }
        }
        tools.leave();
    }
}

/// What became of a lane's work: the lane, and what it yielded where a group ended.
type Done<L> = (usize, L, Result<Option<<L as Lane>::Yield>, <L as Lane>::Error>);

impl<L: Lane> Work<L> {
    fn run(mut self, tools: &mut Tools) -> Done<L> {
        let result = match &*self.job {
            Job::Batch(batch) => self.lane.take(batch, tools).map(|()| None),
            Job::EndOfGroup { is_last } => self.lane.end_group(*is_last, tools).map(Some),
        };
        (self.index, self.lane, result)
    }
}

impl<L: Lane> State<L> {
    /// The lane that is furthest behind, of those that nobody works on.
    fn work(&mut self) -> Option<Work<L>> {
        let last = self.first + self.jobs.len();
        let idle =
            self.slots.iter_mut().enumerate().filter(|(_, slot)| slot.lane.is_some() && slot.next < last);
        let (index, slot) = idle.min_by_key(|(_, slot)| slot.next)?;
        let job = self.jobs[slot.next - self.first].clone();
        slot.lane.take().map(|lane| Work { index, lane, job })
    }

    fn put_back(&mut self, (index, lane, result): Done<L>) {
        self.slots[index].lane = Some(lane);
        self.slots[index].next += 1;
        match result {
            Ok(None) => {}
            Ok(found) => {
                self.groups[self.group_of[index]][index] = found;
                self.group_of[index] += 1;
            }
            Err(error) => self.failed = Some(error),
        }
        while !self.jobs.is_empty() && self.slots.iter().all(|slot| slot.next > self.first) {
            self.first += 1;
            // Another thread may hold it for a moment longer; then there is one batch less to be filled again.
            if let Some(Job::Batch(batch)) = self.jobs.pop_front().and_then(Arc::into_inner) {
                self.spare.push(batch);
            }
        }
    }

    fn complete_group(&mut self) -> Option<Vec<L::Yield>> {
        if self.groups.front()?.iter().any(Option::is_none) {
            return None;
        }
        self.group_of.iter_mut().for_each(|group| *group -= 1);
        self.groups.pop_front().map(|group| group.into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Duration;

    use super::*;

    /// Keeps what it takes; at one number it fails, at another it panics.
    struct Keeper {
        name: usize,
        kept: Vec<u32>,
    }

    const FAILS: u32 = 1_000;
    const PANICS: u32 = 1_001;

    impl Lane for Keeper {
        type Batch = Vec<u32>;
        type Yield = (usize, Vec<u32>, bool);
        type Error = String;

        fn take(&mut self, batch: &Vec<u32>, _: &mut Tools) -> Result<(), String> {
            for number in batch {
                match *number {
                    FAILS if self.name == 1 => return Err(format!("lane {} fails", self.name)),
                    PANICS if self.name == 1 => panic!("lane {} panics", self.name),
                    // Lanes are at different places then.
                    number if number % 5 == 0 => thread::sleep(Duration::from_micros(100 * self.name as u64)),
                    _ => {}
                }
            }
            self.kept.extend(batch);
            Ok(())
        }

        fn end_group(&mut self, is_last: bool, _: &mut Tools) -> Result<Self::Yield, String> {
            Ok((self.name, std::mem::take(&mut self.kept), is_last))
        }
    }

    type Groups = Vec<Vec<(usize, Vec<u32>, bool)>>;

    /// Runs three lanes over numbers, with a group after each tenth, and `extra` in place of number 37.
    fn run_over(threads: usize, extra: u32, fails_to_write: bool) -> Result<Groups, String> {
        let lanes = (0..3).map(|name| Keeper { name, kept: Vec::new() });
        let tools = || Tools::take().map_err(|error| error.to_string());
        let mut numbers = (0..75_u32).map(|number| if number == 37 { extra } else { number });
        let mut count = 0;
        let next = |batch: &mut Vec<u32>| {
            batch.clear();
            count += 1;
            if count % 11 == 0 {
                return Ok(Next::EndOfGroup);
            }
            let Some(number) = numbers.next() else { return Ok(Next::End) };
            batch.push(number);
            Ok(Next::Batch)
        };
        let mut groups = Groups::new();
        let write = |group| {
            groups.push(group);
            if fails_to_write { Err("no room".to_owned()) } else { Ok(()) }
        };
        let lanes = run(lanes, threads, tools, next, write)?;
        assert_eq!(lanes.iter().map(|lane| lane.name).collect::<Vec<_>>(), [0, 1, 2]);
        Ok(groups)
    }

    #[test]
    fn each_lane_takes_each_batch_in_order() {
        for threads in 1..5 {
            let groups = run_over(threads, 37, false).unwrap();
            let expected: Groups = (0..8)
                .map(|group| {
                    let numbers: Vec<u32> = (group * 10..(group * 10 + 10).min(75)).collect();
                    (0..3).map(|name| (name, numbers.clone(), group == 7)).collect()
                })
                .collect();
            assert_eq!(groups, expected, "{threads} threads");
        }
    }

    #[test]
    fn the_first_error_ends_it() {
        for threads in 1..5 {
            assert_eq!(run_over(threads, FAILS, false), Err("lane 1 fails".to_owned()), "{threads} threads");
            assert_eq!(run_over(threads, 37, true), Err("no room".to_owned()), "{threads} threads");
        }
    }

    /// And nobody waits for a thread that is gone.
    #[test]
    fn a_panic_goes_on() {
        for threads in 1..5 {
            let result = catch_unwind(AssertUnwindSafe(|| run_over(threads, PANICS, false)));
            assert!(result.is_err(), "{threads} threads");
        }
    }
}
