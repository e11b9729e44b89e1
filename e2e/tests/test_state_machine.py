"""The rules of the house for `statemachine/window.asl.json`, and the limits of Step Functions, by counting."""

import json
from collections.abc import Iterator

import pytest

from stack import ROOT

DEFINITION = json.loads((ROOT / "statemachine" / "window.asl.json").read_text())
# What comes first in every state, in this order. Fields of one type only stand between.
ORDER = ["Type", "Comment", "Resource", "Arguments", "TimeoutSeconds", "Retry", "Catch", "Assign", "Output", "Next", "End"]

MOST_FILES = 200
BYTES_OF_A_STATE = 262_144
BYTES_OF_THE_INPUT = 128 * 1024
# Step Functions ends an execution at 25,000.
MOST_EVENTS = 20_000
# As often a merge lets others go first: `MOST_TIMES` of `merge`.
PUT_OFFS = 6


def machines(machine: dict = DEFINITION) -> Iterator[dict]:
    yield machine
    for state in machine["States"].values():
        if state["Type"] == "Map":
            yield from machines(state["ItemProcessor"])


STATES = {name: state for machine in machines() for name, state in machine["States"].items()}
TASKS = {name: state for name, state in STATES.items() if state["Type"] == "Task"}


def targets(state: dict) -> set[str]:
    nexts = [state, *state.get("Choices", []), *state.get("Catch", [])]
    return {rule["Next"] for rule in nexts if "Next" in rule} | ({state["Default"]} if "Default" in state else set())


@pytest.mark.parametrize("machine", list(machines()), ids=lambda machine: machine["StartAt"])
def test_every_state_can_be_reached_and_every_target_exists(machine: dict):
    reached, ahead = set(), {machine["StartAt"]}
    while ahead:
        name = ahead.pop()
        reached.add(name)
        ahead |= targets(machine["States"][name]) - reached
    assert reached == set(machine["States"])


@pytest.mark.parametrize("name", STATES)
def test_a_state_has_a_comment_and_its_fields_in_order(name: str):
    assert STATES[name]["Comment"].endswith(".")
    fields = [field for field in STATES[name] if field in ORDER]
    assert fields == sorted(fields, key=ORDER.index)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_bounded_and_retried_with_full_jitter_by_name(name: str):
    assert TASKS[name]["TimeoutSeconds"] > 0
    for retrier in TASKS[name]["Retry"]:
        assert retrier["JitterStrategy"] == "FULL" and "MaxDelaySeconds" in retrier
        assert "States.ALL" not in retrier["ErrorEquals"]


def test_no_name_or_key_depends_on_a_clock_or_on_chance():
    text = json.dumps(DEFINITION)
    assert not [word for word in ("$now(", "$millis(", "$random(", "$uuid(") if word in text]


def test_the_most_files_at_the_most_retries_stay_within_the_history():
    # Of a task: entered, scheduled, started, succeeded or failed, exited; three more with each retry. Of an item of
    # the Map: started, succeeded. https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
    def events(task: dict) -> int:
        return 5 + 3 * sum(retrier["MaxAttempts"] for retrier in task["Retry"])

    item = 2 + events(TASKS["StageFile"]) + events(TASKS["ReportRejectedFile"]) + 2  # 2: FileUnreported
    # Until it was put off for the last time, each with a choice and a wait: two events of each.
    others = (PUT_OFFS + 1) * (events(TASKS["MergeWindow"]) + 4) + 20
    assert MOST_FILES * item + others < MOST_EVENTS


def test_the_most_files_stay_within_the_size_of_a_state():
    # What the Map gathers: one result of an item each.
    staged = {"index": 199, "status": "staged", "fragment": "f" * 32, "etag": "e" * 32 + "-10000"}
    rejected = {"index": 199, "status": "unreported", "code": "c" * 60}
    largest = max(len(json.dumps(result)) for result in (staged, rejected))
    assert largest <= 200
    # The input stands beside them while the Map's output is made.
    assert BYTES_OF_THE_INPUT + MOST_FILES * largest < BYTES_OF_A_STATE
