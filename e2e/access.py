"""Trying who may do what: calls, the permission that each takes, and whether somebody's credentials are given it."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from botocore.exceptions import ClientError
from cfnlint.decode import cfn_yaml

import publisher
from cloud import OUR_ACCOUNT, PUBLISHER_ACCOUNT, LocalCloud
from stack import ROOT, Stack

RESOURCES = cfn_yaml.load(str(ROOT / "template.yaml"))["Resources"]
FUNCTIONS = [
    name.removesuffix("Function").lower() for name, its in RESOURCES.items() if its["Type"] == "AWS::Lambda::Function"
]

STRANGER = "999988887777"
# A role of the publisher's that may do anything: what a session of it may not do is refused by the session's own policy.
WIDE_ROLE = "windrow-wide"
WIDE_ROLE_ARN = f"arn:aws:iam::{PUBLISHER_ACCOUNT}:role/{WIDE_ROLE}"

# An event that every function answers, and none does anything for.
NO_EVENT = json.dumps({"Event": "s3:TestEvent"})
NO_POLICY = json.dumps({"Version": "2012-10-17", "Statement": []})


@dataclass
class Things:
    """What there is to be tried upon."""

    bucket: str
    topic: str
    machine: str = ""
    queue: str = ""
    # Of the stack, by the functions' names: functions, their roles' ARNs, their log groups.
    functions: dict[str, str] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    reader_role: str = ""
    execution: str = ""
    # Not of the stack.
    other_machine: str = ""
    other_queue: str = ""
    # By key.
    versions: dict[str, str] = field(default_factory=dict)
    uploads: dict[str, str] = field(default_factory=dict)

    def another(self, function: str) -> str:
        return next(name for name in self.functions if name != function)

    def put(self, s3, keys: list[str]) -> None:
        """Objects to be tried upon: of each a former version, and an upload that was begun."""
        for key in keys:
            # The name has not the ending of a result: nothing is delivered.
            self.versions[key] = s3.put_object(Bucket=self.bucket, Key=key, Body=b"probe").get("VersionId", "null")
            s3.put_object(Bucket=self.bucket, Key=key, Body=b"probe")
            self.uploads[key] = s3.create_multipart_upload(Bucket=self.bucket, Key=key)["UploadId"]


def things_of(cloud: LocalCloud, stack: Stack, topic: str) -> Things:
    outputs = stack.outputs
    ids = physical_ids(cloud, stack)
    return Things(
        bucket=outputs["BucketName"],
        topic=topic,
        machine=outputs["StateMachineArn"],
        queue=outputs["DeadLettersUrl"],
        functions={name: outputs[f"{name.capitalize()}FunctionName"] for name in FUNCTIONS},
        roles={name: role_arn(ids[f"{name.capitalize()}Role"]) for name in FUNCTIONS},
        logs={name: ids[f"{name.capitalize()}Logs"] for name in FUNCTIONS},
        reader_role=outputs["ReaderRoleArn"],
    )


def physical_ids(cloud: LocalCloud, stack: Stack) -> dict[str, str]:
    listed = cloud.client("cloudformation").describe_stack_resources(StackName=stack.name)["StackResources"]
    return {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in listed}


def role_arn(name: str) -> str:
    return f"arn:aws:iam::{OUR_ACCOUNT}:role/{name}"


def name_of(arn: str) -> str:
    return arn.rpartition("/")[2]


# -- Whose credentials -------------------------------------------------------------------------------------------------

# Gives the client of a service.
Aws = Callable[[str], object]


def callers(cloud: LocalCloud, credentials: dict | None = None, account: str = OUR_ACCOUNT, tls: bool = True) -> Aws:
    """Clients with these credentials, as AssumeRole answers them; without any, those of the account's root."""
    return cache(lambda service: cloud.client(service, account, credentials, tls))


def function_credentials(cloud: LocalCloud, stack: Stack, function: str) -> dict[str, str]:
    """What a function itself calls with: from the environment of its process."""
    name = stack.outputs[f"{function.capitalize()}FunctionName"]
    if not cloud.function_processes(name):
        stack.functions.invoke(FunctionName=name, Payload=NO_EVENT)
    process = cloud.function_processes(name)[0]
    lines = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    environment = dict(line.decode().split("=", 1) for line in lines if b"=" in line)
    return {
        "AccessKeyId": environment["AWS_ACCESS_KEY_ID"],
        "SecretAccessKey": environment["AWS_SECRET_ACCESS_KEY"],
        "SessionToken": environment["AWS_SESSION_TOKEN"],
    }


def is_allowed(action: str, call: Callable[[], object]) -> bool:
    """Whether the call is let through. If not, it has to be for want of that permission, not because something is absent."""
    try:
        call()
    except ClientError as error:
        assert is_refusal(error), error
        message = error.response["Error"]["Message"].lower()
        assert f"not authorized to perform: {action}".lower() in message, error
        return False
    return True


def is_refusal(error: ClientError) -> bool:
    return error.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException", "AuthorizationError")


# -- Calls -------------------------------------------------------------------------------------------------------------

# Makes a call as somebody, upon things, for a function.
Call = Callable[[Aws, Things, str], object]
# What is tried, in words: the permission that it takes, and how.
Calls = dict[str, tuple[str, Call]]


def on_object(place: str, key: str) -> Calls:
    def of(method: str, **parameters) -> Call:
        return lambda aws, at, _: getattr(aws("s3"), method)(Bucket=at.bucket, Key=key, **parameters)

    def of_version(method: str) -> Call:
        return lambda aws, at, _: getattr(aws("s3"), method)(Bucket=at.bucket, Key=key, VersionId=at.versions[key])

    def abort(aws: Aws, at: Things, _: str) -> None:
        aws("s3").abort_multipart_upload(Bucket=at.bucket, Key=key, UploadId=at.uploads[key])

    return {
        f"reads {place}": ("s3:GetObject", of("get_object")),
        f"writes {place}": ("s3:PutObject", of("put_object", Body=b"probe")),
        f"begins uploads to {place}": ("s3:PutObject", of("create_multipart_upload")),
        f"aborts uploads to {place}": ("s3:AbortMultipartUpload", abort),
        f"reads versions of {place}": ("s3:GetObjectVersion", of_version("get_object")),
        f"deletes {place}": ("s3:DeleteObject", of("delete_object")),
        f"deletes versions of {place}": ("s3:DeleteObjectVersion", of_version("delete_object")),
        f"reads ACLs of {place}": ("s3:GetObjectAcl", of("get_object_acl")),
        f"tags {place}": ("s3:PutObjectTagging", of("put_object_tagging", Tagging={"TagSet": []})),
    }


def writes(*places: str) -> set[str]:
    """What it takes to look at what stands there and to write it, in parts too."""
    does = ("reads", "writes", "begins uploads to", "aborts uploads to")
    return {f"{what} {place}" for what in does for place in places}


def on_bucket(method: str, **parameters) -> Call:
    return lambda aws, at, _: getattr(aws("s3"), method)(Bucket=at.bucket, **parameters)


BUCKET_CALLS: Calls = {
    "lists the bucket": ("s3:ListBucket", on_bucket("list_objects_v2")),
    "lists versions": ("s3:ListBucketVersions", on_bucket("list_object_versions")),
    "lists uploads": ("s3:ListBucketMultipartUploads", on_bucket("list_multipart_uploads")),
    "lists buckets": ("s3:ListAllMyBuckets", lambda aws, at, _: aws("s3").list_buckets()),
    "looks at the bucket's policy": ("s3:GetBucketPolicy", on_bucket("get_bucket_policy")),
    "sets the bucket's policy": ("s3:PutBucketPolicy", on_bucket("put_bucket_policy", Policy=NO_POLICY)),
    "removes the bucket's policy": ("s3:DeleteBucketPolicy", on_bucket("delete_bucket_policy")),
    "sets lifecycles": (
        "s3:PutLifecycleConfiguration",
        on_bucket("put_bucket_lifecycle_configuration", LifecycleConfiguration={"Rules": []}),
    ),
    "sets notifications": (
        "s3:PutBucketNotification",
        on_bucket("put_bucket_notification_configuration", NotificationConfiguration={}),
    ),
    "sets versioning": (
        "s3:PutBucketVersioning",
        on_bucket("put_bucket_versioning", VersioningConfiguration={"Status": "Suspended"}),
    ),
    "opens the bucket": ("s3:PutBucketPublicAccessBlock", on_bucket("delete_public_access_block")),
    "deletes the bucket": ("s3:DeleteBucket", on_bucket("delete_bucket")),
}


def start(aws: Aws, machine: str) -> dict:
    # Without files it ends at once. The id is that of no message.
    execution = {"message": {"id": "probe"}, "window": {"id": "probe"}, "source": {"bucket": "probe"}, "files": []}
    return aws("stepfunctions").start_execution(stateMachineArn=machine, input=json.dumps(execution | {"closes_at": ""}))


def log(aws: Aws, group: str) -> None:
    event = {"timestamp": int(time.time() * 1000), "message": "probe"}
    aws("logs").put_log_events(logGroupName=group, logStreamName="probe", logEvents=[event])


def assume(aws: Aws, role: str, **parameters) -> dict:
    return aws("sts").assume_role(RoleArn=role, RoleSessionName="probe", **parameters)["Credentials"]


# Of X-Ray the local cloud has nothing.
ROLE_CALLS: Calls = {
    # -- The publisher's --
    "assumes the publisher's role": (
        "sts:AssumeRole",
        lambda aws, at, _: assume(aws, publisher.ROLE_ARN, ExternalId=publisher.EXTERNAL_ID),
    ),
    "assumes another role of the publisher's": (
        "sts:AssumeRole",
        lambda aws, at, _: assume(aws, WIDE_ROLE_ARN, ExternalId=publisher.EXTERNAL_ID),
    ),
    "reads the publisher's bucket as itself": (
        "s3:GetObject",
        lambda aws, at, _: aws("s3").get_object(Bucket=publisher.BUCKET, Key=f"{publisher.PREFIX}/input/probe"),
    ),
    "lists the publisher's bucket as itself": (
        "s3:ListBucket",
        lambda aws, at, _: aws("s3").list_objects_v2(Bucket=publisher.BUCKET),
    ),
    "writes the publisher's bucket as itself": (
        "s3:PutObject",
        lambda aws, at, _: aws("s3").put_object(Bucket=publisher.BUCKET, Key=f"{publisher.PREFIX}/output/probe"),
    ),
    "publishes on the topic": ("sns:Publish", lambda aws, at, _: aws("sns").publish(TopicArn=at.topic, Message="probe")),
    # -- Other roles, and more for its own --
    "assumes the reader's role": ("sts:AssumeRole", lambda aws, at, _: assume(aws, at.reader_role)),
    "assumes another function's role": (
        "sts:AssumeRole",
        lambda aws, at, f: assume(aws, at.roles[at.another(f)]),
    ),
    "looks at its role": ("iam:GetRole", lambda aws, at, f: aws("iam").get_role(RoleName=name_of(at.roles[f]))),
    "widens its role": (
        "iam:PutRolePolicy",
        lambda aws, at, f: aws("iam").put_role_policy(
            RoleName=name_of(at.roles[f]), PolicyName="probe", PolicyDocument=NO_POLICY
        ),
    ),
    "changes whom the reader's role trusts": (
        "iam:UpdateAssumeRolePolicy",
        lambda aws, at, _: aws("iam").update_assume_role_policy(
            RoleName=name_of(at.reader_role), PolicyDocument=NO_POLICY
        ),
    ),
    "makes users": ("iam:CreateUser", lambda aws, at, _: aws("iam").create_user(UserName="probe")),
    # -- Executions and functions --
    "starts executions": ("states:StartExecution", lambda aws, at, _: start(aws, at.machine)),
    "starts executions of another machine": ("states:StartExecution", lambda aws, at, _: start(aws, at.other_machine)),
    "stops executions": (
        "states:StopExecution",
        lambda aws, at, _: aws("stepfunctions").stop_execution(executionArn=at.execution),
    ),
    "reads executions": (
        "states:DescribeExecution",
        lambda aws, at, _: aws("stepfunctions").describe_execution(executionArn=at.execution),
    ),
    "changes the state machine": (
        "states:UpdateStateMachine",
        lambda aws, at, _: aws("stepfunctions").update_state_machine(stateMachineArn=at.machine, definition="{}"),
    ),
    **{
        f"invokes {name}": (
            "lambda:InvokeFunction",
            lambda aws, at, _, name=name: aws("lambda").invoke(FunctionName=at.functions[name], Payload=NO_EVENT),
        )
        for name in FUNCTIONS
    },
    "changes its own settings": (
        "lambda:UpdateFunctionConfiguration",
        lambda aws, at, f: aws("lambda").update_function_configuration(FunctionName=at.functions[f], Timeout=60),
    ),
    "reads its own code": (
        "lambda:GetFunction",
        lambda aws, at, f: aws("lambda").get_function(FunctionName=at.functions[f]),
    ),
    "lets others invoke it": (
        "lambda:AddPermission",
        lambda aws, at, f: aws("lambda").add_permission(
            FunctionName=at.functions[f], StatementId="probe", Action="lambda:InvokeFunction", Principal=STRANGER
        ),
    ),
    "looks at the stack": (
        "cloudformation:DescribeStacks",
        lambda aws, at, _: aws("cloudformation").describe_stacks(StackName="windrow"),
    ),
    # -- Queues --
    "writes letters": (
        "sqs:SendMessage",
        lambda aws, at, _: aws("sqs").send_message(QueueUrl=at.queue, MessageBody='{"kind": "probe"}'),
    ),
    "writes to another queue": (
        "sqs:SendMessage",
        lambda aws, at, _: aws("sqs").send_message(QueueUrl=at.other_queue, MessageBody="probe"),
    ),
    "reads letters": ("sqs:ReceiveMessage", lambda aws, at, _: aws("sqs").receive_message(QueueUrl=at.queue)),
    "throws letters away": ("sqs:PurgeQueue", lambda aws, at, _: aws("sqs").purge_queue(QueueUrl=at.queue)),
    "looks at the queue": (
        "sqs:GetQueueAttributes",
        lambda aws, at, _: aws("sqs").get_queue_attributes(QueueUrl=at.queue, AttributeNames=["All"]),
    ),
    # -- Logs (its own it may write: but the local cloud does not let these actions match a group's ARN, as AWS does) --
    "writes another's log": ("logs:PutLogEvents", lambda aws, at, f: log(aws, at.logs[at.another(f)])),
    "reads its log": ("logs:FilterLogEvents", lambda aws, at, f: aws("logs").filter_log_events(logGroupName=at.logs[f])),
    "deletes its log": ("logs:DeleteLogGroup", lambda aws, at, f: aws("logs").delete_log_group(logGroupName=at.logs[f])),
}
