"""A message can make Windrow read below the publisher's `input/`, and write what belongs there: whatever stands in it."""

import json
from pathlib import Path
from urllib.parse import unquote

import pytest
from conftest import wait_for_delivery
from test_bad_input import failed_event, invoke_start

import oracle
import publisher
from cloud import OUR_ACCOUNT, PUBLISHER_ACCOUNT
from proxy import Request
from publisher import BUCKET, PREFIX
from samples import File, utc
from stack import sns_event, wait_for
from world import World

INPUT, OUTPUT = f"{PREFIX}/input", f"{PREFIX}/output"
# Everything here is about one time; folders tell files apart.
NAME = "2021-07-02T00:01:00Z.csv"
# At most so much of an error's text is passed on; it is named in DESIGN and by the functions' own tests.
LONGEST_TEXT = 4096


def message_of(bucket: str) -> str:
    return json.dumps({"s3_bucket": bucket, "s3_objects": [f"/{INPUT}/{NAME}"]})


WHOLE_MESSAGES = {
    "the ARN of an object": (message_of(f"arn:aws:s3:::{BUCKET}/{INPUT}/{NAME}"), "InvalidMessage"),
    "the ARN of a folder": (message_of(f"arn:aws:s3:::{BUCKET}/"), "InvalidMessage"),
    "the ARN of all buckets": (message_of("arn:aws:s3:::*"), "InvalidMessage"),
    "an access point": (message_of(f"arn:aws:s3:us-east-1:{PUBLISHER_ACCOUNT}:accesspoint/{BUCKET}"), "InvalidMessage"),
    "an access point of many Regions": (message_of(f"arn:aws:s3::{PUBLISHER_ACCOUNT}:accesspoint/x.mrap"), "InvalidMessage"),
    "a queue": (message_of(f"arn:aws:sqs:::{BUCKET}"), "InvalidMessage"),
    "a URI": (message_of(f"s3://{BUCKET}"), "InvalidMessage"),
    "a host": (message_of(f"{BUCKET}.s3.amazonaws.com"), "WrongBucket"),
    "a name that begins alike": (message_of(f"{BUCKET}-2"), "WrongBucket"),
    "a name that ends early": (message_of(f"arn:aws:s3:::{BUCKET[:-1]}"), "WrongBucket"),
    "capitals": (message_of(BUCKET.upper()), "InvalidMessage"),
    "a letter of another alphabet": (message_of(BUCKET.replace("a", "\u0430")), "InvalidMessage"),
    "a space of no width": (message_of(f"{BUCKET}\u200b"), "InvalidMessage"),
    "a NUL": (message_of(f"{BUCKET}\0"), "InvalidMessage"),
    "a way out": (message_of(f"{BUCKET}/../somebody-elses"), "InvalidMessage"),
    "a list of buckets": (json.dumps({"s3_bucket": [BUCKET], "s3_objects": [f"/{INPUT}/{NAME}"]}), "InvalidMessage"),
    "a second bucket": (message_of(BUCKET)[:-1] + ', "s3_bucket": "secrets"}', "WrongBucket"),
    "half a character": (f'{{"s3_bucket": "{BUCKET}", "s3_objects": ["/{INPUT}/\\ud800/{NAME}"]}}', "InvalidMessage"),
    "lists in lists": (f'{{"s3_bucket": "{BUCKET}", "s3_objects": {"[" * 50_000}{"]" * 50_000}}}', "InvalidMessage"),
    "a name without end": (message_of("b" * 200_000), "InvalidMessage"),
}


@pytest.mark.parametrize("case", WHOLE_MESSAGES)
def test_a_message_that_means_another_bucket_starts_nothing(world: World, case: str):
    text, error = WHOLE_MESSAGES[case]
    with world.cloud.proxy.watch() as seen:
        event_id = invoke_start(world.stack, text, world.publisher.topic_arn)
        answer = failed_event(world.stack, event_id)["responsePayload"]
    assert answer["errorType"] == error
    assert len(answer["errorMessage"].encode()) <= LONGEST_TEXT
    assert world.stack.executions_of(event_id) == []
    assert "input" not in reads_and_writes(world, seen).values(), "(a delivery may be late of what was before)"


# Keys that look as if they led elsewhere, and are refused: as announced, and what of it the letter shows.
REFUSED = [
    f"/{INPUT}/../output/{NAME}",
    f"/{INPUT}/a/../../output/{NAME}",
    f"/{INPUT}/./{NAME}",
    f"/{INPUT}/../input/{NAME}",
    f"/{PREFIX}/x/../input/{NAME}",
    f"../{INPUT}/{NAME}",
    f"//{INPUT}/{NAME}",
    f"///{INPUT}/{NAME}",
    f"/{PREFIX}//input/{NAME}",
    f"/{INPUT}x/{NAME}",
    f"/{PREFIX}-evil/input/{NAME}",
    f"/{INPUT}",
    f"/{INPUT}/",
    f"/{PREFIX}/{NAME}",
    f"/{OUTPUT}/{NAME}",
    f"/{INPUT.upper()}/{NAME}",
    f"/{PREFIX}/input%2F{NAME}",
    f"/{PREFIX}%2Finput/{NAME}",
    f"/{PREFIX}\\input\\{NAME}",
    f"/{PREFIX}\uff0finput/{NAME}",
    f"/{PREFIX}/\u0456nput/{NAME}",
    f"/{PREFIX}\u200b/input/{NAME}",
    f"\u202e/{INPUT}/{NAME}",
    f"\ufeff/{INPUT}/{NAME}",
    f"\0/{INPUT}/{NAME}",
    f" /{INPUT}/{NAME}",
    f"arn:aws:s3:::{BUCKET}/{INPUT}/{NAME}",
    f"s3://{BUCKET}/{INPUT}/{NAME}",
    f"https://{BUCKET}.s3.amazonaws.com/{INPUT}/{NAME}",
    f"/{INPUT}/{'long/' * 205}{NAME}",
    "",
    "/",
    None,
    True,
    7,
    [f"/{INPUT}/{NAME}"],
    {"key": f"/{INPUT}/{NAME}"},
]
# Keys are literal: to S3, and so to us, these are names below `input/` as any other.
LITERAL = [
    f"{INPUT}/%2e%2e%2foutput/{NAME}",
    f"{INPUT}/..%2f..%2foutput%2f/{NAME}",
    f"{INPUT}//{NAME}",
    f"{INPUT}/..\\..\\output\\/{NAME}",
    f"{INPUT}/\uff0e\uff0e\uff0foutput/{NAME}",
    f"{INPUT}/.\u200b./{NAME}",
    f"{INPUT}/\u202evsc/{NAME}",
    f"{INPUT}/?versionId=1&x-id=DeleteObject#/{NAME}",
    f"{INPUT}/a+b c&d=e;f/{NAME}",
    # (No line feed: in the local cloud's IAM, `*` does not match one.)
    f"{INPUT}/\rx-amz-acl: public-read\r\r/{NAME}",
    f"{INPUT}/\x01\x1b[31m\x7f/{NAME}",
    f"{INPUT}/{{% $states.context %}}/${{BUCKET}}/$(id)/{NAME}",
    f"{INPUT}/\U0001f980\u0301/{NAME}",
]


def test_keys_lead_nowhere_but_below_input(world: World, tmp_path: Path):
    files = {key: f"key,number\nliteral,{number}\n".encode() for number, key in enumerate(LITERAL)}
    for key, body in files.items():
        world.publisher.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    # Where the others would lead somebody who resolves, decodes or trims them.
    for folder in (OUTPUT, PREFIX, f"{INPUT}x", INPUT.upper(), f"{PREFIX}-evil/input"):
        key = f"{folder}/{NAME}"
        world.publisher.s3.put_object(Bucket=BUCKET, Key=key, Body=b"key,number\ndecoy,0\n")

    with world.cloud.proxy.watch() as seen:
        announced = [*(f"/{key}" for key in LITERAL), *REFUSED[:20]], [*(f"/{key}" for key in LITERAL), *REFUSED[20:]]
        for objects in announced:
            event_id = invoke_start(world.stack, all_of(objects), world.publisher.topic_arn)
            assert_refused(world, event_id, objects[len(LITERAL) :], len(objects))
            (execution,) = wait_for("end of the execution", lambda: world.stack.finished(event_id, 1), 90)
            assert execution["status"] == "SUCCEEDED"
            assert sorted(file["key"] for file in execution["input"]["files"]) == sorted(LITERAL)
        (window,) = oracle.windows([File(NAME, utc(NAME.removesuffix(".csv")), b"")])
        parquet = oracle.read_parquet(wait_for_delivery(world, window)["body"], tmp_path)
    assert [entry["key"] for entry in parquet.metadata["windrow.lineage"]] == sorted(LITERAL, key=str.encode)
    assert sorted(parquet.rows) == [("literal", number) for number in range(len(LITERAL))]
    assert set(reads_and_writes(world, seen).values()) == {"input", "output"}


@pytest.mark.parametrize("partition", ["aws-cn", "aws-us-gov"])
def test_a_bucket_of_that_name_in_another_partition_is_not_sought_there(world: World, partition: str):
    """Its ARN is taken for the name, and only one bucket has that name in the stack's own partition."""
    key = world.publisher.put(f"{partition}/2021-07-04T00:00:00Z.csv", b"id\n1\n")
    with world.cloud.proxy.watch() as seen:
        text = publisher.message([key], f"arn:{partition}:s3:::{BUCKET}")
        event_id = invoke_start(world.stack, text, world.publisher.topic_arn)
        (execution,) = wait_for("end of the execution", lambda: world.stack.finished(event_id, 1))
    assert execution["status"] == "SUCCEEDED"
    assert execution["input"]["source"]["bucket"] == BUCKET
    assert "input" in reads_and_writes(world, seen).values()


def test_of_a_mebibyte_of_keys_each_is_started_or_counted(world: World):
    files = [f"2021-07-03T00:0{minute}:{second:02}Z.csv" for minute in (1, 6) for second in range(30)]
    good = [world.publisher.put(name, b"id\n1\n") for name in files]
    objects: list = [f"/{key}" for key in good]
    # As many as make an event whose letter, which wraps it, is the largest that the queue takes.
    bad = [f"/{INPUT}/no-time-{number}.csv" if number % 2 else f"/{PREFIX}/out/{number}-{NAME}" for number in range(20_000)]
    objects = [*bad[:10_000], *objects, *bad[10_000:], "/" + "x" * 2000, *(f"/{key}" for key in good)]
    size = len(json.dumps(sns_event(all_of(objects), world.publisher.topic_arn)))
    assert 1_000_000 < size < 1_040_000, size

    event_id = invoke_start(world.stack, all_of(objects), world.publisher.topic_arn)

    text = failed_event(world.stack, event_id)["responsePayload"]["errorMessage"]
    assert text.startswith(f"20001 of {len(objects)} files were refused")
    assert text.endswith(f"and {20_001 - 20} more")
    assert len(text.encode()) <= LONGEST_TEXT
    executions = wait_for("end of the executions", lambda: world.stack.finished(event_id, 2), 120)
    assert {execution["status"] for execution in executions} == {"SUCCEEDED"}
    assert sorted(file["key"] for execution in executions for file in execution["input"]["files"]) == sorted(good)


def all_of(objects: list) -> str:
    return json.dumps({"s3_bucket": f"arn:aws:s3:::{BUCKET}", "s3_objects": objects}, ensure_ascii=False)


def assert_refused(world: World, event_id: str, refused: list, files: int) -> None:
    """That one letter names each of these, and says why as far as there is room."""
    answer = failed_event(world.stack, event_id)["responsePayload"]
    assert answer["errorType"] == "RefusedFiles"
    text = answer["errorMessage"]
    assert text.startswith(f"{len(refused)} of {files} files were refused")
    assert len(text.encode()) <= LONGEST_TEXT
    for number, entry in enumerate(refused, files - len(refused)):
        if isinstance(entry, str) and len(entry) > 1024:
            assert f"{entry[-8:]}` is not a key: it is longer than 1,023 bytes" in text
        if isinstance(entry, str):
            # What is no key at all is named without the slash before it.
            assert f"`{entry[:60]}" in text or f"`{entry.removeprefix('/')[:60]}" in text
        else:
            assert f"entry {number} of `s3_objects` is not a string" in text


def reads_and_writes(world: World, seen: list[Request]) -> dict[str, str]:
    """Who of our functions was where in the publisher's bucket: `input` or `output`, by their access keys. None may have
    been in both, nor anywhere else, nor in a bucket that is neither ours nor the publisher's."""
    places: dict[str, str] = {}
    for request in seen:
        if request.access_key in (OUR_ACCOUNT, PUBLISHER_ACCOUNT):
            continue  # the tests' own
        path = unquote(request.path.partition("?")[0])
        bucket, _, key = path[1:].partition("/")
        assert bucket in ("", BUCKET, world.stack.outputs["BucketName"]), request
        if bucket != BUCKET:
            continue
        assert not {".", ".."} & set(path.split("/")), request
        if key.removeprefix("/").startswith(f"{INPUT}/"):
            place = "input"
            assert request.method == "GET", request
        else:
            place = "output"
            assert key.startswith(f"{OUTPUT}/ms-"), request
        assert places.setdefault(request.access_key, place) == place, request
    return places
