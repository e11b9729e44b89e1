//! Whose turn it is to merge, where several executions are about to merge the same window.
//!
//! Many messages for one window end their wait at the same moment, and each could merge what all have staged. It is
//! enough that one does: the one whose fragment was staged first, which all see in the same listing, without a word
//! between them. The others ask again when it should be done.
//!
//! Nothing rests on this but the work that it saves. An execution that is gone, or slow, is waited for a few times, then
//! others take its turn, at first few, in the end everyone. Each ends well only by finding its own rows.

use std::collections::HashSet;

use window::FragmentId;
use window::payload::MergeInput;

use crate::Fragment;

/// How often an execution lets others go first, each time twice as long. If the first one does not come, the second one
/// takes its turn, then the third; after so many times everyone.
const MOST_TIMES: u32 = 6;
/// Seconds that a small merge takes at the most, its calls to S3 included.
const LEAST: u64 = 3;
/// How much a slow merge reads in a second.
const BYTES_A_SECOND: u64 = 16 * 1024 * 1024;
/// Seconds, not longer at once.
const MOST: u64 = 300;

/// Whose turn it is.
pub(crate) enum Turn {
    /// This execution's.
    Ours,
    /// Others go first.
    PutOff {
        /// Seconds until they should be done.
        seconds: u32,
    },
    /// Nothing of this execution is left to merge, and what others have staged is theirs to merge: they are about to,
    /// or have failed for all to see.
    Others,
}

impl Turn {
    /// Whose turn it is where `unmerged` fragments are staged, and a merge reads so many `bytes`.
    pub(crate) fn of(input: &MergeInput, mut unmerged: Vec<&Fragment>, bytes: u64) -> Self {
        unmerged.sort_unstable_by_key(|fragment| (fragment.listed.modified, &fragment.id));
        let own: HashSet<&FragmentId> = input.staged.iter().map(|own| &own.fragment).collect();
        let before = unmerged.iter().position(|fragment| own.contains(&fragment.id));
        match (before, input.put_off) {
            (None, _) if !unmerged.is_empty() => Self::Others,
            (Some(before), Some(times)) if times < MOST_TIMES && before > times as usize => {
                let wait = (LEAST + bytes / BYTES_A_SECOND) << times;
                // Not all at the same moment again.
                let wait = wait.min(MOST) + fastrand::u64(0..=wait.min(MOST) / 2);
                Self::PutOff { seconds: u32::try_from(wait).unwrap_or(u32::MAX) }
            }
            _ => Self::Ours,
        }
    }
}
