"""What the functions tell of themselves: a file is followed from its message to its end by one query, and counted on the way."""

import json
import re
import time

import pytest
from conftest import wait_for_delivery

import oracle
import stack as stacks
from publisher import Publisher
from samples import File, utc
from stack import ROOT, wait_for
from world import World

NAMESPACE = "Windrow"
GOOD = File("2021-10-01T00:01:00Z.csv", utc("2021-10-01T00:01:00Z"), b"id,name\n1,one\n2,two\n3\n")
BAD = "2021-10-01T00:02:00Z.csv"
WINDOW = "20211001T000000Z"


@pytest.fixture(scope="module")
def told(world: World) -> list[dict]:
    """All lines of a stack of its own, after a message with a good file, of which one row is bad, and a bad file."""
    publisher = Publisher(world.cloud, prefix="infra-eng/told", role="windrow-told", external_id="external-told")
    publisher.topic_arn = publisher.create_topic("announcements-told")
    publisher.run("The role")
    parameters = dict(line.split("=", 1) for line in publisher.run("Tell us").splitlines())
    here = World(world.cloud, publisher, stacks.deploy(world.cloud, "Windrow-told", parameters | {"GraceSeconds": "1"}))
    keys = [publisher.put(GOOD.name, GOOD.body), publisher.put(BAD, b"<html><body>Not found</body></html>\n")]
    for key in ([keys[0]], keys, [keys[0]]):
        message_id = publisher.announce(key)
        wait_for("end of the execution", lambda: here.stack.finished(message_id, 1))
    wait_for_delivery(here, oracle.windows([GOOD])[0])
    wait_for("line of deliver", lambda: [line for line in lines(here) if line["function"] == "deliver"])
    here.stack.letters()
    return lines(here)


def lines(world: World) -> list[dict]:
    """Everything that the functions wrote which is one of their lines; the runtime's own are others."""
    logs, found = world.cloud.client("logs"), []
    for page in logs.get_paginator("describe_log_groups").paginate():
        for group in page["logGroups"]:
            events = logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"])
            for text in (line for page in events for event in page["events"] for line in event["message"].splitlines()):
                if text.startswith("{") and (line := json.loads(text)).get("Stack") == world.stack.name:
                    found.append(line)
    return found


def test_a_message_is_followed_through_every_function_by_its_id(told: list[dict]):
    (failed,) = [line for line in told if line.get("error_type") == "NotCsv"]
    of_message = [line for line in told if line.get("message_id") == failed["message_id"]]
    assert {(line["function"], line["message"]) for line in of_message} == {
        ("start", "execution started"),
        ("start", "message handled"),
        ("stage", "file staged"),
        ("stage", "failed"),
        ("merge", "window merged"),
    }
    assert failed["level"] == "ERROR" and failed["key"].endswith(BAD) and BAD in failed["error"]
    (started,) = [line for line in of_message if line["message"] == "execution started"]
    executions = {line["execution"] for line in of_message if "execution" in line}
    assert executions == {started["execution"]} and started["execution"].startswith(f"{WINDOW}-")


def test_the_query_of_the_readme_finds_the_error(world: World, told: list[dict]):
    (failed,) = [line for line in told if line.get("error_type") == "NotCsv"]
    (query,) = re.findall(r"```text\n(  fields .*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    logs = world.cloud.client("logs")
    # On AWS their names begin with the stack's; here that stands within.
    pages = logs.get_paginator("describe_log_groups").paginate()
    groups = [group["logGroupName"] for page in pages for group in page["logGroups"]]
    groups = [group for group in groups if "/Windrow-told/" in group]
    # It looks into no JSON: what the query shows is looked up in the lines, and what it finds is asked of it.
    shown = re.search(r"fields @timestamp, (.*)", query)[1].split(", ")
    assert shown[-2:] == ["error_type", "error"] and set(shown) <= set(failed)
    query = query.replace("MESSAGE_ID", failed["message_id"]).replace(", ".join(shown), "@message")
    started = logs.start_query(logGroupNames=groups, startTime=0, endTime=int(time.time()) + 60, queryString=query)
    rows = wait_for("result", lambda: logs.get_query_results(queryId=started["queryId"])["results"])
    found = "\n".join(column["value"] for row in rows for column in row if column["field"] == "@message")
    found = [line for line in told if json.dumps(line["timestamp"]) in found and line.get("message_id") == failed["message_id"]]
    assert failed in found and {line["function"] for line in found} == {"start", "stage", "merge"}


def test_the_same_things_have_the_same_names_in_every_function(told: list[dict]):
    for function in ("start", "stage", "merge", "deliver"):
        own = [line for line in told if line["function"] == function]
        assert own and all({"timestamp", "level", "message", "duration_ms"} <= set(line) for line in own)
        assert any(line.get("window") == WINDOW for line in own), function
    delivered = [line for line in told if line["function"] == "deliver"]
    assert {line["key"] for line in delivered} == {f"output/ms-{WINDOW}.parquet"}


def test_what_happened_is_counted(told: list[dict]):
    counts = {name: sum(values) for name, values in metrics(told).items()}
    assert counts["Messages"] == 3 and counts["FilesStaged"] == 3 and counts["FilesRejected"] == 1
    assert counts["BytesStaged"] == 3 * len(GOOD.body)
    assert counts["RowsStaged"] == 3 * 2 and counts["RowsRejected"] == 3 * 1
    assert counts["FilesRefused"] == 0
    assert counts["FragmentsMerged"] == 1 and counts["MergesSkipped"] == 2
    assert counts["BytesWritten"] == counts["BytesDelivered"] > 0


def test_history_is_late_but_what_is_made_of_it_is_fresh(told: list[dict]):
    measured = metrics(told)
    assert all(late > 365 * 86_400 for late in measured["LatenessSeconds"])
    for name in ("FreshnessSeconds", "DeliveryFreshnessSeconds"):
        assert len(measured[name]) == 1 and -1 <= measured[name][0] < 60, measured[name]


def metrics(told: list[dict]) -> dict[str, list[float]]:
    """What CloudWatch makes of these lines: every value by its metric, as the format has it."""
    found: dict[str, list[float]] = {}
    for line in told:
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
            assert (directive["Namespace"], directive["Dimensions"]) == (NAMESPACE, [["Stack"]])
            for metric in directive["Metrics"]:
                assert metric["Unit"] in ("Count", "Bytes", "Seconds")
                found.setdefault(metric["Name"], []).append(line[metric["Name"]])
    return found
