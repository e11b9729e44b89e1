"""A stack's life: deployed from a file of parameters, destroyed, and begun anew with the bucket that it left."""

import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

import oracle
import stack as stacks
from conftest import wait_for_delivery
from samples import File, utc
from stack import just, wait_for
from world import World

# Capitals, which a bucket's name may not hold.
NAME = "Windrow-again"


def test_a_stack_is_deployed_from_a_file_destroyed_and_begun_anew_with_its_data(world: World, tmp_path: Path):
    topic = world.publisher.create_topic("announcements-again")
    parameters = stacks.parameters(topic)
    file = tmp_path / "parameters.json"
    file.write_text(json.dumps([f"{key}={value}" for key, value in parameters.items()]))
    just(world.cloud, "--no-deps", f"stack={NAME}", "deploy", f"file://{file}")
    first = stacks.deployed(world.cloud, NAME)
    early, late = (File(f"{time}.csv", utc(time), f"id\n{n}\n".encode()) for n, time in enumerate(TIMES))
    announced(World(world.cloud, world.publisher, first), topic, early)

    code_bucket = just(world.cloud, f"stack={NAME}", "_code-bucket").strip()
    bucket = first.outputs["BucketName"]
    assert {code_bucket, bucket} <= buckets(world)
    assert bucket in just(world.cloud, f"stack={NAME}", "destroy")
    assert code_bucket not in buckets(world), "a deployment artefact goes with the deployment"
    assert bucket in buckets(world), "the data does not"
    with pytest.raises(ClientError, match="does not exist"):
        world.cloud.client("cloudformation").describe_stacks(StackName=NAME)

    just(world.cloud, f"stack={NAME}", "adopt", bucket)
    second = stacks.deploy(world.cloud, NAME, parameters | {"BucketName": bucket})
    assert second.outputs["BucketName"] == bucket
    here = World(world.cloud, world.publisher, second)
    announced(here, topic, late)
    (window,) = oracle.windows([early, late])
    parquet = oracle.read_parquet(wait_for_delivery(here, window)["body"], tmp_path)
    assert oracle.differences(window, parquet) == []


TIMES = ("2021-04-01T00:01:00Z", "2021-04-01T00:02:00Z")


def announced(world: World, topic: str, file: File) -> None:
    message_id = world.publisher.announce([world.publisher.put(file.name, file.body)], topic)
    (execution,) = wait_for("end of the execution", lambda: world.stack.finished(message_id, 1))
    assert execution["status"] == "SUCCEEDED"


def buckets(world: World) -> set[str]:
    return {bucket["Name"] for bucket in world.stack.s3.list_buckets()["Buckets"]}
