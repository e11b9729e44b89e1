"""Rows stand in objects and nowhere else; credentials stand nowhere at all."""

import gzip
import json
import re
import uuid
from pathlib import Path

import pyarrow.parquet
import pytest
from conftest import wait_for_delivery
from test_bad_input import rejected_files

import oracle
import publisher
from access import FUNCTIONS, function_credentials, physical_ids
from samples import File, utc
from stack import wait_for
from world import World

TIME = "2021-08-01T00:00:{:02}Z"
WINDOW = "20210801T000000Z"
# What only rows hold; of letters alone, so that no encoding on the way spells it otherwise.
MARKER = "confidential" + re.sub("[0-9]", "", uuid.uuid4().hex)

GOOD = f"name,note\none,{MARKER}\n"
REJECTED = {
    "too few fields": f"{GOOD}{MARKER}\n".encode(),
    "too many fields": f"{GOOD}two,{MARKER},{MARKER}\n".encode(),
    "an open quote": f'{GOOD}two,"{MARKER}\n'.encode(),
    "Windows-1252": f"{GOOD}{MARKER}\n".encode() + b"caf\xe9,two\n",
}
NOT_CSV = {
    "HTML": f"<!DOCTYPE html><html><title>{MARKER}</title>\n".encode(),
    "an error of S3": f"<?xml version='1.0'?><Error><Code>{MARKER}</Code></Error>".encode(),
    "JSON": json.dumps({MARKER: MARKER}).encode(),
    "a PDF": f"%PDF-1.7\n%\xe2\xe3\n{MARKER}".encode("latin-1"),
    "control characters": f"name,note\n{MARKER}\x01\x02\x03\x04\x05\x06".encode(),
    "a NUL": f"name,{MARKER}\none,{MARKER}\0\n".encode(),
    "mostly unreadable": f"name,note,more\n{f'{MARKER}{chr(10)}' * 20}".encode(),
    "a header without end": f'name,"{MARKER}\n{MARKER}'.encode(),
    "a packed file cut off": gzip.compress(f"name,note\none,{MARKER}\n".encode() * 100)[:-20],
    "a packed file, damaged": gzip.compress(GOOD.encode())[:18] + MARKER.encode() * 3,
}


@pytest.fixture(scope="module")
def texts(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a message whose files hold the marker leaves behind, apart from bodies of objects: all text there is, by place."""
    files = [*REJECTED.values(), *NOT_CSV.values()]
    keys = [world.publisher.put(f"{TIME.format(number)}.csv", body) for number, body in enumerate(files)]
    message_id = world.publisher.announce(keys)
    (execution,) = wait_for("end of the execution", lambda: world.stack.finished(message_id, 1), 90)
    assert (execution["status"], execution["error"]) == ("FAILED", "SomeFilesRejected")
    letters = rejected_files(world.stack, message_id, len(NOT_CSV))
    assert {letter["error"] for letter in letters.values()} == {"NotCsv"}
    (window,) = oracle.windows([File(TIME, utc(TIME.format(0)), b"")])
    wait_for_delivery(world, window)

    history = world.stack.states.get_paginator("get_execution_history")
    pages = history.paginate(executionArn=execution["executionArn"], includeExecutionData=True)
    return {
        "execution": repr(execution),
        "history": repr([event for page in pages for event in page["events"]]),
        "letters": json.dumps(world.stack.letters(), ensure_ascii=False),
        "the cloud's log": world.cloud.log.read_text(errors="replace"),
        **logs(world),
        **metadata(world, window, tmp_path_factory.mktemp("objects")),
    }


def logs(world: World) -> dict[str, str]:
    client = world.cloud.client("logs")
    found = {}
    for group in (group for page in client.get_paginator("describe_log_groups").paginate() for group in page["logGroups"]):
        name = group["logGroupName"]
        pages = client.get_paginator("filter_log_events").paginate(logGroupName=name)
        found[name] = "\n".join(event["message"] for page in pages for event in page["events"])
    return found


def metadata(world: World, window: oracle.Window, folder: Path) -> dict[str, str]:
    """Of every object of the window, here and at the publisher's: its own, and what Parquet keeps beside the columns."""
    ours, theirs = world.stack.outputs["BucketName"], publisher.BUCKET
    places = [
        (world.stack.s3, ours, key)
        for prefix in (f"staging/{window.id}/", f"rejected/{window.id}/", f"output/{window.object_name}")
        for key in world.stack.keys(prefix)
    ]
    places.append((world.publisher.s3, theirs, f"{publisher.PREFIX}/output/{window.object_name}"))
    found = {}
    for s3, bucket, key in places:
        answer = s3.get_object(Bucket=bucket, Key=key)
        body = answer.pop("Body").read()
        found[f"{bucket}/{key}"] = repr(answer)
        if key.endswith(".parquet"):
            path = folder / "object.parquet"
            path.write_bytes(body)
            found[f"{bucket}/{key}, inside"] = repr(pyarrow.parquet.read_metadata(path).metadata)
    return found


def test_rows_are_in_the_bodies_of_objects_only(world: World, texts: dict[str, str], tmp_path: Path):
    assert [place for place, text in texts.items() if MARKER.lower() in text.lower()] == []

    # Had any of that been there, it would have been found: here it is.
    s3, bucket = world.stack.s3, world.stack.outputs["BucketName"]
    rejected = [s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in world.stack.keys(f"rejected/{WINDOW}/")]
    assert len(rejected) == len(REJECTED) and all(MARKER.encode() in body for body in rejected)
    delivered = world.publisher.delivered(f"ms-{WINDOW}.parquet")["body"]
    assert MARKER in repr(oracle.read_parquet(delivered, tmp_path).rows)


def test_what_was_looked_through_tells_of_the_files(world: World, texts: dict[str, str]):
    """Else it would be no wonder that nothing is found in it."""
    ids = physical_ids(world.cloud, world.stack)
    key = f"{publisher.PREFIX}/input/{TIME.format(0)}.csv"
    last = f"{publisher.PREFIX}/input/{TIME.format(len(REJECTED) + len(NOT_CSV) - 1)}.csv"
    for place in ("execution", "history", ids["StageLogs"]):
        assert key in texts[place], place
    assert last in texts["letters"]
    for logs in ("StartLogs", "StageLogs", "MergeLogs", "DeliverLogs"):
        assert "20210801" in texts[ids[logs]], logs
    assert key in texts[f"{world.stack.outputs['BucketName']}/output/ms-{WINDOW}.parquet, inside"]


def test_credentials_are_nowhere(world: World, texts: dict[str, str]):
    """Neither those of the functions nor what they were lent by the publisher's role."""
    own = [function_credentials(world.cloud, world.stack, function) for function in FUNCTIONS]
    secrets = [secret for credentials in own for secret in credentials.values()]
    # An external id is no secret: the publisher writes it into the role's trust, and it opens nothing by itself. It may
    # stand in the environment, as the role's ARN does.
    names = [world.stack.outputs[f"{function.capitalize()}FunctionName"] for function in FUNCTIONS]
    settings = {name: world.stack.functions.get_function_configuration(FunctionName=name) for name in names}
    assert publisher.EXTERNAL_ID in repr(settings)
    for place, text in (texts | {name: repr(its["Environment"]) for name, its in settings.items()}).items():
        assert not [secret for secret in secrets if secret in text], place
        # Sessions of the publisher's role, whose ids nobody told us.
        assert not re.search(r"\b(ASIA|AKIA)[A-Z0-9]{12,}\b|SessionToken|SecretAccessKey|AWS_SECRET", text), place
