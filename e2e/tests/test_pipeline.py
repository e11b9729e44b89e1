"""From the message to the delivered Parquet, on real data. Known are the stack's outputs, S3 and the message only."""

import re
from pathlib import Path
from random import Random

from conftest import wait_for_delivery

import oracle
import publisher
import samples
from oracle import Window
from samples import File, utc
from stack import just, wait_for
from world import World


def test_a_message_starts_one_execution_per_window_and_each_succeeds(world: World, messages: list[str]):
    files = samples.files()
    for message_id, places in zip(messages, samples.MESSAGES):
        executions = world.stack.executions_of(message_id)
        wanted = oracle.windows([files[place] for place in set(places)])
        assert sorted(e["input"]["window"]["id"] for e in executions) == [window.id for window in wanted]
        assert {e["status"] for e in executions} == {"SUCCEEDED"}
        assert all(e["name"].startswith(e["input"]["window"]["id"] + "-") for e in executions)


def test_there_is_one_object_per_window_and_nothing_else(world: World, messages: list[str]):
    wanted = [f"output/{window.object_name}" for window in oracle.windows(samples.files())]
    assert set(wanted) <= set(world.stack.keys("output/"))
    assert all(re.fullmatch(r"output/ms-\d{8}T\d{6}Z\.parquet", key) for key in world.stack.keys("output/"))


def test_every_row_of_every_file_stands_once_in_order_with_equal_values(world: World, window: Window, tmp_path: Path):
    parquet = oracle.read_parquet(world.publisher.delivered(window.object_name)["body"], tmp_path)
    assert oracle.differences(window, parquet) == []


def test_the_publisher_has_the_very_bytes_that_we_have(world: World, window: Window):
    ours, theirs = world.stack.output(window.object_name), world.publisher.delivered(window.object_name)
    assert ours["body"] == theirs["body"]
    assert re.fullmatch("[0-9a-f]{64}", ours["metadata"]["windrow-inputs"])
    assert ours["metadata"]["windrow-inputs"] in theirs["metadata"].values()


def test_the_parquet_tells_its_window_and_where_each_row_is_from(world: World, window: Window, tmp_path: Path):
    parquet = oracle.read_parquet(world.publisher.delivered(window.object_name)["body"], tmp_path)
    assert parquet.metadata["windrow.window"] == oracle.window_metadata(window)
    lineage = parquet.metadata["windrow.lineage"]
    wanted = oracle.lineage(window, publisher.PREFIX)
    assert [{name: entry[name] for name in wanted[0]} for entry in lineage] == wanted
    assert [utc(entry["time"]) for entry in lineage] == [file.time for file in window.files]
    sources = [world.publisher.s3.head_object(Bucket=publisher.BUCKET, Key=entry["key"]) for entry in lineage]
    assert [entry["etag"].strip('"') for entry in lineage] == [source["ETag"].strip('"') for source in sources]
    staged = world.stack.keys(f"staging/{window.id}/")
    assert sorted(staged) == sorted(f"staging/{window.id}/{entry['fragment']}.parquet" for entry in lineage)


def test_the_operators_are_told_the_same(world: World, window: Window, tmp_path: Path):
    path = tmp_path / window.object_name
    path.write_bytes(world.publisher.delivered(window.object_name)["body"])
    said = just(world.cloud, "ask", "inspect", str(path)).splitlines()
    rows = sum(entry["rows"] for entry in oracle.lineage(window, publisher.PREFIX))
    assert said[0].startswith(f"window {window.id}, ")
    assert said[1] == f"{len(window.files)} inputs, {rows} rows, 0 rejected rows"
    assert [line.split()[-1] for line in said[3:]] == [f"{publisher.PREFIX}/input/{file.name}" for file in window.files]
    placed = just(world.cloud, "ask", "place", *(file.name for file in window.files)).splitlines()
    assert {line.split()[0] for line in placed} == {window.id}


def test_zip_codes_keep_their_leading_zeros(world: World, messages: list[str], tmp_path: Path):
    first = oracle.windows(samples.files())[0]
    parquet = oracle.read_parquet(world.publisher.delivered(first.object_name)["body"], tmp_path)
    codes = {row[parquet.columns.index("zip_code")] for row in parquet.rows}
    assert {"00501", "00544"} <= codes


def test_announcing_everything_again_changes_nothing(world: World, messages: list[str]):
    files = samples.files()
    wanted = oracle.windows(files)
    before = {window.id: world.stack.output(window.object_name)["body"] for window in wanted}
    message_id = world.publisher.announce([f"{publisher.PREFIX}/input/{file.name}" for file in files])
    executions = wait_for("end of the executions", lambda: world.stack.finished(message_id, len(wanted)))
    assert {execution["status"] for execution in executions} == {"SUCCEEDED"}
    assert {window.id: world.stack.output(window.object_name)["body"] for window in wanted} == before


def test_a_late_file_is_put_in_its_place_with_its_new_columns(world: World, tmp_path: Path):
    early = file("2021-02-01T06:00:30Z", b"id,amount,at\n1,10,2021-02-01T06:00:00.5Z\n2,20,2021-02-01T00:00:01-06:00\n")
    last = file("2021-02-01T06:04:30Z", b"id,amount,at\n7,70,\n8,80,2021-02-01T06:04:29Z\n")
    late = file("2021-02-01T06:02:00Z", b'amount,id,note\n40.5,4,"late, but ""here"""\n')

    deliver(world, [last, early])
    parquet = deliver(world, [late], everything=[early, late, last], folder=tmp_path)

    assert parquet.columns == ["id", "amount", "at", "note"]
    assert parquet.types == ["BIGINT", "DOUBLE", "TIMESTAMP WITH TIME ZONE", "VARCHAR"]
    assert [row[0] for row in parquet.rows] == [1, 2, 4, 7, 8]


def test_a_file_too_large_for_one_request_is_staged_merged_and_delivered_in_parts(world: World, tmp_path: Path):
    # Random, so that it stays large in Parquet; seeded, so that a failure comes again.
    random = Random(7)
    body = "n,noise\n" + "".join(f"{n},{random.getrandbits(6400):x}\n" for n in range(30_000))
    large = file("2021-02-03T06:00:00Z", body.encode())
    deliver(world, [large], folder=tmp_path)
    delivered = world.publisher.delivered(oracle.windows([large])[0].object_name)
    assert len(delivered["body"]) > 16 * 1024 * 1024
    assert re.search(r"-\d+\"?$", delivered["etag"]), "the ETag of an upload in parts"


def test_an_object_whose_key_begins_with_a_slash_is_read_too(world: World, tmp_path: Path):
    slashed = file("2021-02-02T06:00:00Z", b"id\n1\n")
    key = f"{publisher.PREFIX}/input/{slashed.name}"
    world.publisher.s3.put_object(Bucket=publisher.BUCKET, Key=f"/{key}", Body=slashed.body)
    parquet = announce_and_read(world, [key], [slashed], tmp_path)
    assert [entry["key"] for entry in parquet.metadata["windrow.lineage"]] == [key]


def file(time: str, body: bytes) -> File:
    return File(f"{time}.csv", utc(time), body)


def deliver(world: World, files: list[File], everything: list[File] | None = None, folder: Path | None = None):
    """Puts and announces files of one window; given a folder, checks what comes of it against `everything` so far."""
    keys = [world.publisher.put(one.name, one.body) for one in files]
    return announce_and_read(world, keys, everything or files, folder)


def announce_and_read(world: World, keys: list[str], everything: list[File], folder: Path | None):
    (window,) = oracle.windows(everything)
    message_id = world.publisher.announce(keys)
    executions = wait_for("end of the execution", lambda: world.stack.finished(message_id, 1))
    assert {execution["status"] for execution in executions} == {"SUCCEEDED"}
    delivered = wait_for_delivery(world, window)
    if not folder:
        return None
    parquet = oracle.read_parquet(delivered["body"], folder)
    assert oracle.differences(window, parquet) == []
    return parquet
