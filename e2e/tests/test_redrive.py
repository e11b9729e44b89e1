"""`just redrive` and `just replay`: what failed or was lost comes to its end, and nothing happens twice."""

import json
import os
import signal
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from conftest import wait_for_delivery
from test_bad_input import assert_delivered, invoke_start
from test_check import denied, policy_without, windrow

import oracle
import publisher as publishers
import stack as stacks
from publisher import Publisher
from samples import File, utc
from stack import ROOT, wait_for
from world import World

NAME = "Windrow-redriven"


@pytest.fixture(scope="module")
def broken(world: World) -> World:
    """A stack and a publisher of its own, for things are broken here."""
    publisher = Publisher(world.cloud, prefix="infra-eng/redriven", role="windrow-redriven", external_id="external-redriven")
    # The bucket is there, and others' names in it are none of this publisher's.
    publisher.topic_arn = publisher.create_topic("announcements-redriven")
    publisher.run("The role")
    told = dict(line.split("=", 1) for line in publisher.run("Tell us").splitlines())
    stack = stacks.deploy(world.cloud, NAME, told | {"GraceSeconds": "1"})
    return World(world.cloud, publisher, stack)


@pytest.fixture(autouse=True)
def nothing_is_left(broken: World):
    """Each test mends all that it broke."""
    yield
    left = taken(broken)
    assert left == []
    assert redrive(broken)["counts"] == counts(), "a second time there is nothing to do"


def test_a_file_that_was_mended_arrives(broken: World, tmp_path: Path):
    file = File("2021-09-01T00:00:00Z.csv", utc("2021-09-01T00:00:00Z"), b"id\n1\n")
    key = broken.publisher.put(file.name, b"\x00\x01\x02" * 1000)
    message_id = broken.publisher.announce([key])
    wait_for("end of the execution", lambda: broken.stack.finished(message_id, 1))
    wait_for("letter", lambda: waiting(broken) == 1)
    executions = len(broken.stack.executions())

    answer = redrive(broken, "--dry-run")
    assert answer["dry_run"] and answer["counts"] == counts(seen=1, planned=1)
    assert key in answer["letters"][0]["about"] and "NotCsv" in answer["letters"][0]["about"]
    assert waiting(broken) == 1 and len(broken.stack.executions()) == executions, "nothing is changed"

    answer = redrive(broken)
    assert answer["counts"] == counts(seen=1, replayed=1), "it is accepted, whatever comes of it"
    wait_for("its next letter", lambda: waiting(broken) == 1)

    broken.publisher.put(file.name, file.body)
    assert redrive(broken)["counts"] == counts(seen=1, replayed=1)
    assert_delivered(broken, [file], tmp_path)


def test_letters_of_files_are_gathered_and_one_that_is_refused_holds_back_no_other(broken: World, tmp_path: Path):
    files = [File(f"2021-09-02T00:0{n}:00Z.csv", utc(f"2021-09-02T00:0{n}:00Z"), b"id\n1\n") for n in range(3)]
    keys = [broken.publisher.put(file.name, file.body) for file in files]
    before = len(broken.stack.executions())
    for key in [*keys, keys[0]]:
        send(broken, rejected(key))
    assert redrive(broken)["counts"] == counts(seen=4, replayed=4)
    assert_delivered(broken, files, tmp_path)
    assert len(broken.stack.executions()) == before + 1, "one message, one window, one execution"

    send(broken, rejected(keys[0]))
    send(broken, rejected(f"{broken.publisher.prefix}/input/no-time.csv"))
    answer = redrive(broken, code=1)
    assert answer["counts"] == counts(seen=2, replayed=1, failed_again=1)
    (line,) = [line for line in answer["letters"] if line["fate"] == "failed-again"]
    assert "no-time.csv" in line["about"] and line["reason"].startswith("RefusedFiles: ")
    assert len(taken(broken)) == 1


def test_a_message_that_fails_again_stays(broken: World):
    text = publishers.message([f"{broken.publisher.prefix}/input/2021-09-03T00:00:00Z.csv"], "arn:aws:s3:::somebody-elses")
    event_id = invoke_start(broken.stack, text, broken.publisher.topic_arn)
    wait_for("letter", lambda: waiting(broken) == 1)

    answer = redrive(broken, code=1)
    assert answer["counts"] == counts(seen=1, failed_again=1)
    assert answer["letters"][0]["reason"].startswith("WrongBucket: ") and event_id in answer["letters"][0]["about"]
    assert waiting(broken) == 1, "the same letter, and no second one"

    result = windrow(broken, "redrive")
    assert result.returncode == 1 and "\n1 dead letter: 1 FAILED AGAIN\n0 failed executions\n" in result.stdout
    (letter,) = taken(broken)
    assert json.loads(letter)["requestPayload"]["Records"][0]["Sns"]["Message"] == text


def test_a_result_that_could_not_be_delivered_is(broken: World, tmp_path: Path):
    file = File("2021-09-04T00:00:00Z.csv", utc("2021-09-04T00:00:00Z"), b"id\n1\n")
    with policy_without(broken, "WriteOutput"):
        broken.publisher.announce([broken.publisher.put(file.name, file.body)])
        wait_for("letter", lambda: waiting(broken) == 1, 90)
        answer = redrive(broken, code=1)
        assert answer["counts"] == counts(seen=1, failed_again=1)
        assert answer["letters"][0]["reason"].startswith("RecordsNotDelivered: ")
    assert redrive(broken)["counts"] == counts(seen=1, replayed=1)
    assert_delivered(broken, [file], tmp_path)


def test_a_message_that_sns_could_not_hand_over_is_announced_anew(broken: World, tmp_path: Path):
    file = File("2021-09-05T00:00:00Z.csv", utc("2021-09-05T00:00:00Z"), b"id\n1\n")
    text = publishers.message([broken.publisher.put(file.name, file.body)])
    # Of years ago: a new message has the time of now, and an id of its own.
    send(broken, {"Type": "Notification", "MessageId": "old", "Timestamp": "2021-09-05T00:00:00.000Z", "Message": text})
    assert redrive(broken)["counts"] == counts(seen=1, replayed=1)
    assert_delivered(broken, [file], tmp_path)
    assert broken.stack.executions_of("old") == []


def test_what_is_no_letter_stays_and_is_named(broken: World):
    for body in ({}, {"Records": []}, "no JSON"):
        send(broken, body)
    answer = redrive(broken)
    assert answer["counts"] == counts(seen=3, left=3) and waiting(broken) == 3
    result = windrow(broken, "redrive")
    assert all(line["id"] in result.stdout for line in answer["letters"])
    assert len(taken(broken)) == 3


def test_an_execution_that_failed_on_its_way_is_mended(broken: World, tmp_path: Path):
    file = File("2021-09-06T00:00:00Z.csv", utc("2021-09-06T00:00:00Z"), b"id\n1\n")
    with denied(broken, "MergeRole", "s3:PutObject", "*"):
        message_id = broken.publisher.announce([broken.publisher.put(file.name, file.body)])
        (execution,) = wait_for("end of the execution", lambda: broken.stack.finished(message_id, 1), 90)
    assert execution["status"] == "FAILED"
    answer = redrive(broken, "--dry-run")
    assert answer["counts"] == counts("executions", seen=1, planned=1)
    assert answer["executions"][0]["id"] == execution["name"]

    # The local cloud cannot redrive, so the files are announced again.
    assert redrive(broken)["counts"] == counts("executions", seen=1, replayed=1)
    assert redrive(broken)["counts"] == counts(), "it runs already"
    assert_delivered(broken, [file], tmp_path)


def test_files_that_came_to_their_end_by_a_later_execution_are_not_announced_from_here(broken: World, tmp_path: Path):
    good, other = (File(f"2021-09-07T00:0{n}:00Z.csv", utc(f"2021-09-07T00:0{n}:00Z"), b"id\n1\n") for n in range(2))
    keys = [broken.publisher.put(good.name, good.body), broken.publisher.put(other.name, b"\x00\x01\x02" * 1000)]
    with denied(broken, "MergeRole", "s3:PutObject", "*"):
        message_id = broken.publisher.announce(keys)
        (execution,) = wait_for("end of the execution", lambda: broken.stack.finished(message_id, 1), 90)
    assert execution["status"] == "FAILED" and execution["error"] != "SomeFilesRejected"
    answer = redrive(broken)
    assert answer["counts"]["letters"]["replayed"] == answer["counts"]["executions"]["replayed"] == 1
    wait_for("their next letters", lambda: waiting(broken) == 2)
    wait_for("their end", lambda: none_runs(broken))

    # The later one has merged the good file, and the other has a letter, which alone mends it.
    broken.publisher.put(other.name, other.body)
    assert redrive(broken)["counts"] == counts(seen=2, replayed=2)
    wait_for("their end", lambda: none_runs(broken))
    assert_delivered(broken, [good, other], tmp_path)


def test_what_somebody_stopped_stays_stopped(broken: World):
    # Its window is not over for minutes: the execution waits.
    name = f"{datetime.now(timezone.utc) + timedelta(minutes=10):%Y-%m-%dT%H:%M:%SZ}.csv"
    message_id = broken.publisher.announce([broken.publisher.put(name, b"id\n1\n")])
    (execution,) = wait_for("execution", lambda: broken.stack.executions_of(message_id))
    broken.stack.states.stop_execution(executionArn=execution["executionArn"])
    assert redrive(broken)["counts"] == counts()
    assert len(broken.stack.executions_of(message_id)) == 1 and none_runs(broken)


def test_a_range_is_announced_again_and_a_lost_copy_comes_back(broken: World):
    files = [File(f"2021-10-01T00:{at}:00Z.csv", utc(f"2021-10-01T00:{at}:00Z"), b"id\n1\n") for at in ("01", "02", "06", "30")]
    keys = [broken.publisher.put(file.name, file.body) for file in files[:3]]
    keys += [f"/{broken.publisher.prefix}/input/{files[3].name}"]
    broken.publisher.s3.put_object(Bucket=broken.publisher.bucket, Key=keys[3], Body=files[3].body)
    broken.publisher.put("notes.csv", b"id\n1\n")
    message_id = broken.publisher.announce([*keys[:3], keys[3].lstrip("/")])
    wait_for("end of the executions", lambda: broken.stack.finished(message_id, 3))
    windows = oracle.windows(files)
    for window in windows:
        wait_for_delivery(broken, window)
    before, executions = versions(broken), len(broken.stack.executions())
    lost = f"{broken.publisher.prefix}/output/{windows[0].object_name}"
    broken.publisher.s3.delete_object(Bucket=broken.publisher.bucket, Key=lost)

    answer = replay(broken, "2021-10-01", "2021-10-01T00:30:00Z", "--dry-run")
    assert (answer["windows"], answer["counts"]["files"], answer["counts"]["results"]) == (2, 3, 2), "the end is not in it"
    assert answer["no_times"] == {"count": 1, "first": [f"{broken.publisher.prefix}/input/notes.csv"]}
    assert len(broken.stack.executions()) == executions and broken.publisher.delivered(windows[0].object_name) is None

    answer = replay(broken, "2021-10-01", "2021-10-02")
    assert answer["counts"] == {"messages": 1, "files": 4, "results": 3, "delivered": 1, "failed": []}
    assert answer["resume"] is None
    wait_for_delivery(broken, windows[0])
    wait_for("executions", lambda: len(broken.stack.executions()) == executions + 3)
    wait_for("their end", lambda: none_runs(broken))
    assert versions(broken) == before, "nothing is written that was there"

    answer = replay(broken, "--prefix", "2021-10-01T00:0", "--dry-run")
    assert (answer["windows"], answer["counts"]["files"], answer["counts"]["results"]) == (2, 3, 2)


def test_a_replay_that_is_interrupted_says_how_to_go_on(broken: World):
    first = [broken.publisher.put(f"2021-11-01T00:00:{n % 60:02}.{n}Z.csv", b"id\n1\n") for n in range(200)]
    broken.publisher.put("2021-11-01T00:05:00Z.csv", b"id\n1\n")
    before = len(broken.stack.executions())
    command = [ROOT / "target/debug/windrow", "--stack", NAME, "--json", "replay", "2021-11-01", "2021-11-02", "--per-second", "0.01"]
    process = subprocess.Popen(command, env=environment(broken), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for("first execution", lambda: len(broken.stack.executions()) > before)
    process.send_signal(signal.SIGINT)
    told, said = process.communicate(timeout=30)
    answer = json.loads(told)
    assert process.returncode == 1 and answer["counts"]["files"] == len(first)
    resume = f"just stack={NAME} replay 2021-11-01T00:05:00Z 2021-11-02T00:00:00Z --per-second 0.01"
    assert answer["resume"] == resume and said.endswith(f"To go on: {resume}\n")

    answer = answered(windrow(broken, "--json", *resume.split()[2:]), 0)
    assert (answer["windows"], answer["counts"]["files"]) == (1, 1)
    wait_for("all executions", lambda: len(broken.stack.executions()) == before + 2)
    wait_for("their end", lambda: none_runs(broken), 120)


def test_a_replay_that_fails_says_how_to_go_on(broken: World):
    broken.publisher.put("2021-12-01T00:00:00Z.csv", b"id\n1\n")
    with denied(broken, "StartRole", "states:StartExecution", "*"):
        result = windrow(broken, "replay", "2021-12-01", "2021-12-02")
    assert result.returncode == 1 and "start: ExecutionsNotStarted: " in result.stderr
    assert f"To go on: just stack={NAME} replay 2021-12-01T00:00:00Z 2021-12-02T00:00:00Z" in result.stderr


def test_a_replay_outlasts_a_moment_in_which_nothing_is_answered_and_starts_nothing_twice(broken: World):
    broken.publisher.put("2021-12-02T00:00:00Z.csv", b"id\n1\n")
    before = len(broken.stack.executions())
    # More often than the SDK tries by itself.
    with broken.cloud.proxy.mishap("POST", "/invocations", 4, loses_reply=True) as mishap:
        answer = replay(broken, "2021-12-02", "2021-12-03")
    assert mishap.befallen == 4 and answer["counts"]["files"] == 1
    wait_for("their end", lambda: none_runs(broken))
    assert len(broken.stack.executions()) == before + 1


def test_a_replay_stops_where_the_publisher_takes_nothing(broken: World):
    files = [File(f"2021-12-03T00:{n:02}:00Z.csv", utc(f"2021-12-03T00:{n:02}:00Z"), b"id\n1\n") for n in range(0, 60, 5)]
    message_id = broken.publisher.announce([broken.publisher.put(file.name, file.body) for file in files])
    wait_for("end of the executions", lambda: broken.stack.finished(message_id, len(files)))
    for window in oracle.windows(files):
        wait_for_delivery(broken, window)
        key = f"{broken.publisher.prefix}/output/{window.object_name}"
        broken.publisher.s3.delete_object(Bucket=broken.publisher.bucket, Key=key)
    with policy_without(broken, "WriteOutput"):
        result = windrow(broken, "--json", "replay", "2021-12-03", "2021-12-04")
    assert result.returncode == 1 and "10 results one after the other could not be delivered" in result.stderr
    answer = json.loads(result.stdout)
    assert len(answer["counts"]["failed"]) == 10 and answer["counts"]["delivered"] == 0
    assert answer["resume"] in result.stderr and "replay 2021-12-03T00:00:00Z 2021-12-04T00:00:00Z" in answer["resume"]
    wait_for("their end", lambda: none_runs(broken))
    assert replay(broken, "2021-12-03", "2021-12-04")["counts"]["delivered"] == len(files)
    wait_for("their end", lambda: none_runs(broken))


def test_who_may_not_list_the_publishers_bucket_is_told_what_to_do(broken: World):
    iam = broken.cloud.client("iam")
    iam.create_user(UserName="replayer")
    statement = {"Effect": "Allow", "Action": ["cloudformation:*", "lambda:InvokeFunction"], "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName="replayer", PolicyName="replayer", PolicyDocument=policy)
    key = iam.create_access_key(UserName="replayer")["AccessKey"]
    replayer = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    result = windrow(broken, "replay", "2021-12-01", "2021-12-02", environment=replayer)
    assert result.returncode == 1 and f"`sts:AssumeRole` of `{broken.publisher.role_arn}`" in result.stderr
    result = windrow(broken, "redrive", environment=replayer)
    assert result.returncode == 1 and "user/replayer` may not `sqs:ReceiveMessage`" in result.stderr


def test_the_recipes_take_options(broken: World):
    said = stacks.just(broken.cloud, "--no-deps", f"stack={NAME}", "redrive", "--dry-run")
    assert said == "0 dead letters\n0 failed executions\n"
    said = stacks.just(broken.cloud, "--no-deps", f"stack={NAME}", "replay", "2020-01-01", "2020-01-02", "--dry-run")
    assert said.startswith("0 files of 0 windows: 0 would be announced in 0 messages\n")


# -- What is asked, and what is said -------------------------------------------------------------------------------------


def counts(of: str = "letters", **numbers: int) -> dict:
    none = dict.fromkeys(("seen", "planned", "replayed", "redriven", "failed_again", "left"), 0)
    return {"letters": none, "executions": none} | {of: none | numbers}


def environment(world: World) -> dict[str, str]:
    return os.environ | world.cloud.environment()


def redrive(world: World, *options: str, code: int = 0) -> dict:
    return answered(windrow(world, "--json", "redrive", *options), code)


def replay(world: World, *options: str, code: int = 0) -> dict:
    return answered(windrow(world, "--json", "replay", "--per-second", "100", *options), code)


def answered(result: subprocess.CompletedProcess, code: int) -> dict:
    assert result.returncode == code, result.stdout + result.stderr
    return json.loads(result.stdout)


def none_runs(world: World) -> bool:
    return all(execution["status"] != "RUNNING" for execution in world.stack.executions())


def waiting(world: World) -> int:
    """Letters that anybody would receive now."""
    name = "ApproximateNumberOfMessages"
    answer = world.stack.sqs.get_queue_attributes(QueueUrl=world.stack.outputs["DeadLettersUrl"], AttributeNames=[name])
    return int(answer["Attributes"][name])


def taken(world: World) -> list[str]:
    """The letters that wait, which are taken out of the queue."""
    found, url = [], world.stack.outputs["DeadLettersUrl"]
    while received := world.stack.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for letter in received:
            found.append(letter["Body"])
            world.stack.sqs.delete_message(QueueUrl=url, ReceiptHandle=letter["ReceiptHandle"])
    return found


def send(world: World, letter: dict | str) -> None:
    body = letter if isinstance(letter, str) else json.dumps(letter)
    world.stack.sqs.send_message(QueueUrl=world.stack.outputs["DeadLettersUrl"], MessageBody=body)


def rejected(key: str) -> dict:
    """A letter as the state machine writes it."""
    return {"kind": "rejected-file", "window": "20210902T000000Z", "bucket": publishers.BUCKET, "key": key, "error": "NotCsv"}


def versions(world: World) -> list[tuple[str, str]]:
    """Of the results in our bucket."""
    answer = world.stack.s3.list_object_versions(Bucket=world.stack.outputs["BucketName"], Prefix="output/")
    return [(version["Key"], version["VersionId"]) for version in answer["Versions"]]
