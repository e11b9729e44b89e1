"""`just check`: one line for each thing that Windrow needs, and for each that is broken the remedy that mends it."""

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from functools import partial

import pytest

import stack as stacks
from publisher import Publisher
from samples import File, utc
from stack import ROOT, wait_for
from world import World

NAME = "Windrow-checked"


@pytest.fixture(scope="module")
def checked(world: World) -> World:
    """A stack and a publisher of its own, for things are broken here."""
    publisher = Publisher(world.cloud, prefix="infra-eng/checked", role="windrow-checked", external_id="external-checked")
    publisher.create("announcements-checked")
    told = dict(line.split("=", 1) for line in publisher.run("Tell us").splitlines())
    stack = stacks.deploy(world.cloud, NAME, told | {"GraceSeconds": "1", "ReaderExternalId": "reader-checked"})
    return World(world.cloud, publisher, stack)


def test_before_the_first_message_everything_is_good_and_nothing_was_tried_on_files(checked: World):
    answer = check(checked)
    assert answer["good"] and {found["verdict"] for found in answer["checks"]} == {"good"}
    assert "no file lies there yet" in one(answer, "stage reads the publisher's input/")["detail"]
    # What a trial leaves behind is said, and nothing else is there.
    written = [entry["Key"] for entry in objects(checked, f"{checked.publisher.prefix}/")]
    assert written == [f"{checked.publisher.prefix}/output/.windrow-check"]
    assert written[0] in one(answer, "deliver writes the publisher's output/")["detail"]
    assert checked.stack.keys("") == [] and checked.stack.executions() == [] and checked.stack.letters() == []


def test_later_a_file_a_fragment_and_a_result_are_read(checked: World):
    file = File("2021-08-01T00:00:00Z.csv", utc("2021-08-01T00:00:00Z"), b"id\n1\n")
    message_id = checked.publisher.announce([checked.publisher.put(file.name, file.body)])
    wait_for("end of the execution", lambda: checked.stack.finished(message_id, 1))
    answer = check(checked)
    assert answer["good"]
    for what, name in [
        ("stage reads the publisher's input/", file.name),
        ("merge lists and reads staging/", ".parquet"),
        ("deliver reads output/", "ms-20210801T000000Z.parquet"),
    ]:
        assert name in one(answer, what)["detail"]


def test_people_are_told_in_lines_and_the_exit_code_says_it_too(checked: World):
    result = windrow(checked, "check")
    lines = result.stdout.splitlines()
    assert result.returncode == 0 and lines[-1].endswith("good, 0 bad, 0 unknown")
    assert all(line.startswith("good ") for line in lines[:-2])
    with policy_without(checked, "TellAbsentFromDenied"):
        result = windrow(checked, "check")
    assert result.returncode == 1 and "\nBAD      stage lists the publisher's input/" in result.stdout


def test_who_lacks_a_permission_is_told_which(checked: World):
    """An operator who may only look at the stack, and call functions."""
    iam = checked.cloud.client("iam")
    iam.create_user(UserName="operator")
    statement = {"Effect": "Allow", "Action": ["cloudformation:*", "lambda:InvokeFunction", "sts:*"], "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName="operator", PolicyName="operator", PolicyDocument=policy)
    key = iam.create_access_key(UserName="operator")["AccessKey"]
    as_operator = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    answer = check(checked, as_operator)
    assert one(answer, "stage writes staging/ and rejected/")["verdict"] == "good"
    found = one(answer, "start is subscribed to the topic")
    assert found["verdict"] == "unknown" and "user/operator` may not `lambda:GetFunctionConfiguration`" in found["detail"]


def test_a_stack_that_is_not_there_is_named(checked: World):
    result = windrow(checked, "--stack", "elsewhere", "check")
    assert result.returncode == 1 and "there is no stack `elsewhere` in us-east-1" in result.stderr


# -- Each thing broken once ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def policy_without(world: World, sid: str) -> Iterator[None]:
    """The publisher's role without one statement."""
    iam, role = world.cloud.client("iam", world.publisher.account), world.publisher.role_arn.rsplit("/")[-1]
    policy = iam.get_role_policy(RoleName=role, PolicyName="windrow")["PolicyDocument"]
    rest = policy | {"Statement": [statement for statement in policy["Statement"] if statement["Sid"] != sid]}
    assert rest != policy
    put = partial(iam.put_role_policy, RoleName=role, PolicyName="windrow")
    put(PolicyDocument=json.dumps(rest))
    try:
        yield
    finally:
        put(PolicyDocument=json.dumps(policy))


@contextlib.contextmanager
def trust_of_another(world: World) -> Iterator[None]:
    iam, role = world.cloud.client("iam", world.publisher.account), world.publisher.role_arn.rsplit("/")[-1]
    trust = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    other = json.loads(json.dumps(trust).replace("external-checked", "external-other"))
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(other))
    try:
        yield
    finally:
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(trust))


@contextlib.contextmanager
def denied(world: World, logical_id: str, action: str, resource: str) -> Iterator[None]:
    """A role of ours with a statement that denies."""
    iam, role = world.cloud.client("iam"), resource_of(world, logical_id)
    statement = {"Effect": "Deny", "Action": action, "Resource": resource}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName=role, PolicyName="denied", PolicyDocument=policy)
    try:
        yield
    finally:
        iam.delete_role_policy(RoleName=role, PolicyName="denied")


@contextlib.contextmanager
def reader_may(world: World, action: str, resource: str) -> Iterator[None]:
    iam, role = world.cloud.client("iam"), resource_of(world, "ReaderRole")
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName=role, PolicyName="more", PolicyDocument=policy)
    try:
        yield
    finally:
        iam.delete_role_policy(RoleName=role, PolicyName="more")


@contextlib.contextmanager
def reader_without_external_id(world: World) -> Iterator[None]:
    iam, role = world.cloud.client("iam"), resource_of(world, "ReaderRole")
    trust = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    (statement,) = trust["Statement"]
    looser = trust | {"Statement": [{key: value for key, value in statement.items() if key != "Condition"}]}
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(looser))
    try:
        yield
    finally:
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(trust))


@contextlib.contextmanager
def no_permission(world: World, function: str) -> Iterator[None]:
    """The function's own policy without what lets a service call it."""
    name, functions = world.stack.outputs[f"{function}FunctionName"], world.stack.functions
    (statement,) = json.loads(functions.get_policy(FunctionName=name)["Policy"])["Statement"]
    functions.remove_permission(FunctionName=name, StatementId=statement["Sid"])
    try:
        yield
    finally:
        conditions = {key.rsplit(":")[-1]: value for keys in statement["Condition"].values() for key, value in keys.items()}
        functions.add_permission(
            FunctionName=name,
            StatementId=statement["Sid"],
            Action="lambda:InvokeFunction",
            Principal=statement["Principal"]["Service"],
            **conditions,
        )


@contextlib.contextmanager
def another_may_call(world: World, function: str) -> Iterator[None]:
    name, functions = world.stack.outputs[f"{function}FunctionName"], world.stack.functions
    functions.add_permission(
        FunctionName=name, StatementId="other", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com",
        SourceArn="arn:aws:s3:::somebody-elses", SourceAccount="999999999999",
    )  # fmt: skip
    try:
        yield
    finally:
        functions.remove_permission(FunctionName=name, StatementId="other")


@contextlib.contextmanager
def no_subscription(world: World) -> Iterator[None]:
    sns, topic = world.cloud.client("sns"), world.publisher.topic_arn
    (subscription,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
    try:
        yield
    finally:
        sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=subscription["Endpoint"])


@contextlib.contextmanager
def filtered_subscription(world: World) -> Iterator[None]:
    sns, topic = world.cloud.client("sns"), world.publisher.topic_arn
    (subscription,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    put = partial(sns.set_subscription_attributes, SubscriptionArn=subscription["SubscriptionArn"], AttributeName="FilterPolicy")
    put(AttributeValue='{"kind": ["other"]}')
    try:
        yield
    finally:
        put(AttributeValue="{}")


@contextlib.contextmanager
def no_notification(world: World) -> Iterator[None]:
    s3, bucket = world.stack.s3, world.stack.outputs["BucketName"]
    found = s3.get_bucket_notification_configuration(Bucket=bucket)
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    try:
        yield
    finally:
        found = {key: value for key, value in found.items() if key.endswith("Configurations")}
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=found)


@contextlib.contextmanager
def no_stack_name(world: World) -> Iterator[None]:
    """A function that cannot start."""
    name, functions = world.stack.outputs["MergeFunctionName"], world.stack.functions
    variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    put = partial(functions.update_function_configuration, FunctionName=name)
    put(Environment={"Variables": {key: value for key, value in variables.items() if key != "BUCKET"}})
    try:
        yield
    finally:
        put(Environment={"Variables": variables})


OWN, THEIRS = "On our side", "On the publisher's side"

# What is broken, the line that says so, and words of its remedy.
BROKEN: dict[str, tuple[Callable, str, list[str]]] = {
    "start may start nothing": (
        partial(denied, logical_id="StartRole", action="states:StartExecution", resource="*"),
        "start may start executions", [OWN],
    ),
    "the publisher wants another external id": (
        trust_of_another, "stage assumes the publisher's role", [THEIRS, '"sts:ExternalId":"external-checked"', "444455556666"],
    ),
    "deliver, too, is not let in": (trust_of_another, "deliver assumes the publisher's role", [THEIRS]),
    "the publisher lets nobody list": (
        partial(policy_without, sid="TellAbsentFromDenied"), "stage lists the publisher's input/", [THEIRS, "s3:ListBucket"],
    ),
    "the publisher lets nobody read": (
        partial(policy_without, sid="ReadInput"), "stage reads the publisher's input/", [THEIRS, "/infra-eng/checked/input/*"],
    ),
    # The local cloud takes both forms of a key for one where it looks at policies.
    "nor where keys begin with a slash": (
        partial(policy_without, sid="ReadInput"), "stage reads the publisher's input/ where keys begin with a slash",
        [THEIRS, "//infra-eng/checked/input/*"],
    ),
    "the publisher lets nobody write": (
        partial(policy_without, sid="WriteOutput"), "deliver writes the publisher's output/",
        [THEIRS, "s3:PutObject", "/infra-eng/checked/output/*"],
    ),
    "stage may not write": (
        partial(denied, logical_id="StageRole", action="s3:PutObject", resource="*"), "stage writes staging/ and rejected/", [OWN],
    ),
    "merge may not read": (
        partial(denied, logical_id="MergeRole", action="s3:ListBucket", resource="*"), "merge lists and reads staging/", [OWN],
    ),
    "merge may not write": (
        partial(denied, logical_id="MergeRole", action="s3:PutObject", resource="*"), "merge writes output/", [OWN],
    ),
    "deliver may not read": (
        partial(denied, logical_id="DeliverRole", action="s3:GetObject", resource="*"), "deliver reads output/", [OWN],
    ),
    "merge does not start": (no_stack_name, "merge runs", [OWN]),
    "the topic may not call": (partial(no_permission, function="Start"), "the topic may call start", [OWN]),
    "another may call start": (partial(another_may_call, function="Start"), "the topic may call start", [OWN]),
    "nobody subscribed": (no_subscription, "start is subscribed to the topic", [THEIRS, "aws sns subscribe"]),
    "only some messages come": (filtered_subscription, "start is subscribed to the topic", [OWN, "FilterPolicy"]),
    "the bucket may not call": (partial(no_permission, function="Deliver"), "our bucket, and no other, may call deliver", [OWN]),
    "another bucket may call": (partial(another_may_call, function="Deliver"), "our bucket, and no other, may call deliver", [OWN]),
    "the bucket tells nobody": (no_notification, "our bucket tells deliver of new results", [OWN]),
    "any reader may come": (
        reader_without_external_id, "the reader's account, and no other, may assume the reader role", [OWN],
    ),
    "the reader may read more": (
        partial(reader_may, action="s3:GetObject", resource="*"), "the reader role reads results and nothing else", [OWN],
    ),
    "the reader may write": (
        partial(reader_may, action="s3:PutObject", resource="*"), "the reader role reads results and nothing else", [OWN],
    ),
    "the reader may not read": (
        partial(denied, logical_id="ReaderRole", action="s3:GetObject", resource="*"),
        "the reader role reads results and nothing else", [OWN],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_named_with_its_remedy(checked: World, case: str):
    broken, name, words = BROKEN[case]
    with broken(checked):
        answer = check(checked)
    found = one(answer, name)
    assert found["verdict"] == "bad" and not answer["good"]
    for word in words:
        assert word in found["remedy"], found
    assert one(check(checked), name if name != "merge runs" else "merge writes output/")["verdict"] == "good", "mended again"


def test_the_statement_in_a_remedy_mends(checked: World):
    """What is pasted as it stands works."""
    iam, role = checked.cloud.client("iam", checked.publisher.account), checked.publisher.role_arn.rsplit("/")[-1]
    lines = {
        "ReadInput": "stage reads the publisher's input/",
        "WriteOutput": "deliver writes the publisher's output/",
        "TellAbsentFromDenied": "stage lists the publisher's input/",
    }
    for sid, name in lines.items():
        with policy_without(checked, sid):
            remedy = one(check(checked), name)["remedy"]
            (statement,) = [line for line in remedy.splitlines() if line.startswith("{")]
            policy = json.dumps({"Version": "2012-10-17", "Statement": [json.loads(statement)]})
            iam.put_role_policy(RoleName=role, PolicyName="pasted", PolicyDocument=policy)
            assert one(check(checked), name)["verdict"] == "good"
            iam.delete_role_policy(RoleName=role, PolicyName="pasted")


def test_letters_that_wait_are_counted(checked: World):
    checked.stack.sqs.send_message(QueueUrl=checked.stack.outputs["DeadLettersUrl"], MessageBody="{}")
    assert "1 to look at" in one(check(checked), "dead letters")["detail"]
    assert len(checked.stack.letters()) == 1


def check(world: World, environment: dict[str, str] | None = None) -> dict:
    return json.loads(windrow(world, "--json", "check", environment=environment or {}).stdout)


def windrow(world: World, *arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    """The command behind the recipes, which is built already."""
    environment = os.environ | world.cloud.environment() | {"WINDROW_STACK": world.stack.name} | (environment or {})
    return subprocess.run([ROOT / "target/debug/windrow", *arguments], env=environment, text=True, capture_output=True)


def one(answer: dict, name: str) -> dict:
    (found,) = [found for found in answer["checks"] if found["check"] == name]
    return found


def objects(world: World, prefix: str) -> list[dict]:
    return world.publisher.s3.list_objects_v2(Bucket=world.publisher.bucket, Prefix=prefix).get("Contents", [])


def resource_of(world: World, logical_id: str) -> str:
    client = world.cloud.client("cloudformation")
    found = client.describe_stack_resource(StackName=world.stack.name, LogicalResourceId=logical_id)
    return found["StackResourceDetail"]["PhysicalResourceId"]
