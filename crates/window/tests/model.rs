//! The protocol of staging and merging, checked exhaustively for a small bound: two files, one of them overwritten and
//! announced again, three messages in any order, and some mishaps at any step: a function killed, a reply lost, a
//! conflict, a fragment expired, an execution that fails for good and is replayed.
//!
//! What the model says of one step is what the functions do in one request. Each flaw that the protocol avoids is a
//! variant that must fail, so that the model is known to see it.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use stateright::{Checker, Model, Property};

const FILES: usize = 2;

/// Versions of the files; zero where there is none.
type Versions = [u8; FILES];

/// Whose rows the window's object has: files and versions. `None` where there is no object.
type Output = Option<Vec<(usize, u8)>>;

/// What is announced: a file, once it has so high a version.
const MESSAGES: [(usize, u8); 3] = [(0, 1), (0, 2), (1, 1)];

/// A way to do it wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Flaw {
    None,
    /// Fragments are listed and read before the object is looked at.
    ReadsBeforeHead,
    /// Fragments are listed before the object is looked at, and read afterwards.
    ListsBeforeHead,
    UnconditionalPut,
    /// Whoever gets 412 believes that the other has merged its rows too.
    LostMeansDone,
    /// Whoever gets 412 gives up.
    LostMeansFailed,
    /// An execution is named by its window alone.
    NamedByWindow,
    /// An execution is named by the message's id alone, which a redrive keeps.
    NamedByMessage,
    /// Staging writes what it has read, whatever stands there, and looks afterwards whether the source has changed.
    StagesFirst,
    /// An execution ends well when its merge was written, whatever is in it.
    EndsUnseen,
    /// What is staged no more is not taken over from the object.
    CarriesNothing,
}

/// Where an execution is: what it knows, and so what its next request is.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Phase {
    /// Its message has not come.
    Announced,
    /// Its message was taken for a repetition.
    Ignored,
    StageHead,
    StageRead {
        seen: u8,
    },
    StagePut {
        seen: u8,
        read: u8,
    },
    /// Only of [`Flaw::StagesFirst`].
    StageLook {
        read: u8,
    },
    MergeFirst {
        own: u8,
    },
    MergeSecond {
        own: u8,
        head: Output,
        listed: Versions,
    },
    MergeRead {
        own: u8,
        head: Output,
        listed: Versions,
    },
    MergePut {
        own: u8,
        head: Output,
        listed: Versions,
        new: Vec<(usize, u8)>,
    },
    Done,
    Failed,
    /// Only of [`Flaw::LostMeansFailed`].
    GaveUp {
        own: u8,
    },
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct State {
    source: Versions,
    staging: Versions,
    output: Output,
    executions: [Phase; MESSAGES.len()],
    /// The versions that executions have ended well with.
    ended: Versions,
    mishaps: Mishaps,
}

impl State {
    /// The version of a file that stands in the object.
    fn version(&self, file: usize) -> Option<u8> {
        let rows = self.output.iter().flatten().filter(|(other, _)| *other == file);
        rows.map(|(_, version)| *version).max()
    }
}

/// How many are still to come.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Mishaps {
    kills: u8,
    lost_replies: u8,
    conflicts: u8,
    expiries: u8,
    failures: u8,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Action {
    Overwrite,
    Deliver(usize),
    Step(usize),
    /// The request is done, and its reply is lost: asked again, it is refused.
    LoseReply(usize),
    /// 409.
    Conflict(usize),
    /// Killed before its next request, and run again by the state machine.
    Kill(usize),
    /// Its retries are spent.
    Fail(usize),
    /// A letter or a failed execution, replayed as a message of its own.
    Redrive(usize),
    Expire(usize),
}

struct Protocol {
    flaw: Flaw,
    mishaps: Mishaps,
}

impl Protocol {
    fn put_output(&self, state: &mut State, index: usize, phase: &Phase) -> bool {
        let Phase::MergePut { head, new, .. } = phase else { panic!("{index} writes nothing") };
        let holds = state.output == *head || self.flaw == Flaw::UnconditionalPut;
        if holds {
            state.output = Some(new.clone());
        }
        holds
    }

    /// The reply to a conditional write is 412.
    fn lost(&self, own: u8) -> Phase {
        match self.flaw {
            Flaw::LostMeansDone => Phase::Done,
            Flaw::LostMeansFailed => Phase::GaveUp { own },
            _ => Phase::MergeFirst { own },
        }
    }

    /// The merge is written, or was not needed.
    fn end(&self, state: &mut State, index: usize, own: u8, listed: Versions, rows: &[(usize, u8)]) -> Phase {
        let file = MESSAGES[index].0;
        // A newer version of the same source may be staged instead; what is carried must be our own.
        let is_there = listed[file] > 0 || rows.contains(&(file, own));
        if is_there || self.flaw == Flaw::EndsUnseen {
            state.ended[file] = state.ended[file].max(own);
            Phase::Done
        } else {
            Phase::Failed
        }
    }

    fn step(&self, state: &mut State, index: usize) {
        let file = MESSAGES[index].0;
        let phase = state.executions[index].clone();
        let next = match phase {
            Phase::StageHead => Phase::StageRead { seen: state.staging[file] },
            Phase::StageRead { seen } => Phase::StagePut { seen, read: state.source[file] },
            Phase::StagePut { read, .. } if self.flaw == Flaw::StagesFirst => {
                state.staging[file] = read;
                Phase::StageLook { read }
            }
            Phase::StagePut { seen, read } if state.staging[file] == seen => {
                state.staging[file] = read;
                Phase::MergeFirst { own: read }
            }
            Phase::StageLook { read } if state.source[file] == read => Phase::MergeFirst { own: read },
            Phase::StagePut { .. } | Phase::StageLook { .. } => Phase::StageHead,
            Phase::MergeFirst { own } => match self.flaw {
                Flaw::ListsBeforeHead | Flaw::ReadsBeforeHead => {
                    Phase::MergeSecond { own, head: None, listed: state.staging }
                }
                _ => Phase::MergeSecond { own, head: state.output.clone(), listed: [0; FILES] },
            },
            Phase::MergeSecond { own, head, listed } => match self.flaw {
                Flaw::ListsBeforeHead | Flaw::ReadsBeforeHead => {
                    Phase::MergeRead { own, head: state.output.clone(), listed }
                }
                _ => Phase::MergeRead { own, head, listed: state.staging },
            },
            Phase::MergeRead { own, head, listed } => self.read(state, index, own, head, listed),
            Phase::MergePut { own, listed, ref new, .. } => {
                if self.put_output(state, index, &phase) {
                    self.end(state, index, own, listed, new)
                } else {
                    self.lost(own)
                }
            }
            Phase::Announced | Phase::Ignored | Phase::Done | Phase::Failed | Phase::GaveUp { .. } => phase,
        };
        state.executions[index] = next;
    }

    /// Reads what was listed, and what is carried, each on the condition that it is still that.
    fn read(&self, state: &mut State, index: usize, own: u8, head: Output, listed: Versions) -> Phase {
        let file = MESSAGES[index].0;
        let standing = head.clone().unwrap_or_default();
        let is_merged = |version: u8| standing.contains(&(file, version));
        // The object holds what is ours; what others have staged is theirs to merge.
        if (listed[file] > 0 && is_merged(listed[file])) || (listed[file] == 0 && is_merged(own)) {
            return self.end(state, index, own, listed, &standing);
        }
        let mut new: Vec<(usize, u8)> =
            listed.iter().copied().enumerate().filter(|(_, version)| *version > 0).collect();
        let carried: Vec<(usize, u8)> = standing.into_iter().filter(|(file, _)| listed[*file] == 0).collect();
        let are_there =
            listed.iter().zip(state.staging).all(|(listed, staged)| *listed == 0 || *listed == staged);
        let is_unchanged = carried.is_empty() || state.output == head;
        if !is_unchanged || !(are_there || self.flaw == Flaw::ReadsBeforeHead) {
            return Phase::MergeFirst { own };
        }
        if self.flaw != Flaw::CarriesNothing {
            new.extend(carried);
        }
        new.sort_unstable();
        if new.is_empty() {
            return Phase::Failed;
        }
        Phase::MergePut { own, head, listed, new }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            source: [1; FILES],
            staging: [0; FILES],
            output: None,
            executions: [const { Phase::Announced }; MESSAGES.len()],
            ended: [0; FILES],
            mishaps: self.mishaps.clone(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let left = &state.mishaps;
        if state.source[0] == 1 {
            actions.push(Action::Overwrite);
        }
        for (index, phase) in state.executions.iter().enumerate() {
            let (file, version) = MESSAGES[index];
            match phase {
                Phase::Announced => {
                    if state.source[file] >= version {
                        actions.push(Action::Deliver(index));
                    }
                    continue;
                }
                Phase::Ignored | Phase::Done | Phase::GaveUp { .. } => continue,
                Phase::Failed => {
                    if self.flaw != Flaw::NamedByMessage {
                        actions.push(Action::Redrive(index));
                    }
                    continue;
                }
                _ => actions.push(Action::Step(index)),
            }
            if matches!(phase, Phase::StagePut { .. } | Phase::MergePut { .. }) {
                if left.lost_replies > 0 {
                    actions.push(Action::LoseReply(index));
                }
                if left.conflicts > 0 {
                    actions.push(Action::Conflict(index));
                }
            }
            // At its first request there is nothing to forget.
            if left.kills > 0 && !matches!(phase, Phase::StageHead | Phase::MergeFirst { .. }) {
                actions.push(Action::Kill(index));
            }
            if left.failures > 0 {
                actions.push(Action::Fail(index));
            }
        }
        if left.expiries > 0 {
            // A fragment lives for weeks, and an invocation for minutes: none expires while its source is being staged.
            let is_being_staged = |file: usize| {
                let phases = state.executions.iter().zip(MESSAGES).filter(|(_, (other, _))| *other == file);
                phases.into_iter().any(|(phase, _)| {
                    matches!(
                        phase,
                        Phase::StageRead { .. } | Phase::StagePut { .. } | Phase::StageLook { .. }
                    )
                })
            };
            let staged = state.staging.iter().enumerate().filter(|(_, version)| **version > 0);
            let staged = staged.filter(|(file, _)| !is_being_staged(*file));
            actions.extend(staged.map(|(file, _)| Action::Expire(file)));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        let is_staging = |phase: &Phase| {
            matches!(
                phase,
                Phase::StageHead | Phase::StageRead { .. } | Phase::StagePut { .. } | Phase::StageLook { .. }
            )
        };
        match action {
            Action::Overwrite => state.source[0] = 2,
            Action::Deliver(index) => {
                let is_known = state.executions.iter().any(|phase| *phase != Phase::Announced);
                let is_ignored = self.flaw == Flaw::NamedByWindow && is_known;
                state.executions[index] = if is_ignored { Phase::Ignored } else { Phase::StageHead };
            }
            Action::Step(index) => self.step(&mut state, index),
            Action::LoseReply(index) => {
                state.mishaps.lost_replies -= 1;
                let phase = state.executions[index].clone();
                state.executions[index] = match phase {
                    Phase::StagePut { .. } => {
                        self.step(&mut state, index);
                        Phase::StageHead
                    }
                    Phase::MergePut { own, .. } => {
                        self.put_output(&mut state, index, &phase);
                        self.lost(own)
                    }
                    other => other,
                };
            }
            Action::Conflict(index) => {
                state.mishaps.conflicts -= 1;
                state.executions[index] = match &state.executions[index] {
                    Phase::MergePut { own, .. } => self.lost(*own),
                    _ => Phase::StageHead,
                };
            }
            Action::Kill(index) => {
                state.mishaps.kills -= 1;
                state.executions[index] = match &state.executions[index] {
                    Phase::MergeSecond { own, .. }
                    | Phase::MergeRead { own, .. }
                    | Phase::MergePut { own, .. } => Phase::MergeFirst { own: *own },
                    phase if is_staging(phase) => Phase::StageHead,
                    other => other.clone(),
                };
            }
            Action::Fail(index) => {
                state.mishaps.failures -= 1;
                state.executions[index] = Phase::Failed;
            }
            Action::Redrive(index) => state.executions[index] = Phase::StageHead,
            Action::Expire(file) => {
                state.mishaps.expiries -= 1;
                state.staging[file] = 0;
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("what ended well stands, in this version or a newer one", |_, state: &State| {
                (0..FILES).all(|file| state.version(file).unwrap_or(0) >= state.ended[file])
            }),
            Property::always("no file stands twice", |_, state: &State| {
                let files: Vec<usize> = state.output.iter().flatten().map(|(file, _)| *file).collect();
                files.windows(2).all(|pair| pair[0] < pair[1])
            }),
            Property::always("nobody gives up what stands", |_, state: &State| {
                let stands = |file: usize, own: u8| state.version(file).is_some_and(|version| version >= own);
                state.executions.iter().zip(MESSAGES).all(|(phase, (file, _))| match phase {
                    Phase::GaveUp { own } => !stands(file, *own),
                    _ => true,
                })
            }),
            Property::always(
                "in the end every announced file stands, as it is now",
                |model: &Self, state: &State| {
                    let is_at_rest = |phase: &Phase| match phase {
                        Phase::Done | Phase::Ignored => true,
                        Phase::Failed => model.flaw == Flaw::NamedByMessage,
                        _ => false,
                    };
                    let is_the_end = state.executions.iter().all(is_at_rest);
                    !is_the_end || (0..FILES).all(|file| state.version(file) == Some(state.source[file]))
                },
            ),
        ]
    }
}

const MISHAPS: Mishaps = Mishaps { kills: 1, lost_replies: 1, conflicts: 1, expiries: 1, failures: 1 };

fn check(flaw: Flaw, mishaps: Mishaps) -> impl Checker<Protocol> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    Protocol { flaw, mishaps }.checker().threads(threads).spawn_bfs().join()
}

#[test]
fn the_protocol_loses_and_doubles_nothing() {
    let checker = check(Flaw::None, MISHAPS);
    println!("{} states", checker.unique_state_count());
    assert!(checker.is_done());
    checker.assert_properties();
}

#[test]
fn every_flaw_is_found() {
    for flaw in [
        Flaw::ReadsBeforeHead,
        Flaw::UnconditionalPut,
        Flaw::LostMeansDone,
        Flaw::LostMeansFailed,
        Flaw::NamedByWindow,
        Flaw::NamedByMessage,
        Flaw::StagesFirst,
        Flaw::EndsUnseen,
        Flaw::CarriesNothing,
    ] {
        let checker = check(flaw, MISHAPS);
        let found: Vec<&str> = checker.discoveries().into_keys().collect();
        println!("{flaw:?}: {found:?}");
        assert!(!found.is_empty(), "{flaw:?}");
    }
}

/// What was listed is read on the condition that it is still that, and what is not staged is carried: so it is the
/// reading that must not come before the look at the object. The functions look first all the same, as others may read
/// this and take away one of these two.
#[test]
fn listing_first_does_no_harm_as_long_as_reading_comes_after() {
    check(Flaw::ListsBeforeHead, MISHAPS).assert_properties();
}
