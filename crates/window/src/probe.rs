//! What a function tells when it is asked to try what it may do, before there is anything to do.
//!
//! Only the function itself has its role's rights, so `just check` calls it with [`PROBE`] in place of an event. Each
//! trial is a request as its work makes it; none of them starts, changes or removes anything of anybody's.

use std::fmt::Display;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::name::ObjectKey;

/// The event that asks for it, as JSON.
pub const PROBE: &str = r#"{"probe":true}"#;

/// The key below `folder` (with its slash, or with the beginning of a name) that is asked for, or written, on trial.
/// Readers of a folder pass over names that begin with a dot.
pub fn key(folder: &str) -> ObjectKey {
    ObjectKey(format!("{folder}.windrow-check"))
}

/// Whether `event` is [`PROBE`].
pub fn is_probe(event: &Value) -> bool {
    event.get("probe").and_then(Value::as_bool).unwrap_or_default()
}

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// `stage`, `deliver`: the publisher's role is assumed.
    AssumeRole,
    /// `stage`: the publisher's `input/` is listed.
    ListInput,
    /// `stage`: an object there is read.
    ReadInput,
    /// `stage`: the same, where its key begins with a slash.
    ReadSlashedInput,
    /// `stage`: fragments are written in our bucket.
    WriteStaging,
    /// `merge`: fragments are listed, and read.
    ReadStaging,
    /// `merge`: the window's object is written.
    WriteOutput,
    /// `deliver`: the window's object is read.
    ReadOutput,
    /// `deliver`: the publisher's `output/` is written.
    WriteDestination,
    /// `deliver`: what stands there is looked at.
    HeadDestination,
}

/// How one trial ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// What was tried.
    pub action: Action,
    /// What went wrong, if anything did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What is to be known of it besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Trial {
    /// The trial of `action`, and how it ended: well, perhaps with a note, or with an error's text.
    pub fn new(action: Action, outcome: Result<Option<String>, impl Display>) -> Self {
        let (note, error) = match outcome {
            Ok(note) => (note, None),
            Err(error) => (None, Some(error.to_string())),
        };
        Self { action, error, note }
    }
}

/// What a function answers: to [`PROBE`] how its trials ended, to an event what it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Answer<T> {
    /// To [`PROBE`].
    Probed {
        /// In the order in which they were made.
        trials: Vec<Trial>,
    },
    /// To an event.
    Done(T),
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_probe_is_told_from_every_event() {
        assert!(is_probe(&serde_json::from_str(PROBE).unwrap()));
        for event in [json!({"Records": []}), json!({"probe": false}), json!({"probe": "true"}), json!([])] {
            assert!(!is_probe(&event), "{event}");
        }
    }

    #[test]
    fn an_answer_tells_what_was_tried_and_how_it_ended() {
        let trials = vec![
            Trial::new(Action::AssumeRole, Ok::<_, String>(None)),
            Trial::new(Action::ListInput, Err("denied")),
        ];
        let answer = serde_json::to_value(Answer::<u8>::Probed { trials }).unwrap();
        let expected =
            json!({"trials": [{"action": "assume-role"}, {"action": "list-input", "error": "denied"}]});
        assert_eq!(answer, expected);
        assert_eq!(serde_json::to_value(Answer::Done(7)).unwrap(), json!(7));
    }
}
