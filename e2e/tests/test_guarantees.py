"""A window is never wrong: whatever comes late, twice, or in another order, whatever has expired, fails, or dies half way."""

import itertools
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path
from random import Random
from threading import Event

import pytest
from conftest import wait_for_delivery

import oracle
import publisher
from oracle import Window
from samples import File, utc
from stack import wait_for
from world import World


def test_the_same_again_in_parallel_writes_nothing_anywhere(world: World, tmp_path: Path):
    files = [a_file(f"2022-01-01T06:0{minute}:00Z", minute) for minute in range(3)]
    window = announced(world, files, tmp_path)
    before = heads(world, window)

    with ExitStack() as watched:
        writes = [watched.enter_context(world.cloud.proxy.mishap(m, window.object_name, 1000)) for m in ("PUT", "POST")]
        keys = [key_of(file) for file in files]
        with ThreadPoolExecutor(8) as pool:
            ids = list(pool.map(lambda _: world.publisher.announce(keys), range(8)))
            answers = list(pool.map(lambda _: notified(world, window), range(8)))
        ended(world, ids)
        assert [answer["unchanged"] for answer in answers] == [1] * 8
        assert [mishap.befallen for mishap in writes] == [0, 0]
    assert heads(world, window) == before


def test_a_file_that_was_overwritten_and_announced_again_replaces_its_rows(world: World, tmp_path: Path):
    other = a_file("2022-01-02T06:01:00Z", 1)
    for version in range(3):
        overwritten = a_file("2022-01-02T06:00:00Z", 10 + version, rows=5 - version)
        announced(world, [overwritten, other], tmp_path)
    # The first announcement comes again, last.
    world.publisher.announce([key_of(overwritten)])
    announced(world, [overwritten, other], tmp_path)


def test_the_newest_version_wins_when_its_announcements_overlap(world: World, tmp_path: Path):
    ids = []
    for version in range(6):
        file = a_file("2022-01-03T06:00:00Z", version)
        ids.append(world.publisher.announce([world.publisher.put(file.name, file.body)]))
    ended(world, ids)
    checked(world, [file], tmp_path)


@pytest.mark.parametrize("expired", ["none", "some", "all"])
def test_rows_whose_fragments_have_expired_stay(world: World, expired: str, tmp_path: Path):
    hour = {"none": "06", "some": "07", "all": "08"}[expired]
    files = [a_file(f"2022-01-04T{hour}:0{minute}:00Z", minute) for minute in (1, 2, 4)]
    window = announced(world, files, tmp_path)
    fragments = world.stack.keys(f"staging/{window.id}/")
    assert len(fragments) == 3
    for key in fragments[: {"none": 0, "some": 2, "all": 3}[expired]]:
        world.stack.s3.delete_object(Bucket=world.stack.outputs["BucketName"], Key=key)

    late = a_file(f"2022-01-04T{hour}:03:00Z", 3)
    put_and_announced(world, [late])
    checked(world, [*files, late], tmp_path)
    # What is in the result stays there whoever announces what.
    put_and_announced(world, files[:1])
    checked(world, [*files, late], tmp_path)


def test_of_many_messages_that_end_their_wait_together_few_merge(world: World, tmp_path: Path):
    files = [a_file(f"2022-01-05T06:{second // 60:02}:{second % 60:02}Z", second) for second in range(0, 290, 10)]
    keys = [world.publisher.put(file.name, file.body) for file in files]
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda key: world.publisher.announce([key]), keys))
    executions = ended(world, ids, seconds=180)
    checked(world, files, tmp_path)
    written = [json.loads(execution["output"])["merged"]["written"] for execution in executions]
    print(f"{len(files)} messages, {sum(written)} merges")
    assert sum(written) <= 6


# What S3 answers to a write that meets another, to too many requests, and when it fails; a connection that breaks.
ANSWERS = {
    "409": (409, "ConditionalRequestConflict"),
    "412": (412, "PreconditionFailed"),
    "500": (500, "InternalError"),
    "503": (503, "SlowDown"),
    "reset": (0, ""),
}


@pytest.mark.parametrize("place", ["staging", "output", "destination"])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_a_write_that_is_refused_is_made_good(world: World, place: str, answer: tuple[int, str], tmp_path: Path):
    files = two_files()
    keys = [world.publisher.put(file.name, file.body) for file in files]
    path = path_of(world, place, oracle.windows(files)[0])
    # More often than the SDK itself tries.
    with world.cloud.proxy.mishap("PUT", path, times=4, answer=answer) as refused:
        ended(world, [world.publisher.announce(keys)])
        checked(world, files, tmp_path)
        assert refused.befallen == 4


@pytest.mark.parametrize("place", ["source", "staging", "output"])
@pytest.mark.parametrize("how", [{"answer": (503, "SlowDown")}, {"body_bytes": 100}], ids=["503", "cut off"])
def test_a_read_that_fails_half_way_is_made_good(world: World, place: str, how: dict, tmp_path: Path):
    files = two_files(rows=300)
    keys = [world.publisher.put(file.name, file.body) for file in files]
    path = path_of(world, place, oracle.windows(files)[0])
    # Lambda runs `deliver` three times, then there is a letter; the state machine has more patience.
    times = 2 if place == "output" else 4
    with world.cloud.proxy.mishap("GET", path, times, **how) as failed:
        # Its retries alone may take 45 s.
        ended(world, [world.publisher.announce(keys)], seconds=120)
        wait_for("failures", lambda: failed.befallen == times)
    checked(world, files, tmp_path)


@pytest.mark.parametrize(
    "whose, place",
    [("request", place) for place in ("staging", "output", "destination")]
    + [("reply", place) for place in ("source", "staging", "output")],
)
def test_bytes_that_change_on_their_way_are_noticed(world: World, whose: str, place: str, tmp_path: Path):
    files = two_files(rows=300)
    keys = [world.publisher.put(file.name, file.body) for file in files]
    path = path_of(world, place, oracle.windows(files)[0])
    with world.cloud.proxy.mishap("PUT" if whose == "request" else "GET", path, times=2, garbles=whose) as garbled:
        ended(world, [world.publisher.announce(keys)])
        wait_for("what changes on its way", lambda: garbled.befallen == 2)
    checked(world, files, tmp_path)


def test_a_part_that_changes_on_its_way_is_noticed(world: World, tmp_path: Path):
    # Random, so that it stays large in Parquet; seeded, so that a failure comes again.
    random = Random(8)
    body = "n,noise\n" + "".join(f"{n},{random.getrandbits(6400):x}\n" for n in range(30_000))
    large = File("2022-02-01T06:00:00Z.csv", utc("2022-02-01T06:00:00Z"), body.encode())
    key = world.publisher.put(large.name, large.body)
    (window,) = oracle.windows([large])
    with ExitStack() as stack:
        paths = [path_of(world, place, window) for place in ("staging", "output", "destination")]
        garbled = [stack.enter_context(world.cloud.proxy.mishap("PUT", path, garbles="request")) for path in paths]
        ended(world, [world.publisher.announce([key])], seconds=120)
        checked(world, [large], tmp_path)
        assert [mishap.befallen for mishap in garbled] == [1, 1, 1]
    theirs = world.publisher.delivered(window.object_name)
    assert "-" in theirs["etag"], "the ETag of an upload in parts"


@pytest.mark.parametrize("place", ["staging", "output", "destination"])
def test_a_write_whose_reply_is_lost_is_no_other_write(world: World, place: str, tmp_path: Path):
    files = two_files()
    keys = [world.publisher.put(file.name, file.body) for file in files]
    path = path_of(world, place, oracle.windows(files)[0])
    with world.cloud.proxy.mishap("PUT", path, loses_reply=True) as lost:
        ended(world, [world.publisher.announce(keys)])
        checked(world, files, tmp_path)
        assert lost.befallen == 1


@pytest.mark.parametrize("place", ["staging", "output", "destination"])
def test_who_is_slow_with_what_is_old_by_now_overwrites_nothing(world: World, place: str, tmp_path: Path):
    older, other = two_files()
    newer = File(older.name, older.time, older.body.replace(b",0,", b",1000,"))
    path = path_of(world, place, oracle.windows([older])[0])
    reached, released = Event(), Event()

    def hold() -> None:
        reached.set()
        assert released.wait(120)

    with world.cloud.proxy.mishap("PUT", path, before=hold):
        slow = world.publisher.announce([world.publisher.put(older.name, older.body)])
        try:
            assert reached.wait(60)
            put_and_announced(world, [newer, other])
            window = checked(world, [newer, other], tmp_path)
            before = heads(world, window)
        finally:
            released.set()
        ended(world, [slow])
    checked(world, [newer, other], tmp_path)
    assert heads(world, window) == before


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("function, place", [("Stage", "staging"), ("Merge", "output"), ("Deliver", "destination")])
def test_a_function_that_is_killed_as_it_writes_is_run_again(
    world: World, function: str, place: str, moment: str, tmp_path: Path
):
    files = two_files()
    keys = [world.publisher.put(file.name, file.body) for file in files]
    path = path_of(world, place, oracle.windows(files)[0])
    killed = []

    def kill() -> None:
        for process in world.cloud.function_processes(world.stack.outputs[f"{function}FunctionName"]):
            os.kill(process, signal.SIGKILL)
            killed.append(process)

    with world.cloud.proxy.mishap("PUT", path, **{moment: kill}):
        ended(world, [world.publisher.announce(keys)], seconds=120)
        checked(world, files, tmp_path)
    assert killed


def a_file(time: str, number: int, rows: int = 3) -> File:
    """A file whose every row says which file it is of."""
    body = "file,row,half\n" + "".join(f"{number},{row},{row / 2}\n" for row in range(rows))
    return File(f"{time}.csv", utc(time), body.encode())


DAYS = itertools.count()


def two_files(rows: int = 3) -> list[File]:
    """Of a window that no other test has."""
    day = date(2010, 1, 1) + timedelta(next(DAYS))
    return [a_file(f"{day}T06:0{minute}:00Z", minute, rows) for minute in range(2)]


def key_of(file: File) -> str:
    return f"{publisher.PREFIX}/input/{file.name}"


def path_of(world: World, place: str, window: Window) -> str:
    """What the path of a request holds that writes there."""
    bucket = world.stack.outputs["BucketName"]
    return {
        "source": f"{publisher.BUCKET}/{publisher.PREFIX}/input/",
        "staging": f"{bucket}/staging/{window.id}/",
        "output": f"{bucket}/output/{window.object_name}",
        "destination": f"{publisher.BUCKET}/{publisher.PREFIX}/output/{window.object_name}",
    }[place]


def put_and_announced(world: World, files: list[File]) -> None:
    ended(world, [world.publisher.announce([world.publisher.put(file.name, file.body) for file in files])])


def announced(world: World, files: list[File], folder: Path) -> Window:
    put_and_announced(world, files)
    return checked(world, files, folder)


def ended(world: World, message_ids: list[str], seconds: float = 60) -> list[dict]:
    """Waits until the one execution of each message has succeeded."""
    executions = []
    for message_id in message_ids:
        executions += wait_for("end of the executions", lambda: world.stack.finished(message_id, 1), seconds)
    assert {execution["status"] for execution in executions} == {"SUCCEEDED"}
    return executions


def checked(world: World, everything: list[File], folder: Path) -> Window:
    (window,) = oracle.windows(everything)

    def is_right() -> bool:
        parquet = oracle.read_parquet(wait_for_delivery(world, window)["body"], folder)
        seen.append(oracle.differences(window, parquet))
        return not seen[-1]

    seen: list[list[str]] = []
    try:
        # An earlier result may still be on its way.
        wait_for("right result at the destination", is_right, 10)
    except TimeoutError:
        assert seen[-1] == []
    return window


def heads(world: World, window: Window) -> list[tuple]:
    ours = world.stack.s3.head_object(Bucket=world.stack.outputs["BucketName"], Key=f"output/{window.object_name}")
    key = f"{publisher.PREFIX}/output/{window.object_name}"
    theirs = world.publisher.s3.head_object(Bucket=publisher.BUCKET, Key=key)
    return [(head["ETag"], head["LastModified"], head["Metadata"]) for head in (ours, theirs)]


def notified(world: World, window: Window, bucket: str | None = None) -> dict:
    """What `deliver` answers to another notification about the window's object (or one of that name in that bucket)."""
    record = {
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1", "eventTime": "2022-01-01T00:00:00.000Z",
        "eventName": "ObjectCreated:Put", "userIdentity": {"principalId": "A"}, "responseElements": {},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "s3": {
            "s3SchemaVersion": "1.0", "configurationId": "results",
            "bucket": {"name": bucket if bucket is not None else world.stack.outputs["BucketName"], "ownerIdentity": {"principalId": "A"}, "arn": ""},
            "object": {"key": f"output/{window.object_name}", "size": 1, "eTag": "0", "sequencer": "0"},
        },
    }  # fmt: skip
    answer = world.stack.functions.invoke(
        FunctionName=world.stack.outputs["DeliverFunctionName"], Payload=json.dumps({"Records": [record]})
    )
    return json.loads(answer["Payload"].read())
