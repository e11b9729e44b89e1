"""Several stacks side by side, in one account and in several Regions: each does its own work, and touches nobody else's."""

from pathlib import Path

import pytest
from conftest import wait_for_delivery

import oracle
import stack as stacks
from publisher import Publisher
from samples import File, utc
from stack import wait_for
from world import World


@pytest.fixture(scope="module")
def second(world: World) -> World:
    """In the same bucket another folder, with a role, an external id and a topic of its own."""
    return beside(world, world.publisher.bucket, "second", "us-east-1")


@pytest.fixture(scope="module")
def elsewhere(world: World) -> World:
    """In another Region, where the bucket must be, too."""
    return beside(world, "macroscope-elsewhere", "elsewhere", "eu-central-1")


def beside(world: World, bucket: str, name: str, region: str) -> World:
    publisher = Publisher(world.cloud, bucket, f"infra-eng/{name}", f"windrow-{name}", f"external-{name}", region)
    publisher.create(f"announcements-{name}")
    told = dict(line.split("=", 1) for line in publisher.run("Tell us").splitlines())
    stack = stacks.deploy(world.cloud, f"Windrow-{name}", told | {"GraceSeconds": "1"}, region)
    return World(world.cloud, publisher, stack)


def test_stacks_gather_files_of_the_same_name_each_its_own(world: World, second: World, elsewhere: World, tmp_path: Path):
    everyone = [world, second, elsewhere]
    assert len({one.stack.outputs["BucketName"] for one in everyone}) == 3
    times = ("2021-07-01T00:01:00Z", "2021-07-01T00:02:00Z")
    files = [
        [File(f"{time}.csv", utc(time), f"of,file\n{number},{n}\n".encode()) for n, time in enumerate(times)]
        for number in range(3)
    ]
    keys = [[one.publisher.put(file.name, file.body) for file in own] for one, own in zip(everyone, files)]
    ids = [one.publisher.announce(own) for one, own in zip(everyone, keys)]

    for one, own, own_keys, message_id in zip(everyone, files, keys, ids):
        (execution,) = wait_for("end of the execution", lambda: one.stack.finished(message_id, 1))
        assert execution["status"] == "SUCCEEDED"
        (window,) = oracle.windows(own)
        parquet = oracle.read_parquet(wait_for_delivery(one, window)["body"], tmp_path)
        assert oracle.differences(window, parquet) == []
        assert [entry["key"] for entry in parquet.metadata["windrow.lineage"]] == own_keys
    for one, message_id in zip(everyone, ids):
        assert not [other for other in everyone if other is not one and other.stack.executions_of(message_id)]
    for one in (second, elsewhere):
        assert one.stack.keys("output/") == [f"output/{window.object_name}"], "nothing of the others'"
        assert len(one.stack.keys("staging/")) == 2
        assert one.stack.letters() == []


@pytest.mark.parametrize("function", ["Start", "Stage", "Merge", "Deliver"])
def test_no_function_may_use_what_is_another_stacks(world: World, second: World, elsewhere: World, function: str):
    everyone = [world, second, elsewhere]
    for one in everyone:
        assert allowed(one, function, one), "of its own it may use something"
        for other in everyone:
            assert other is one or not allowed(one, function, other)


ACTIONS = ["s3:GetObject", "s3:PutObject", "s3:ListBucket", "sts:AssumeRole", "states:StartExecution", "sqs:SendMessage"]


def allowed(one: World, function: str, other: World) -> set[tuple[str, str]]:
    """What the role of a function may do with the things of another stack, or its publisher."""
    outputs = other.stack.outputs
    bucket = f"arn:aws:s3:::{outputs['BucketName']}"
    objects = [f"{bucket}/{key}" for key in ("staging/x.parquet", "rejected/x.jsonl", "output/ms-x.parquet")]
    queue = other.stack.sqs.get_queue_attributes(QueueUrl=outputs["DeadLettersUrl"], AttributeNames=["QueueArn"])
    things = [bucket, *objects, outputs["StateMachineArn"], other.publisher.role_arn, queue["Attributes"]["QueueArn"]]

    name = one.stack.outputs[f"{function}FunctionName"]
    role = one.stack.functions.get_function_configuration(FunctionName=name)["Role"]
    iam = one.cloud.client("iam")
    answers = [
        iam.simulate_principal_policy(PolicySourceArn=role, ActionNames=ACTIONS, ResourceArns=[thing])["EvaluationResults"]
        for thing in things
    ]
    results = [result for answer in answers for result in answer]
    return {(r["EvalActionName"], r["EvalResourceName"]) for r in results if r["EvalDecision"] == "allowed"}
