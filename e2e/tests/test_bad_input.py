"""Whatever is wrong with a message or a file ends as one letter that says so; what is right with it still arrives."""

import json
from pathlib import Path

import pytest
from conftest import wait_for_delivery

import oracle
import publisher
import stack as stacks
from samples import File, utc
from stack import Stack, sns_event, wait_for
from world import World

INPUT = f"{publisher.PREFIX}/input"

# What a message holds, and what its letter says: the error's name, and words of its text.
BAD_MESSAGES = {
    "not JSON": ("three files: a, b, c", "InvalidMessage", ["JSON"]),
    "no s3_objects": (
        json.dumps({"s3_bucket": f"arn:aws:s3:::{publisher.BUCKET}"}),
        "InvalidMessage",
        ["s3_objects"],
    ),
    "an empty list": (publisher.message([]), "InvalidMessage", ["s3_objects"]),
    "another bucket": (
        publisher.message([f"{INPUT}/2021-03-01T00:00:00Z.csv"], "arn:aws:s3:::somebody-elses"),
        "WrongBucket",
        ["somebody-elses", publisher.BUCKET],
    ),
    "a key outside the prefix": (
        publisher.message(["infra-eng/other/input/2021-03-01T00:00:00Z.csv"]),
        "RefusedFiles",
        ["infra-eng/other/input/2021-03-01T00:00:00Z.csv"],
    ),
    "a key that climbs out of the prefix": (
        publisher.message([f"{publisher.PREFIX}/output/2021-03-01T00:00:00Z.csv"]),
        "RefusedFiles",
        [f"{publisher.PREFIX}/output/2021-03-01T00:00:00Z.csv"],
    ),
    "a name that is no time": (publisher.message([f"{INPUT}/latest.csv"]), "RefusedFiles", ["latest.csv"]),
}


@pytest.mark.parametrize("case", BAD_MESSAGES)
def test_a_bad_message_ends_as_a_letter_that_names_what_is_wrong(world: World, case: str):
    text, error, words = BAD_MESSAGES[case]
    event_id = invoke_start(world.stack, text, world.publisher.topic_arn)
    letter = failed_event(world.stack, event_id)
    assert letter["responsePayload"]["errorType"] == error
    for word in words:
        assert word in letter["responsePayload"]["errorMessage"]
    assert letter["requestPayload"]["Records"][0]["Sns"]["Message"] == text, "the letter can be replayed"
    assert world.stack.executions_of(event_id) == []


def test_refused_files_do_not_hold_back_the_others_of_their_message(world: World, tmp_path: Path):
    good = File("2021-03-02T00:00:00Z.csv", utc("2021-03-02T00:00:00Z"), b"id\n1\n2\n")
    keys = [f"{INPUT}/no-time.csv", world.publisher.put(good.name, good.body), "elsewhere/2021-03-02T00:00:00Z.csv"]

    event_id = invoke_start(world.stack, publisher.message(keys), world.publisher.topic_arn)

    text = failed_event(world.stack, event_id)["responsePayload"]["errorMessage"]
    assert "no-time.csv" in text and "elsewhere/2021-03-02T00:00:00Z.csv" in text and keys[1] not in text
    (execution,) = wait_for("end of the execution", lambda: world.stack.finished(event_id, 1))
    assert execution["status"] == "SUCCEEDED", "retries of the event start nothing twice"
    assert_delivered(world, [good], tmp_path)


def test_files_that_cannot_be_staged_do_not_hold_back_the_others(world: World, tmp_path: Path):
    good = File("2021-03-03T00:01:00Z.csv", utc("2021-03-03T00:01:00Z"), b"id,name\n1,one\n2,two\n")
    missing = f"{INPUT}/2021-03-03T00:02:00Z.csv"
    keys = [
        missing,
        world.publisher.put(good.name, good.body),
        binary := world.publisher.put("2021-03-03T00:03:00Z.csv", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(4000)),
        markup := world.publisher.put("2021-03-03T00:04:00Z.csv", b"<!DOCTYPE html><html><body>Not found</body></html>\n"),
    ]

    message_id = world.publisher.announce(keys)

    (execution,) = wait_for("end of the execution", lambda: world.stack.finished(message_id, 1), 90)
    assert (execution["status"], execution["error"]) == ("FAILED", "SomeFilesRejected")
    assert execution["cause"].startswith("3 of 4 files of window 20210303T000000Z")
    for key in (missing, binary, markup):
        assert key in execution["cause"]
    letters = rejected_files(world.stack, message_id, 3)
    assert {key: letter["error"] for key, letter in letters.items()} == {
        missing: "SourceMissing",
        binary: "NotCsv",
        markup: "NotCsv",
    }
    for key, letter in letters.items():
        assert key in letter["cause"] and not letter["cause"].startswith("{")
        assert (letter["bucket"], letter["window"]) == (publisher.BUCKET, "20210303T000000Z")
        assert letter["execution"] == execution["executionArn"]
    assert_delivered(world, [good], tmp_path)


def test_a_file_mended_and_announced_again_arrives(world: World, tmp_path: Path):
    file = File("2021-03-04T00:00:00Z.csv", utc("2021-03-04T00:00:00Z"), b"id\n1\n")
    key = world.publisher.put(file.name, b"\x00\x01\x02" * 1000)
    message_id = world.publisher.announce([key])
    (execution,) = wait_for("end of the execution", lambda: world.stack.finished(message_id, 1))
    assert (execution["status"], execution["error"]) == ("FAILED", "EveryFileRejected")
    assert rejected_files(world.stack, message_id, 1)[key]["error"] == "NotCsv"

    world.publisher.put(file.name, file.body)
    message_id = world.publisher.announce([key])

    (execution,) = wait_for("end of the execution", lambda: world.stack.finished(message_id, 1))
    assert execution["status"] == "SUCCEEDED"
    assert_delivered(world, [file], tmp_path)


def test_a_role_that_cannot_be_assumed_is_named(world: World):
    # A stack of its own: a running function may have that role's credentials for an hour.
    topic = world.publisher.create_topic("announcements-to-the-other")
    role = publisher.ROLE_ARN + "-that-does-not-trust-us"
    other = stacks.deploy(world.cloud, "Windrow-other", stacks.parameters(topic) | {"SourceRoleArn": role})
    key = world.publisher.put("2021-03-05T00:00:00Z.csv", b"id\n1\n")

    message_id = world.publisher.announce([key], topic)

    (execution,) = wait_for("end of the execution", lambda: other.finished(message_id, 1), 90)
    assert (execution["status"], execution["error"]) == ("FAILED", "EveryFileRejected")
    letter = rejected_files(other, message_id, 1)[key]
    assert letter["error"] == "RoleDenied"
    assert role in letter["cause"]


def invoke_start(stack: Stack, text: str, topic_arn: str) -> str:
    """Hands a message to `start` as Lambda does, and returns its id.

    Not by way of the topic: of a message whose function fails, the local SNS neither tries again nor tells the queue.
    """
    event = sns_event(text, topic_arn)
    stack.functions.invoke(FunctionName=stack.outputs["StartFunctionName"], InvocationType="Event", Payload=json.dumps(event))
    return event["Records"][0]["Sns"]["MessageId"]


def failed_event(stack: Stack, message_id: str) -> dict:
    """The one letter about an event that `start` failed on."""

    def about(letter: dict) -> bool:
        return message_id in json.dumps(letter.get("requestPayload"))

    (letter,) = wait_for("letter", lambda: [letter for letter in stack.letters() if about(letter)], 60)
    return letter


def rejected_files(stack: Stack, message_id: str, count: int) -> dict[str, dict]:
    """The letters about files of a message, by key: so many, and one for each."""

    def about() -> list[dict]:
        return [letter for letter in stack.letters() if letter.get("message_id") == message_id]

    wait_for(f"{count} letters", lambda: len(about()) >= count)
    letters = about()
    assert len(letters) == count and {letter["kind"] for letter in letters} == {"rejected-file"}
    return {letter["key"]: letter for letter in letters}


def assert_delivered(world: World, files: list[File], folder: Path) -> None:
    (window,) = oracle.windows(files)
    delivered = wait_for_delivery(world, window)
    assert oracle.differences(window, oracle.read_parquet(delivered["body"], folder)) == []
