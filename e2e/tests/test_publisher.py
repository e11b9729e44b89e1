"""The publisher's page, docs/publisher.md, run as it stands: whom it lets in, and to what."""

import json
from urllib.parse import unquote

import pytest
from botocore.exceptions import ClientError
from conftest import wait_for_delivery

import oracle
import publisher
import stack as stacks
from cloud import OUR_ACCOUNT, PUBLISHER_ACCOUNT
from publisher import BUCKET, EXTERNAL_ID, PREFIX
from samples import File, utc
from stack import wait_for
from world import World

THIRD_ACCOUNT = "999988887777"


def test_we_deploy_with_what_the_page_prints(world: World):
    printed = dict(line.split("=", 1) for line in world.publisher.run("Tell us").splitlines())
    assert printed | {"GraceSeconds": "1"} == stacks.parameters(world.publisher.topic_arn)


# -- The topic -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["added", "kept-as-code"])
def test_our_account_may_subscribe_to_the_topic_and_no_other_account_anything(world: World, way: str):
    theirs = world.cloud.client("sns", PUBLISHER_ACCOUNT)
    topic = theirs.create_topic(Name=f"policy-{way}")["TopicArn"]
    with denied():
        subscribe(world, topic, OUR_ACCOUNT)

    if way == "added":
        world.publisher.run("The topic", TOPIC_ARN=topic)
    else:
        policy = {"Version": "2012-10-17", "Statement": [world.publisher.topic_statement(topic)]}
        theirs.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps(policy))

    subscribe(world, topic, OUR_ACCOUNT)
    (subscription,) = theirs.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert (subscription["Owner"], subscription["Protocol"]) == (OUR_ACCOUNT, "lambda")
    with denied():
        world.cloud.client("sns", OUR_ACCOUNT).publish(TopicArn=topic, Message="ours")
    with denied():
        subscribe(world, topic, THIRD_ACCOUNT)


def test_adding_our_statement_leaves_those_that_are_there(world: World):
    theirs = world.cloud.client("sns", PUBLISHER_ACCOUNT)
    topic = theirs.create_topic(Name="policy-of-others")["TopicArn"]
    theirs.add_permission(TopicArn=topic, Label="other", AWSAccountId=[THIRD_ACCOUNT], ActionName=["Subscribe"])
    world.publisher.run("The topic", TOPIC_ARN=topic)
    subscribe(world, topic, OUR_ACCOUNT)
    subscribe(world, topic, THIRD_ACCOUNT)


def test_where_the_publisher_subscribes_messages_arrive_as_well(world: World):
    topic = world.publisher.create_topic("announcements-subscribed")
    parameters = stacks.parameters(topic) | {"ExistingSubscription": "true"}
    stack = stacks.deploy(world.cloud, "Windrow-subscribed", parameters)
    ours = world.cloud.client("sns")
    assert ours.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []

    # The topic's own account, which here is ours.
    names = {"TOPIC_ARN": topic, "OUR_REGION": "us-east-1", "START_FUNCTION": stack.outputs["StartFunctionName"]}
    world.publisher.run("Where you subscribe for us", account=OUR_ACCOUNT, **names)
    file = File("2021-06-01T00:01:00Z.csv", utc("2021-06-01T00:01:00Z"), b"id\n1\n")
    message_id = world.publisher.announce([world.publisher.put(file.name, file.body)], topic)
    (execution,) = wait_for("end of the execution", lambda: stack.finished(message_id, 1))
    assert execution["status"] == "SUCCEEDED"


# -- The role ------------------------------------------------------------------------------------------------------------


def test_only_our_account_with_the_external_id_may_assume_the_role(world: World):
    assume(world, OUR_ACCOUNT, EXTERNAL_ID)
    for account, external_id in [(OUR_ACCOUNT, None), (OUR_ACCOUNT, "another"), (THIRD_ACCOUNT, EXTERNAL_ID)]:
        with denied():
            assume(world, account, external_id)


def test_the_role_reads_input_writes_output_and_nothing_else(world: World):
    key, slashed = f"{PREFIX}/input/role.csv", f"/{PREFIX}/input/role.csv"
    outside = ["infra-eng/other/input/role.csv", f"{PREFIX}/role.csv", f"{PREFIX}/input", "role.csv"]
    for one in [key, slashed, *outside]:
        world.publisher.s3.put_object(Bucket=BUCKET, Key=one, Body=b"id\n1\n")
    role = world.cloud.client("s3", credentials=assume(world, OUR_ACCOUNT, EXTERNAL_ID))
    result = f"{PREFIX}/output/role.parquet"

    for one in (key, slashed):
        assert role.get_object(Bucket=BUCKET, Key=one)["Body"].read()
    role.put_object(Bucket=BUCKET, Key=result, Body=b"PAR1")
    role.head_object(Bucket=BUCKET, Key=result)
    upload = role.create_multipart_upload(Bucket=BUCKET, Key=result)["UploadId"]
    role.abort_multipart_upload(Bucket=BUCKET, Key=result, UploadId=upload)
    role.list_objects_v2(Bucket=BUCKET, MaxKeys=1)

    for one in outside:
        with denied():
            role.get_object(Bucket=BUCKET, Key=one)
    for one in [key, slashed, *outside]:
        with denied():
            role.put_object(Bucket=BUCKET, Key=one, Body=b"")
    for one in (key, result):
        with denied():
            role.delete_object(Bucket=BUCKET, Key=one)
    with denied():
        role.list_buckets()
    # The local cloud takes both forms of a key for one when it looks for who may read it; AWS does not.
    (reading, *_) = allowed(world, publisher.ROLE, "windrow")
    arns = [f"arn:aws:s3:::{BUCKET}/{one.removesuffix('role.csv')}*" for one in (key, slashed)]
    assert reading == ("s3:GetObject", arns)


def test_what_some_buckets_need_is_added_and_all_of_it_is_ended(world: World):
    theirs = world.cloud.client("sns", PUBLISHER_ACCOUNT)
    key = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    names = {"ROLE": "windrow-ended", "TOPIC_ARN": theirs.create_topic(Name="ended")["TopicArn"]}
    role_arn = publisher.ROLE_ARN.replace(publisher.ROLE, names["ROLE"])
    world.publisher.run(
        "The role", "A bucket with a KMS key", "A bucket with ACLs", "The topic", KMS_KEY_ARN=key, **names
    )
    assert allowed(world, names["ROLE"], "windrow-kms") == [(["kms:Decrypt", "kms:GenerateDataKey"], key)]
    output = f"arn:aws:s3:::{BUCKET}/{PREFIX}/output/*"
    assert allowed(world, names["ROLE"], "windrow-acl") == [("s3:PutObjectAcl", output)]
    assume(world, OUR_ACCOUNT, EXTERNAL_ID, role_arn)
    subscribe(world, names["TOPIC_ARN"], OUR_ACCOUNT)

    iam = world.cloud.client("iam", PUBLISHER_ACCOUNT)
    for policy in ("windrow-kms", "windrow-acl"):
        iam.delete_role_policy(RoleName=names["ROLE"], PolicyName=policy)
    world.publisher.run("To end it", **names)
    with denied():
        assume(world, OUR_ACCOUNT, EXTERNAL_ID, role_arn)
    with denied():
        subscribe(world, names["TOPIC_ARN"], OUR_ACCOUNT)


# -- What is sent and comes back -----------------------------------------------------------------------------------------


def test_the_pages_file_is_announced_by_its_message_and_comes_back_under_its_name(world: World):
    world.publisher.run("A file")
    # The topic's account, which here is ours.
    answer = json.loads(world.publisher.run("Its message", account=OUR_ACCOUNT))
    (execution,) = wait_for("end of the execution", lambda: world.stack.finished(answer["MessageId"], 1))
    assert execution["status"] == "SUCCEEDED"
    time = "2024-05-17T09:31:07+02:00"
    (window,) = oracle.windows([File(f"{time}.csv", utc(time), b"id,amount\n00501,1.50\n")])
    delivered = wait_for_delivery(world, window)
    assert window.object_name in world.publisher.run("What comes back")

    assert delivered["metadata"].keys() == {"windrow-inputs", "windrow-etag"}
    key = f"{PREFIX}/output/{window.object_name}"
    assert world.publisher.s3.head_object(Bucket=BUCKET, Key=key)["ContentType"] == "application/vnd.apache.parquet"


def denied():
    return pytest.raises(ClientError, match=r"\((AccessDenied|AuthorizationError)\)")


def subscribe(world: World, topic: str, account: str) -> None:
    function = f"arn:aws:lambda:us-east-1:{account}:function:start"
    world.cloud.client("sns", account).subscribe(TopicArn=topic, Protocol="lambda", Endpoint=function)


def assume(world: World, account: str, external_id: str | None, role_arn: str = publisher.ROLE_ARN) -> dict:
    external = {"ExternalId": external_id} if external_id else {}
    sts = world.cloud.client("sts", account)
    return sts.assume_role(RoleArn=role_arn, RoleSessionName="test", **external)["Credentials"]


def allowed(world: World, role: str, policy: str) -> list[tuple]:
    """The actions and resources of a policy of a role of the publisher."""
    iam = world.cloud.client("iam", PUBLISHER_ACCOUNT)
    document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
    document = json.loads(unquote(document)) if isinstance(document, str) else document
    return [(statement["Action"], statement["Resource"]) for statement in document["Statement"]]
