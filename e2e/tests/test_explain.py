"""`just explain` and `just status`: numbers are compared with what was published, and what is broken with what is said of it."""

import json
import os
import subprocess
import time
from datetime import datetime, timedelta, timezone

import pytest

import stack as stacks
from publisher import Publisher
from samples import File, utc
from stack import ROOT, wait_for
from world import World

NAME = "Windrow-explained"
WINDOW = "20210901T000000Z"
START = utc("2021-09-01T00:00:00Z")
# Ten rows, two of which have a field too few, and one a field too many.
ODD_ROWS = b"id,name\n" + b"".join(b"%d,n%d\n" % (n, n) for n in range(7)) + b"7\n8\n9,x,y\n"
GOOD = File("2021-09-01T00:01:00Z.csv", utc("2021-09-01T00:01:00Z"), b"id,name\n1,a\n2,b\n3,c\n")
ODD = File("2021-09-01T00:02:00Z.csv", utc("2021-09-01T00:02:00Z"), ODD_ROWS)
NO_CSV = File("2021-09-01T00:03:00Z.csv", utc("2021-09-01T00:03:00Z"), b"\x00\x01\x02" * 100)
LATE = File("2021-09-01T00:00:30Z.csv", utc("2021-09-01T00:00:30Z"), b"id,name\n9,z\n")
OBJECT = f"ms-{WINDOW}.parquet"


class Explained(World):
    """A stack and a publisher of its own, for things are removed here."""

    message_id: str
    keys: dict[str, str]


@pytest.fixture(scope="module")
def explained(world: World) -> Explained:
    publisher = Publisher(world.cloud, prefix="infra-eng/explained", role="windrow-explained", external_id="external-explained")
    publisher.create("announcements-explained")
    told = dict(line.split("=", 1) for line in publisher.run("Tell us").splitlines())
    stack = stacks.deploy(world.cloud, NAME, told | {"GraceSeconds": "1"})
    explained = Explained(world.cloud, publisher, stack)
    assert status(explained)["executions"]["counts"] == {}, "before the first message"
    explained.keys = {file.name: publisher.put(file.name, file.body) for file in (GOOD, ODD, NO_CSV)}
    explained.message_id = publish(explained, *explained.keys.values())
    return explained


def publish(world: World, *keys: str) -> str:
    """Announces files of one window, and waits until what came of them is delivered."""
    message_id = world.publisher.announce(list(keys))
    (execution,) = wait_for("end of the execution", lambda: world.stack.finished(message_id, 1))
    name = f"ms-{execution['input']['window']['id']}.parquet"
    wait_for(f"delivery of {name}", lambda: is_delivered(world, name))
    return message_id


def is_delivered(world: World, name: str) -> bool:
    ours, theirs = world.stack.output(name), world.publisher.delivered(name)
    return bool(ours and theirs) and ours["body"] == theirs["body"]


# -- A window with two good files, one of them with rejected rows, and one that is no CSV ----------------------------------


def test_the_object_and_its_files_are_told_as_they_were_published(explained: Explained):
    answer = explain(explained, WINDOW)
    ours = explained.stack.output(OBJECT)
    assert answer["known"] and answer["not_seen"] == []
    assert answer["window"] == {
        "id": WINDOW, "start": "2021-09-01T00:00:00Z", "end": "2021-09-01T00:05:00Z", "minutes": 5,
    }  # fmt: skip
    told = answer["object"]
    assert (told["rows"], told["rejected_rows"], told["bytes"]) == (3 + 7, 3, len(ours["body"]))
    assert told["key"] == f"output/{OBJECT}" and told["etag"] == ours["etag"].strip('"')
    good, odd = answer["inputs"]
    for part, file, rows, rejected in [(good, GOOD, 3, 0), (odd, ODD, 7, 3)]:
        assert part["key"] == explained.keys[file.name] and part["bytes"] == len(file.body)
        assert (part["rows"], part["rejected_rows"], part["staging"]) == (rows, rejected, "staged")
        assert utc(part["time"]) == file.time
    assert good["rejected"] is None
    assert odd["rejected"]["by_code"] == {"TooFewFields": 2, "TooManyFields": 1}
    assert [(row["line"], row["code"]) for row in odd["rejected"]["first"]] == [
        (9, "TooFewFields"), (10, "TooFewFields"), (11, "TooManyFields"),
    ]  # fmt: skip
    assert answer["not_merged"] == [] and answer["not_staged"] == [explained.keys[NO_CSV.name]]
    (version,) = answer["versions"]
    assert version["newest"] and version["bytes"] == len(ours["body"]) and not version["deleted"]


def test_the_execution_is_told_with_its_outcome(explained: Explained):
    (told,) = explain(explained, WINDOW)["executions"]
    (execution,) = explained.stack.executions_of(explained.message_id)
    assert told["name"] == execution["name"] and told["arn"] == execution["executionArn"]
    assert (told["status"], told["error"]) == ("FAILED", "SomeFilesRejected")
    assert told["cause"].startswith(f"1 of 3 files of window {WINDOW} could not be staged: {explained.keys[NO_CSV.name]} (NotCsv)")
    assert len(told["cause"]) <= 201
    assert told["message_id"] == explained.message_id and sorted(told["files"]) == sorted(explained.keys.values())
    assert abs(utc(told["started"]) - execution["startDate"]) < timedelta(seconds=1)
    assert abs(utc(told["ended"]) - execution["stopDate"]) < timedelta(seconds=1)


def test_people_are_told_the_same(explained: Explained):
    result = windrow(explained, "explain", WINDOW)
    assert result.returncode == 0 and result.stderr == ""
    text = result.stdout
    for words in [
        f"window {WINDOW}, 2021-09-01T00:00:00Z to 2021-09-01T00:05:00Z",
        f"s3://{explained.stack.outputs['BucketName']}/output/{OBJECT}",
        f"10 rows of 2 files, 3 rejected, {len(explained.stack.output(OBJECT)['body']):,} bytes, written ",
        "delivered yes, ",
        f"{explained.keys[ODD.name]}: 3 of 10 rows (2 TooFewFields, 1 TooManyFields)",
        "line 9: TooFewFields: 1 fields, while the header has 2",
        f"neither staged nor in the object\n{explained.keys[NO_CSV.name]}\n",
        "SomeFilesRejected: 1 of 3 files of window",
        explained.message_id,
    ]:
        assert words in text, text
    assert "not seen" not in text
    (line,) = [line for line in text.splitlines() if line.endswith(explained.keys[GOOD.name]) and "staged" in line]
    assert line.split() == ["3", "0", str(len(GOOD.body)), "2021-09-01T00:01:00Z", "staged", explained.keys[GOOD.name]]


def test_the_text_of_rows_is_shown_to_who_asks_for_it_only(explained: Explained):
    assert "9,x,y" not in windrow(explained, "explain", WINDOW).stdout
    assert "9,x,y" not in windrow(explained, "--json", "explain", WINDOW).stdout
    assert "\n    9,x,y\n" in windrow(explained, "explain", "--raw", WINDOW).stdout
    rows = explain(explained, WINDOW, "--raw")["inputs"][1]["rejected"]["first"]
    assert [row["raw"] for row in rows] == ["7", "8", "9,x,y"]


@pytest.mark.parametrize(
    "meant",
    [
        "2021-09-01T00:04:59.9Z",
        "2021-9-1T02:00+02",
        GOOD.name,
        f"/infra-eng/explained/input/{ODD.name}",
        f"output/{OBJECT}",
    ],
)
def test_a_window_is_found_by_any_of_its_names(explained: Explained, meant: str):
    answer = explain(explained, meant)
    assert answer["window"]["id"] == WINDOW and answer["object"]["rows"] == 10


def test_the_recipes_take_options_behind_the_window(explained: Explained):
    arguments = ["--no-deps", f"stack={NAME}"]
    assert json.loads(stacks.just(explained.cloud, *arguments, "explain", WINDOW, "--json"))["known"]
    assert json.loads(stacks.just(explained.cloud, *arguments, "status", "--json"))["stack"] == NAME


def test_of_an_unknown_window_nothing_is_known(explained: Explained):
    result = windrow(explained, "explain", "20200101T000000Z")
    assert result.returncode == 1 and "Nothing is known of it: no object" in result.stdout
    result = windrow(explained, "--json", "explain", "20200101T000000Z")
    assert result.returncode == 1 and json.loads(result.stdout)["known"] is False
    result = windrow(explained, "explain", "yesterday")
    assert result.returncode == 1 and result.stdout == "" and "`yesterday` is neither a window" in result.stderr


# -- What happens to a window later ----------------------------------------------------------------------------------------


def test_what_the_publisher_has_is_looked_at_and_not_believed(explained: Explained):
    told = explain(explained, WINDOW)["delivery"]
    bucket, key = explained.publisher.bucket, f"{explained.publisher.prefix}/output/{OBJECT}"
    assert told["state"] == "delivered" and (told["bucket"], told["key"]) == (bucket, key)
    theirs = explained.publisher.s3.get_object(Bucket=bucket, Key=key)
    body, metadata = theirs["Body"].read(), theirs["Metadata"]

    explained.publisher.s3.delete_object(Bucket=bucket, Key=key)
    assert explain(explained, WINDOW)["delivery"]["state"] == "not-delivered"
    assert "delivered NO: nothing stands there" in windrow(explained, "explain", WINDOW).stdout

    explained.publisher.s3.put_object(Bucket=bucket, Key=key, Body=body, Metadata=metadata | {"windrow-etag": "former"})
    assert explain(explained, WINDOW)["delivery"]["state"] == "other-version"
    assert "delivered NO: another version of it stands there" in windrow(explained, "explain", WINDOW).stdout

    explained.publisher.s3.put_object(Bucket=bucket, Key=key, Body=body)
    assert explain(explained, WINDOW)["delivery"]["state"] == "something"

    explained.publisher.s3.put_object(Bucket=bucket, Key=key, Body=body, Metadata=metadata)
    assert explain(explained, WINDOW)["delivery"]["state"] == "delivered"


def test_a_fragment_that_is_not_merged_yet_is_told(explained: Explained):
    """As between staging and merging: a fragment stands there that the object does not have."""
    s3, bucket = explained.stack.s3, explained.stack.outputs["BucketName"]
    fragment = explain(explained, WINDOW)["inputs"][0]["fragment"]
    staged, other = (f"staging/{WINDOW}/{name}.parquet" for name in (fragment, "f" * 32))
    body = s3.get_object(Bucket=bucket, Key=staged)["Body"].read()
    s3.put_object(Bucket=bucket, Key=other, Body=body)
    (waiting,) = explain(explained, WINDOW)["not_merged"]
    assert waiting["fragment"] == "f" * 32
    assert (waiting["key"], waiting["rows"]) == (explained.keys[GOOD.name], 3), "as the fragment itself says"
    assert "staged and not in the object yet\n" in windrow(explained, "explain", WINDOW).stdout
    s3.delete_object(Bucket=bucket, Key=other)

    s3.put_object(Bucket=bucket, Key=staged, Body=body + b" ")
    assert [part["staging"] for part in explain(explained, WINDOW)["inputs"]] == ["newer-staged", "staged"]
    s3.put_object(Bucket=bucket, Key=staged, Body=body)
    assert [part["staging"] for part in explain(explained, WINDOW)["inputs"]] == ["staged", "staged"]


def test_rejected_rows_of_another_version_do_not_count(explained: Explained):
    s3, bucket = explained.stack.s3, explained.stack.outputs["BucketName"]
    key = f"rejected/{WINDOW}/{explain(explained, WINDOW)['inputs'][1]['fragment']}.jsonl"
    answer = s3.get_object(Bucket=bucket, Key=key)
    body, metadata = answer["Body"].read(), answer["Metadata"]
    s3.put_object(Bucket=bucket, Key=key, Body=body, Metadata={"windrow-source-etag": "another"})
    odd = explain(explained, WINDOW)["inputs"][1]
    assert odd["rejected"] is None and "another version of the file" in odd["rejected_not_seen"]
    s3.delete_object(Bucket=bucket, Key=key)
    assert "no longer kept" in explain(explained, WINDOW)["inputs"][1]["rejected_not_seen"]
    s3.put_object(Bucket=bucket, Key=key, Body=body, Metadata=metadata)


def test_a_late_file_makes_a_second_version(explained: Explained):
    late = publish(explained, explained.publisher.put(LATE.name, LATE.body))
    answer = explain(explained, WINDOW)
    assert [part["key"].rsplit("/")[-1] for part in answer["inputs"]] == [LATE.name, GOOD.name, ODD.name]
    assert answer["object"]["rows"] == 11
    newest, former = answer["versions"]
    assert newest["newest"] and not former["newest"] and newest["version"] == answer["object"]["version"]
    ours = explained.stack.output(OBJECT)
    assert newest["bytes"] == len(ours["body"]) and (newest["inputs"], former["inputs"]) == (3, 2)
    assert newest["digest"] == answer["object"]["digest"] == ours["metadata"]["windrow-inputs"] != former["digest"]
    assert len(former["digest"]) == 64 and f"  {former['digest'][:12]}…  " in windrow(explained, "explain", WINDOW).stdout
    assert [(one["message_id"], one["status"]) for one in answer["executions"]] == [
        (late, "SUCCEEDED"), (explained.message_id, "FAILED"),
    ]  # fmt: skip
    assert answer["delivery"]["state"] == "delivered"


def test_a_fragment_that_has_expired_is_told(explained: Explained):
    fragment = explain(explained, WINDOW)["inputs"][-1]["fragment"]
    key = f"staging/{WINDOW}/{fragment}.parquet"
    explained.stack.s3.delete_object(Bucket=explained.stack.outputs["BucketName"], Key=key)
    answer = explain(explained, WINDOW)
    assert [part["staging"] for part in answer["inputs"]] == ["staged", "staged", "expired"]
    assert answer["object"]["rows"] == 11


# -- Status ----------------------------------------------------------------------------------------------------------------


def test_status_counts_and_puts_the_last_written_first(explained: Explained):
    for day in ("2021-08-03", "2021-08-01", "2021-08-02"):
        publish(explained, explained.publisher.put(f"{day}T00:00:00Z.csv", b"id\n1\n"))
        time.sleep(1.1)  # S3 tells whole seconds.
    answer = status(explained)
    assert answer["not_seen"] == []
    statuses = [execution["status"] for execution in explained.stack.executions()]
    assert answer["executions"]["counts"] == {name: statuses.count(name) for name in set(statuses)}
    assert answer["executions"]["running"] == []
    (failed,) = answer["executions"]["failed"]
    assert failed["error"] == "SomeFilesRejected" and failed["name"].startswith(WINDOW)
    assert answer["windows"]["count"] == len(explained.stack.keys("output/")) == 4
    latest = answer["windows"]["latest"]
    assert [window["window"][:8] for window in latest] == ["20210802", "20210801", "20210803", "20210901"]
    assert {window["freshness_seconds"] for window in latest} == {None}, "history"
    text = windrow(explained, "status").stdout
    assert "executions   1 FAILED, 4 SUCCEEDED\n" in text and "history" in text and f"just explain {WINDOW}" in text


def test_status_counts_letters_and_takes_none(explained: Explained):
    """The file that is no CSV has one, another joins it."""
    assert status(explained)["letters"] == {"waiting": 1, "in_flight": 0}
    queue = explained.stack.outputs["DeadLettersUrl"]
    explained.stack.sqs.send_message(QueueUrl=queue, MessageBody="{}")
    assert status(explained)["letters"] == {"waiting": 2, "in_flight": 0}
    text = windrow(explained, "status").stdout
    assert "dead letters 2 waiting\n" in text and "`just redrive`" in text
    explained.stack.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=1, VisibilityTimeout=30)
    assert status(explained)["letters"] == {"waiting": 1, "in_flight": 1}


def test_a_live_window_has_a_freshness_and_one_that_waits_is_running(explained: Explained):
    """One of which the end is near, so that nobody waits for long: windows end every five minutes, so one is put there by hand."""
    s3, bucket = explained.stack.s3, explained.stack.outputs["BucketName"]
    now = datetime.now(timezone.utc)
    ended = now.replace(minute=now.minute // 5 * 5, second=0, microsecond=0)
    live = f"{ended - timedelta(minutes=5):%Y%m%dT%H%M%SZ}"
    s3.put_object(Bucket=bucket, Key=f"output/ms-{live}.parquet", Body=b"x")
    written = s3.head_object(Bucket=bucket, Key=f"output/ms-{live}.parquet")["LastModified"]
    latest = status(explained)["windows"]["latest"][0]
    assert latest["window"] == live
    expected = max(0, (written - ended).total_seconds() - 1)
    assert abs(latest["freshness_seconds"] - expected) <= 1
    assert f"  {latest['freshness_seconds']} s\n" in windrow(explained, "status").stdout
    # What is there is no Parquet: that is said, and the rest with it.
    answer = explain(explained, live)
    assert answer["known"] and [one["what"] for one in answer["not_seen"]] == ["object"]
    s3.delete_object(Bucket=bucket, Key=f"output/ms-{live}.parquet")
    assert [version["deleted"] for version in explain(explained, live)["versions"]] == [True, False]

    # Its window is not over for minutes: the execution waits.
    key = explained.publisher.put(f"{now + timedelta(minutes=10):%Y-%m-%dT%H:%M:%SZ}.csv", b"id\n1\n")
    message_id = explained.publisher.announce([key])
    (execution,) = wait_for("execution", lambda: explained.stack.executions_of(message_id))
    answer = status(explained)
    assert [one["name"] for one in answer["executions"]["running"]] == [execution["name"]]
    assert answer["executions"]["counts"]["RUNNING"] == 1
    assert execution["name"] in windrow(explained, "status").stdout
    wait_for("fragment", lambda: explain(explained, key)["not_merged"])
    answer = explain(explained, key)
    assert answer["object"] is None and answer["delivery"]["state"] == "not-delivered" and answer["known"]
    assert [waiting["key"] for waiting in answer["not_merged"]] == [key]
    explained.stack.states.stop_execution(executionArn=execution["executionArn"])
    assert "ABORTED" in status(explained)["executions"]["counts"]


def test_what_was_announced_after_its_time_is_history_however_soon_after(explained: Explained):
    file_time = datetime.now(timezone.utc) - timedelta(minutes=20)
    publish(explained, explained.publisher.put(f"{file_time:%Y-%m-%dT%H:%M:%SZ}.csv", b"id\n1\n"))
    latest = status(explained)["windows"]["latest"][0]
    start = file_time.replace(minute=file_time.minute // 5 * 5)
    assert (latest["window"], latest["freshness_seconds"]) == (f"{start:%Y%m%dT%H%M00Z}", None)


# -- An operator who may not everything ------------------------------------------------------------------------------------


def test_who_lacks_permissions_is_told_which_and_sees_the_rest(explained: Explained):
    bucket = explained.stack.outputs["BucketName"]
    stack_only = ["cloudformation:*", "sts:GetCallerIdentity"]
    stranger = operator(explained, "stranger", stack_only)
    answer = explain(explained, WINDOW, environment=stranger)
    assert answer["object"] is None and answer["executions"] is None and not answer["known"]
    why = {one["what"]: one["why"] for one in answer["not_seen"]}
    for what, action in [
        ("object", "s3:GetObject"),
        ("staging", "s3:ListBucket"),
        ("versions", "s3:ListBucketVersions"),
        ("executions", "states:ListExecutions"),
        ("delivery", "sts:AssumeRole"),
    ]:
        assert action in why[what], why
        if what != "delivery":
            assert f"user/stranger` may not `{action}`: ask whoever administers the account" in why[what]
    assert explained.publisher.role_arn in why["delivery"]
    result = windrow(explained, "explain", WINDOW, environment=stranger)
    assert result.returncode == 1 and "Nothing is known of it, but not everything could be seen" in result.stdout
    assert result.stdout.count(" not seen: ") == 5

    why = {one["what"]: one["why"] for one in status(explained, stranger)["not_seen"]}
    assert {"executions": "states:ListExecutions", "letters": "sqs:GetQueueAttributes", "windows": "s3:ListBucket"} == {
        what: action for what, text in why.items() for action in [text.split("`")[3]]
    }

    reader = operator(explained, "reader", [*stack_only, "s3:GetObject", "s3:ListBucket", "sqs:GetQueueAttributes"])
    answer = explain(explained, WINDOW, environment=reader)
    assert answer["known"] and answer["object"]["rows"] == 11 and answer["inputs"][2]["rejected"]["by_code"]
    assert {one["what"] for one in answer["not_seen"]} == {"versions", "executions", "delivery"}
    assert bucket in windrow(explained, "explain", WINDOW, environment=reader).stdout
    seen = status(explained, reader)
    assert seen["executions"] is None and seen["windows"]["count"] >= 4 and seen["letters"]

    lister = operator(explained, "lister", [*stack_only, "states:ListExecutions"])
    answer = explain(explained, WINDOW, environment=lister)
    assert answer["known"] and {one["status"] for one in answer["executions"]} == {"FAILED", "SUCCEEDED"}
    assert "states:DescribeExecution" in {one["what"]: one["why"] for one in answer["not_seen"]}["executions"]


def operator(world: World, name: str, actions: list[str]) -> dict[str, str]:
    iam = world.cloud.client("iam")
    iam.create_user(UserName=name)
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]})
    iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def explain(world: World, *arguments: str, environment: dict[str, str] | None = None) -> dict:
    return answered(windrow(world, "--json", "explain", *arguments, environment=environment))


def status(world: World, environment: dict[str, str] | None = None) -> dict:
    return answered(windrow(world, "status", "--json", environment=environment))


def answered(result: subprocess.CompletedProcess) -> dict:
    assert result.stdout, result.stderr
    return json.loads(result.stdout)


def windrow(world: World, *arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    """The command behind the recipes, which is built already."""
    environment = os.environ | world.cloud.environment() | {"WINDROW_STACK": world.stack.name} | (environment or {})
    return subprocess.run([ROOT / "target/debug/windrow", *arguments], env=environment, text=True, capture_output=True)
