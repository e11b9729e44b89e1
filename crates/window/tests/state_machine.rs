//! The state machine's file and the code agree on the names of failures, and on what is done about each.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use window::{Class, Failure};

#[derive(PartialEq)]
enum Step {
    Start,
    Stage,
    Merge,
    Deliver,
}

/// Which function fails by this name. Without `_`, so that a new name must be given its place.
fn steps(failure: Failure) -> &'static [Step] {
    use Step::{Deliver, Merge, Stage, Start};
    match failure {
        Failure::InvalidMessage
        | Failure::WrongBucket
        | Failure::RefusedFiles
        | Failure::ExecutionsNotStarted => &[Start],
        Failure::SourceMissing
        | Failure::SourceDenied
        | Failure::SourceUnavailable
        | Failure::NotCsv
        | Failure::SourceKeepsChanging => &[Stage],
        Failure::RoleDenied | Failure::RoleUnavailable => &[Stage, Deliver],
        Failure::WindowChanged
        | Failure::WindowLengthChanged
        | Failure::FragmentMissing
        | Failure::CorruptObject => &[Merge],
        Failure::InvalidEvent | Failure::RecordsNotDelivered => &[Deliver],
        Failure::StorageUnavailable | Failure::StorageDenied | Failure::InvalidInput | Failure::Internal => {
            &[Stage, Merge]
        }
    }
}

fn definition() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../statemachine/window.asl.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn stage_file(definition: &Value) -> &Value {
    &definition["States"]["StageFiles"]["ItemProcessor"]["States"]["StageFile"]
}

fn merge_window(definition: &Value) -> &Value {
    &definition["States"]["MergeWindow"]
}

/// Names of ours in `ErrorEquals`, with the number of attempts after the first.
fn retried(state: &Value) -> Vec<(String, u64)> {
    let retriers = state["Retry"].as_array().unwrap();
    retriers
        .iter()
        .flat_map(|retrier| {
            let attempts = retrier["MaxAttempts"].as_u64().unwrap();
            let names = retrier["ErrorEquals"].as_array().unwrap();
            names.iter().map(move |name| (name.as_str().unwrap().to_owned(), attempts))
        })
        .filter(|(name, _)| !name.contains('.'))
        .collect()
}

#[test]
fn each_state_retries_what_may_pass_and_nothing_else() {
    let definition = definition();
    for (state, step) in [(stage_file(&definition), Step::Stage), (merge_window(&definition), Step::Merge)] {
        let expected: BTreeSet<String> = Failure::ALL
            .iter()
            .filter(|failure| steps(**failure).contains(&step) && failure.class() != Class::Permanent)
            .map(ToString::to_string)
            .collect();
        let names: BTreeSet<String> = retried(state).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, expected);
    }
}

#[test]
fn a_file_is_given_up_after_as_many_retries_as_are_counted() {
    for (name, attempts) in retried(stage_file(&definition())) {
        let failure = Failure::ALL.iter().find(|failure| failure.name() == name).unwrap();
        assert_eq!(u64::from(failure.retries()), attempts, "{name}");
    }
}

#[test]
fn what_is_absent_or_denied_gets_three_tries_within_thirty_seconds() {
    let definition = definition();
    for (name, attempts) in retried(stage_file(&definition)) {
        let failure = Failure::ALL.iter().find(|failure| failure.name() == name).unwrap();
        if failure.class() == Class::Unsettled {
            assert_eq!(attempts, 2, "{name}");
        }
    }
    let retriers = stage_file(&definition)["Retry"].as_array().unwrap();
    let unsettled = retriers.iter().find(|retrier| retrier["ErrorEquals"][0] == "SourceMissing").unwrap();
    let (first, rate) =
        (unsettled["IntervalSeconds"].as_u64().unwrap(), unsettled["BackoffRate"].as_u64().unwrap());
    assert!(first + first * rate <= 30);
}

#[test]
fn a_file_that_fails_for_good_never_fails_the_map() {
    let definition = definition();
    let catchers = stage_file(&definition)["Catch"].as_array().unwrap();
    assert_eq!(catchers.last().unwrap()["ErrorEquals"], serde_json::json!(["States.ALL"]));
    assert!(merge_window(&definition)["Catch"].is_null(), "what is not caught can be redriven");
}

#[test]
fn the_functions_are_those_of_the_template() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let template = std::fs::read_to_string(root.join("template.yaml")).unwrap();
    let folders: BTreeSet<String> = std::fs::read_dir(root.join("functions"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let deployed: BTreeSet<String> = template
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Code: target/lambda/")?.strip_suffix("/bootstrap.zip"))
        .map(str::to_owned)
        .collect();
    assert_eq!(folders, deployed);
}
