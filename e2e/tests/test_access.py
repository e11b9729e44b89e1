"""Who may do what, found out by trying: each function's role, what it borrows of the publisher's, the reader, the bucket."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from urllib.parse import parse_qs

import boto3
import botocore
import botocore.config
import pytest
from botocore.exceptions import ClientError
from conftest import wait_for_delivery

import access
import oracle
import publisher
import samples
import stack as stacks
from access import (
    BUCKET_CALLS,
    FUNCTIONS,
    RESOURCES,
    ROLE_CALLS,
    STRANGER,
    WIDE_ROLE,
    WIDE_ROLE_ARN,
    Calls,
    Things,
    assume,
    callers,
    function_credentials,
    is_allowed,
    is_refusal,
    on_object,
    writes,
)
from cloud import OUR_ACCOUNT, PUBLISHER_ACCOUNT, REGION
from samples import File, utc
from stack import wait_for
from test_guarantees import notified
from world import World

READER_ACCOUNT = "451846548917"

# -- What each function's role lets it do ------------------------------------------------------------------------------

# Where objects of ours lie, and a place of each.
PLACES = {
    "staging/": "staging/20200101T000000Z/probe",
    "rejected/": "rejected/20200101T000000Z/probe",
    "output/ms-": "output/ms-probe",
    "output/": "output/probe",
    "elsewhere": "probe",
}
CALLS: Calls = {
    **{what: call for place, key in PLACES.items() for what, call in on_object(place, key).items()},
    **BUCKET_CALLS,
    **ROLE_CALLS,
}
# What each function does in its job. Whatever else is in CALLS it must not be able to do.
JOBS: dict[str, set[str]] = {
    "start": {"starts executions", "writes letters"},
    "stage": {"assumes the publisher's role", "lists the bucket", *writes("staging/", "rejected/")},
    "merge": {"lists the bucket", "reads staging/", *writes("output/ms-")},
    "deliver": {
        "assumes the publisher's role",
        "lists the bucket",
        "reads output/ms-",
        "writes letters",
    },
}


def tries(jobs: dict[str, set[str]], calls: Calls) -> list:
    """Each with each, named by what is expected."""
    return [
        pytest.param(who, what, id=f"{who} {what}" if what in may else f"{who} never {what}")
        for who, may in jobs.items()
        for what in calls
    ]


def test_every_function_of_the_template_has_its_job_written_here():
    assert set(JOBS) == set(FUNCTIONS)
    assert set().union(*JOBS.values()) <= set(CALLS)


@pytest.mark.parametrize("function, what", tries({name: JOBS.get(name, set()) for name in FUNCTIONS}, CALLS))
def test_a_functions_role_lets_it_do_its_job_and_nothing_else(world: World, things: Things, function: str, what: str):
    action, call = CALLS[what]
    aws = callers(world.cloud, function_credentials(world.cloud, world.stack, function))
    assert is_allowed(action, lambda: call(aws, things, function)) == (what in JOBS.get(function, set()))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_writes_its_own_log(function: str):
    name = function.capitalize()
    (statement,) = [its for who, its in statements() if who == f"{name}Role Log"]
    assert statement["Action"] == ["logs:CreateLogStream", "logs:PutLogEvents"]
    assert statement["Resource"] == {"Fn::GetAtt": [f"{name}Logs", "Arn"]}
    assert RESOURCES[f"{name}Function"]["Properties"]["LoggingConfig"]["LogGroup"] == {"Ref": f"{name}Logs"}


# https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
ACTIONS_WITHOUT_RESOURCE = {
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
}


def statements() -> Iterator[tuple[str, dict]]:
    """Each statement that a role of the template has, with a name."""
    for name, resource in RESOURCES.items():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::IAM::Role":
            assert "ManagedPolicyArns" not in properties, "what is in them cannot be seen here"
            documents = [policy["PolicyDocument"] for policy in properties["Policies"]]
        elif resource["Type"].startswith("AWS::IAM::"):
            documents = [properties["PolicyDocument"]]
        else:
            continue
        for statement in (statement for document in documents for statement in document["Statement"]):
            yield f"{name} {statement['Sid']}", statement


@pytest.mark.parametrize("statement", [pytest.param(statement, id=name) for name, statement in statements()])
def test_a_statement_allows_no_more_than_it_names(statement: dict):
    assert not {"NotAction", "NotResource"} & set(statement), "these allow all the rest"
    actions, resources = as_list(statement["Action"]), as_list(statement["Resource"])
    assert not [action for action in actions if "*" in action or "?" in action]
    if "*" in resources:
        assert set(actions) <= ACTIONS_WITHOUT_RESOURCE
        return
    for resource in resources:
        # A reference is to one thing. What is put together may end in `*` after the name of a folder.
        path = resource.get("Fn::Sub", "") if isinstance(resource, dict) else resource
        assert "*" not in path or path[:-1] in ("${Bucket.Arn}/staging/", "${Bucket.Arn}/rejected/", OUTPUT_PATH)


OUTPUT_PATH = "${Bucket.Arn}/output/${OutputPrefix}"


@pytest.mark.parametrize("name", [name for name, its in RESOURCES.items() if its["Type"] == "AWS::IAM::Role"])
def test_a_role_trusts_one_service_or_the_readers_account(name: str):
    (statement,) = RESOURCES[name]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    others = {
        "StateMachineRole": {"Service": "states.amazonaws.com"},
        "ReaderRole": {"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${ReaderAccountId}:root"}},
    }
    assert statement["Principal"] == others.get(name, {"Service": "lambda.amazonaws.com"})
    assert statement["Action"] == "sts:AssumeRole"


# -- What stage and deliver borrow of the publisher's ------------------------------------------------------------------

INPUT, OUTPUT = f"{publisher.PREFIX}/input", f"{publisher.PREFIX}/output"
OTHER_BUCKET = "macroscope-secrets"
THEIR_PLACES = {
    "input/": f"{INPUT}/probe",
    # S3 keeps a leading slash. (The local cloud's IAM does not tell it from none; the policy's text is looked at below.)
    "/input/": f"/{INPUT}/probe",
    "output/": f"{OUTPUT}/probe",
    "inputs/": f"{INPUT}s/probe",
    "the folder above": f"{publisher.PREFIX}/probe",
    "another folder": f"{publisher.PREFIX}-other/input/probe",
}
THEIR_CALLS: Calls = {
    **{what: call for place, key in THEIR_PLACES.items() for what, call in on_object(place, key).items()},
    **BUCKET_CALLS,
    "reads another bucket": (
        "s3:GetObject",
        lambda aws, *_: aws("s3").get_object(Bucket=OTHER_BUCKET, Key=f"{INPUT}/probe"),
    ),
    "makes users": ROLE_CALLS["makes users"],
    "goes on to another role": ROLE_CALLS["assumes the publisher's role"],
}
THEIR_JOBS: dict[str, set[str]] = {
    "stage": {"lists the bucket", "reads input/", "reads /input/"},
    "deliver": {"lists the bucket", *writes("output/")},
}


@dataclass
class Session:
    """What a function asks STS for, what it is given for that, and what the role may without the policy."""

    asked: dict[str, str]
    credentials: dict
    unbound: dict


@pytest.mark.parametrize("function", THEIR_JOBS)
def test_a_function_asks_for_an_hour_and_for_less_than_the_role_may(sessions: dict[str, Session], function: str):
    asked = sessions[function].asked
    assert asked["RoleArn"] == WIDE_ROLE_ARN
    assert asked["ExternalId"] == publisher.EXTERNAL_ID
    assert asked["DurationSeconds"] == "3600", "longer is not lent from role to role"
    assert len(asked["Policy"]) <= 2048, "STS takes no more"
    first, *others = json.loads(asked["Policy"])["Statement"]
    bucket = f"arn:aws:s3:::{publisher.BUCKET}"
    assert (as_list(first["Action"]), first["Resource"]) == {
        "stage": (["s3:GetObject"], [f"{bucket}/{INPUT}/*", f"{bucket}//{INPUT}/*"]),
        # (With PutObjectAcl where DestinationAcl is set.)
        "deliver": (["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"], [f"{bucket}/{OUTPUT}/*"]),
    }[function]
    assert [(its["Action"], its["Resource"]) for its in others if its["Resource"] != "*"] == [("s3:ListBucket", bucket)]
    # A key of the bucket's own is not known to us: by way of S3 only.
    for its in others:
        assert its["Resource"] != "*" or its["Condition"] == {"StringLike": {"kms:ViaService": "s3.*"}}


@pytest.mark.parametrize("function, what", tries(THEIR_JOBS, THEIR_CALLS))
def test_a_session_at_the_publishers_is_narrowed_to_the_functions_job(
    world: World, sessions: dict[str, Session], their_things: Things, function: str, what: str
):
    action, call = THEIR_CALLS[what]
    session, allowed = sessions[function], what in THEIR_JOBS[function]
    assert is_allowed(action, lambda: call(callers(world.cloud, session.credentials), their_things, function)) == allowed
    if what.startswith("reads"):
        # Not for want of an object, nor of a permission of the role's.
        assert is_allowed(action, lambda: call(callers(world.cloud, session.unbound), their_things, function))


def test_nobody_else_borrows_the_publishers_role(sessions: dict[str, Session]):
    assert set(sessions) == set(THEIR_JOBS)


# -- The reader --------------------------------------------------------------------------------------------------------

READER_CALLS: Calls = {
    **{what: call for place, key in PLACES.items() for what, call in on_object(place, key).items()},
    **BUCKET_CALLS,
    **{
        f"lists {prefix or 'everything'}": (
            "s3:ListBucket",
            lambda aws, at, _, prefix=prefix: aws("s3").list_objects_v2(Bucket=at.bucket, Prefix=prefix),
        )
        for prefix in ("output/ms-", "output/ms-20210101", "output/", "output/m", "staging/", "rejected/", "")
    },
    **{what: ROLE_CALLS[what] for what in ("makes users", "starts executions", "invokes deliver", "reads letters")},
}
READS = {"reads output/ms-", "lists output/ms-", "lists output/ms-20210101"}


@pytest.mark.parametrize("who, what", tries({"reader": READS}, READER_CALLS))
def test_the_reader_reads_and_lists_the_output_and_nothing_else(world: World, things: Things, who: str, what: str):
    action, call = READER_CALLS[what]
    assert is_allowed(action, lambda: call(callers(world.cloud, reader(world)), things, who)) == (what in READS)


def test_the_reader_finds_the_results(world: World, messages: list[str]):
    s3 = world.cloud.client("s3", credentials=reader(world))
    for window in oracle.windows(samples.files()):
        key = f"output/{window.object_name}"
        listed = s3.list_objects_v2(Bucket=world.stack.outputs["BucketName"], Prefix=key)["Contents"]
        assert [entry["Key"] for entry in listed] == [key]
        body = s3.get_object(Bucket=world.stack.outputs["BucketName"], Key=key)["Body"].read()
        assert body == world.stack.output(window.object_name)["body"]


@pytest.mark.parametrize("account", [PUBLISHER_ACCOUNT, STRANGER, OUR_ACCOUNT])
def test_no_other_account_becomes_the_reader(world: World, account: str):
    with refused():
        reader(world, account)


@pytest.mark.parametrize("external_id", [{}, {"ExternalId": "windrow-readers"}, {"ExternalId": publisher.EXTERNAL_ID}])
def test_a_reader_that_was_given_an_external_id_needs_it(raw: World, external_id: dict):
    with refused():
        reader(raw, **external_id)
    assert reader(raw, ExternalId=READER_EXTERNAL_ID)


def test_a_stack_with_another_output_prefix_has_it_everywhere(world: World, raw: World):
    """The result, its notification, what is delivered, and what the reader may read."""
    bucket, (window,) = raw.stack.outputs["BucketName"], oracle.windows([RAW_FILE])
    name = raw_name(window)
    assert raw.stack.keys("output/") == [f"output/{name}"]
    assert raw.publisher.delivered(name)["body"] == raw.stack.output(name)["body"]
    assert raw.publisher.delivered(window.object_name) is None

    raw.stack.s3.put_object(Bucket=bucket, Key="output/ms-probe", Body=b"probe")
    s3 = raw.cloud.client("s3", credentials=reader(raw, ExternalId=READER_EXTERNAL_ID))
    assert s3.get_object(Bucket=bucket, Key=f"output/{name}")["Body"].read() == raw.stack.output(name)["body"]
    listed = s3.list_objects_v2(Bucket=bucket, Prefix="output/raw-")["Contents"]
    assert [entry["Key"] for entry in listed] == [f"output/{name}"]
    for key in ("output/ms-probe", *raw.stack.keys("staging/")):
        assert not is_allowed("s3:GetObject", lambda: s3.get_object(Bucket=bucket, Key=key))
    assert not is_allowed("s3:ListBucket", lambda: s3.list_objects_v2(Bucket=bucket, Prefix="output/ms-"))
    elsewhere = world.stack.outputs["BucketName"]
    assert not is_allowed("s3:GetObject", lambda: s3.get_object(Bucket=elsewhere, Key=f"output/{name}"))


# -- The bucket, and the functions' doors ------------------------------------------------------------------------------

OF_THE_BUCKET = {
    what: call
    for what, (action, call) in READER_CALLS.items()
    # Which buckets there are is asked of an account.
    if action.startswith("s3:") and what != "lists buckets"
}


# (The local cloud holds no bucket's policy against the root of the bucket's own account; AWS does.)
@pytest.mark.parametrize("who", ["reader", *FUNCTIONS])
def test_without_tls_nobody_gets_at_the_bucket(world: World, things: Things, who: str):
    aws = callers(world.cloud, reader(world) if who == "reader" else of_function(world, who), tls=False)
    for what, call in OF_THE_BUCKET.items():
        with refused("explicit deny in a resource-based policy" if what in READS | JOBS.get(who, set()) else None):
            call(aws, things, who)


def test_without_tls_nobody_writes_letters(world: World, things: Things):
    _, call = ROLE_CALLS["writes letters"]
    with refused("explicit deny in a resource-based policy"):
        call(callers(world.cloud, of_function(world, "start"), tls=False), things, "start")


@pytest.mark.parametrize("account", ["", PUBLISHER_ACCOUNT, READER_ACCOUNT, STRANGER], ids=lambda it: it or "without a name")
def test_no_other_account_gets_at_the_bucket(world: World, things: Things, account: str):
    aws = callers(world.cloud, account=account) if account else anonymous(world)
    for call in OF_THE_BUCKET.values():
        with refused():
            call(aws, things, "somebody")


def test_the_bucket_cannot_be_made_public(world: World, things: Things):
    s3, bucket = world.stack.s3, things.bucket
    settings = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert settings == dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )
    everybody = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    with refused("BlockPublicPolicy"):
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [everybody]}))
    with pytest.raises(ClientError, match="AccessControlListNotSupported"):
        s3.put_object(Bucket=bucket, Key=PLACES["output/ms-"], Body=b"probe", ACL="public-read")


def test_only_the_topic_and_our_bucket_are_let_in_to_call(world: World, things: Things):
    """By each function's own policy: what no account's root and no role of ours is."""
    doors = {
        "start": [("sns.amazonaws.com", {"ArnLike": {"AWS:SourceArn": things.topic}})],
        "stage": [],
        "merge": [],
        "deliver": [
            (
                "s3.amazonaws.com",
                {
                    "ArnLike": {"AWS:SourceArn": f"arn:aws:s3:::{things.bucket}"},
                    # A bucket's ARN names no account: one that is deleted can be another's by tomorrow.
                    "StringEquals": {"AWS:SourceAccount": OUR_ACCOUNT},
                },
            )
        ],
    }
    for function, name in things.functions.items():
        statements = json.loads(world.stack.functions.get_policy(FunctionName=name)["Policy"])["Statement"]
        assert {statement["Effect"] for statement in statements} <= {"Allow"}
        assert [(s["Principal"]["Service"], s["Condition"]) for s in statements] == doors[function]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_other_account_calls_a_function(world: World, things: Things, function: str):
    arn = f"arn:aws:lambda:{REGION}:{OUR_ACCOUNT}:function:{things.functions[function]}"
    for account in (PUBLISHER_ACCOUNT, READER_ACCOUNT, STRANGER):
        # AWS refuses; the local cloud looks for it in the caller's own account.
        with pytest.raises(ClientError, match="AccessDenied|not found: arn:aws:lambda"):
            callers(world.cloud, account=account)("lambda").invoke(FunctionName=arn, Payload=access.NO_EVENT)


def test_deliver_ignores_what_happens_in_other_buckets(world: World, messages: list[str]):
    """Even to an object which is called as a result of ours is."""
    window = oracle.windows(samples.files())[0]
    with world.cloud.proxy.watch() as seen:
        for bucket in (publisher.BUCKET, "look-alike", world.stack.outputs["BucketName"].upper(), ""):
            assert notified(world, window, bucket) == {"delivered": 0, "unchanged": 0, "gone": 0, "ignored": 1}
    key = of_function(world, "deliver")["AccessKeyId"]
    assert [request for request in seen if request.access_key == key] == []


def test_a_notification_from_another_bucket_has_no_effect(world: World, things: Things):
    """AWS does not even let it be set up, as the function's policy names our bucket. The local cloud delivers it."""
    s3, name = world.stack.s3, "ms-20210701T000000Z.parquet"
    s3.create_bucket(Bucket="look-alike")
    arn = f"arn:aws:lambda:{REGION}:{OUR_ACCOUNT}:function:{things.functions['deliver']}"
    calls = {"LambdaFunctionConfigurations": [{"LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"]}]}
    with suppress(ClientError):
        s3.put_bucket_notification_configuration(Bucket="look-alike", NotificationConfiguration=calls)
    s3.put_object(Bucket="look-alike", Key=f"output/{name}", Body=b"probe")
    time.sleep(2)
    assert world.publisher.delivered(name) is None
    assert not [letter for letter in world.stack.letters() if name in json.dumps(letter)]


# -- The means ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def things(world: World, wide_role: None) -> Iterator[Things]:
    """Of the stack, one of each, so that a call which is not refused does something."""
    things = access.things_of(world.cloud, world.stack, world.publisher.topic_arn)
    things.other_queue = world.stack.sqs.create_queue(QueueName="somebody-elses")["QueueUrl"]
    things.other_machine = world.stack.states.create_state_machine(
        name="somebody-elses",
        definition=json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}),
        roleArn=access.role_arn(access.physical_ids(world.cloud, world.stack)["StateMachineRole"]),
    )["stateMachineArn"]
    things.execution = access.start(world.cloud.client, things.machine)["executionArn"]
    for group in things.logs.values():
        world.cloud.client("logs").create_log_stream(logGroupName=group, logStreamName="probe")
    things.put(world.stack.s3, list(PLACES.values()))
    yield things
    for key in PLACES.values():
        world.stack.s3.delete_object(Bucket=things.bucket, Key=key)


@pytest.fixture(scope="module")
def their_things(world: World, things: Things) -> Iterator[Things]:
    s3 = world.publisher.s3
    theirs = replace(things, bucket=publisher.BUCKET, versions={}, uploads={})
    theirs.put(s3, list(THEIR_PLACES.values()))
    s3.create_bucket(Bucket=OTHER_BUCKET)
    s3.put_object(Bucket=OTHER_BUCKET, Key=f"{INPUT}/probe", Body=b"probe")
    yield theirs
    for key in THEIR_PLACES.values():
        s3.delete_object(Bucket=publisher.BUCKET, Key=key)


@pytest.fixture(scope="module")
def wide_role(world: World) -> None:
    """The careful role of the publisher would refuse by itself what a session of its may not do."""
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam = world.cloud.client("iam", PUBLISHER_ACCOUNT)
    trust = iam.get_role(RoleName=publisher.ROLE)["Role"]["AssumeRolePolicyDocument"]
    iam.create_role(RoleName=WIDE_ROLE, AssumeRolePolicyDocument=json.dumps(trust))
    iam.put_role_policy(RoleName=WIDE_ROLE, PolicyName="everything", PolicyDocument=json.dumps(everything))


RAW_FILE = File("2021-06-01T00:00:00Z.csv", utc("2021-06-01T00:00:00Z"), b"id\n1\n")
READER_EXTERNAL_ID = "windrow-reader"


def raw_name(window: oracle.Window) -> str:
    return window.object_name.replace("ms-", "raw-")


@pytest.fixture(scope="module")
def raw(world: World, wide_role: None, request: pytest.FixtureRequest) -> World:
    """A second stack, whose reader needs an external id, whose publisher's role is wide, and whose results begin with
    `raw-`. One file has been through it, under the proxy's eyes (`seen`)."""
    topic = world.publisher.create_topic("announcements-raw")
    parameters = {"SourceRoleArn": WIDE_ROLE_ARN, "OutputPrefix": "raw-", "ReaderExternalId": READER_EXTERNAL_ID}
    stack = stacks.deploy(world.cloud, "Windrow-raw", stacks.parameters(topic) | parameters)
    raw = World(world.cloud, world.publisher, stack)
    with world.cloud.proxy.watch() as raw.seen:
        message_id = raw.publisher.announce([raw.publisher.put(RAW_FILE.name, RAW_FILE.body)], topic)
        (execution,) = wait_for("end of the execution", lambda: stack.finished(message_id, 1))
        assert execution["status"] == "SUCCEEDED"
        name = raw_name(*oracle.windows([RAW_FILE]))
        wait_for("delivery", lambda: raw.publisher.delivered(name))
    return raw


@pytest.fixture(scope="module")
def sessions(world: World, raw: World) -> dict[str, Session]:
    """By function, what it asked STS for on the way of its first file, as the proxy saw it."""
    credentials = {name: of_function(raw, name) for name in FUNCTIONS}
    sessions = {}
    for request in raw.seen:
        if b"Action=AssumeRole" not in request.body:
            continue
        asked = {name: value for name, (value,) in parse_qs(request.body.decode()).items()}
        (function,) = [name for name, its in credentials.items() if its["AccessKeyId"] == request.access_key]
        as_asked = {name: asked[name] for name in ("RoleArn", "RoleSessionName", "ExternalId")}
        sts = world.cloud.client("sts", credentials=credentials[function])
        sessions[function] = Session(
            asked=asked,
            credentials=sts.assume_role(Policy=asked["Policy"], **as_asked)["Credentials"],
            unbound=sts.assume_role(**as_asked)["Credentials"],
        )
    return sessions


def as_list(value: object) -> list:
    return value if isinstance(value, list) else [value]


def of_function(world: World, function: str) -> dict[str, str]:
    return function_credentials(world.cloud, world.stack, function)


def reader(world: World, account: str = READER_ACCOUNT, **parameters) -> dict:
    """Credentials of the reader's role, for that account."""
    return assume(callers(world.cloud, account=account), world.stack.outputs["ReaderRoleArn"], **parameters)


def anonymous(world: World) -> access.Aws:
    """Clients that sign nothing."""
    unsigned = botocore.config.Config(signature_version=botocore.UNSIGNED)
    return lambda service: boto3.client(service, endpoint_url=world.cloud.endpoint, region_name=REGION, config=unsigned)


@contextmanager
def refused(reason: str | None = None) -> Iterator[None]:
    with pytest.raises(ClientError, match=reason) as caught:
        yield
    assert is_refusal(caught.value), caught.value
