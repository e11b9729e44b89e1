"""Deploying the real template with the recipe that people use, and what its outputs lead to."""

import json
import os
import re
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import publisher
from cloud import OUR_ACCOUNT, REGION, LocalCloud

ROOT = Path(__file__).resolve().parent.parent
FUNCTIONS = ("start", "stage", "merge", "deliver")
Seen = TypeVar("Seen")


class Stack:
    """One deployed stack, known by its outputs alone."""

    def __init__(self, cloud: LocalCloud, name: str, outputs: dict[str, str], region: str = REGION) -> None:
        self.name = name
        self.outputs = outputs
        self.s3 = cloud.client("s3")
        self.sqs = cloud.client("sqs", region=region)
        self.states = cloud.client("stepfunctions", region=region)
        self.functions = cloud.client("lambda", region=region)
        self._letters: list[dict] = []

    # -- Executions --------------------------------------------------------------------------------------------------

    def executions(self) -> list[dict]:
        pages = self.states.get_paginator("list_executions").paginate(stateMachineArn=self.outputs["StateMachineArn"])
        return [execution for page in pages for execution in page["executions"]]

    def executions_of(self, message_id: str) -> list[dict]:
        """The executions that a message started, described, with their input parsed."""
        described = (self.states.describe_execution(executionArn=e["executionArn"]) for e in self.executions())
        parsed = [{**execution, "input": json.loads(execution["input"])} for execution in described]
        return [execution for execution in parsed if execution["input"]["message"]["id"] == message_id]

    def finished(self, message_id: str, windows: int) -> list[dict] | None:
        """The executions of a message once there is one per window and none still runs, else None."""
        executions = self.executions_of(message_id)
        running = any(execution["status"] == "RUNNING" for execution in executions)
        return None if running or len(executions) < windows else executions

    # -- Objects -----------------------------------------------------------------------------------------------------

    def output(self, name: str) -> dict | None:
        """The object of that name under `output/`: its bytes and metadata, or None."""
        return publisher.read_object(self.s3, self.outputs["BucketName"], f"output/{name}")

    def keys(self, prefix: str) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.outputs["BucketName"], Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    # -- Letters -----------------------------------------------------------------------------------------------------

    def letters(self) -> list[dict]:
        """All letters so far. They are taken out of the queue, and kept here."""
        while True:
            answer = self.sqs.receive_message(QueueUrl=self.outputs["DeadLettersUrl"], MaxNumberOfMessages=10)
            for letter in answer.get("Messages", []):
                self._letters.append(json.loads(letter["Body"]))
                self.sqs.delete_message(QueueUrl=self.outputs["DeadLettersUrl"], ReceiptHandle=letter["ReceiptHandle"])
            if not answer.get("Messages"):
                return self._letters


def deploy(cloud: LocalCloud, name: str, parameters: dict[str, str], region: str = REGION) -> Stack:
    """Deploys the template under that name with `just deploy`, and returns the stack."""
    try:
        # The functions are built already: without dependencies, among them the build for AWS.
        overrides = [f"{key}={value}" for key, value in parameters.items()]
        just(cloud, "--no-deps", f"stack={name}", "deploy", *overrides, region=region)
    except RuntimeError as error:
        raise RuntimeError("\n".join([str(error), *failures(cloud, name, region)])) from None
    return deployed(cloud, name, region)


def deployed(cloud: LocalCloud, name: str, region: str = REGION) -> Stack:
    """The stack of that name."""
    stack = cloud.client("cloudformation", region=region).describe_stacks(StackName=name)["Stacks"][0]
    return Stack(cloud, name, {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}, region)


def failures(cloud: LocalCloud, stack_name: str, region: str = REGION) -> list[str]:
    """What went wrong in a deployment, by resource; nothing where it did not come as far as a stack."""
    client = cloud.client("cloudformation", region=region)
    try:
        events = client.describe_stack_events(StackName=stack_name)["StackEvents"]
    except client.exceptions.ClientError:
        return []
    return [
        f"{event['LogicalResourceId']}: {event['ResourceStatus']}: {event.get('ResourceStatusReason', 'no reason given')}"
        for event in reversed(events)
        if event["ResourceStatus"].endswith("_FAILED")
    ]


def parameters(topic_arn: str) -> dict[str, str]:
    """The parameters that fit the local publisher. The grace period is short, for nobody likes to wait."""
    return {
        "SourceTopicArn": topic_arn,
        "SourceBucket": publisher.BUCKET,
        "SourcePrefix": publisher.PREFIX,
        "SourceRoleArn": publisher.ROLE_ARN,
        "SourceExternalId": publisher.EXTERNAL_ID,
        "GraceSeconds": "1",
    }


def just(cloud: LocalCloud, *arguments: str, region: str = REGION) -> str:
    """Runs a recipe of the justfile against this cloud, and returns what it prints."""
    environment = os.environ | cloud.environment(OUR_ACCOUNT, region)
    result = subprocess.run(["just", *arguments], env=environment, cwd=ROOT, text=True, capture_output=True)
    if result.returncode != 0:
        # Without the progress of uploads, which would hide the reason.
        lines = re.split(r"[\r\n]+", result.stdout + result.stderr)
        said = "\n".join(line for line in lines if not line.startswith("Uploading to "))
        raise RuntimeError(f"`just {' '.join(arguments)}` failed:\n{said}")
    return result.stdout


def missing_zips() -> list[Path]:
    """What `package` needs and the build has not made."""
    zips = (Path("target", "lambda", function, "bootstrap.zip") for function in FUNCTIONS)
    return [path for path in zips if not (ROOT / path).is_file()]


def wait_for(what: str, look: Callable[[], Seen], seconds: float = 60) -> Seen:
    """Looks again and again until there is something to see, and returns it."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} within {seconds:.0f} s")
        time.sleep(0.2)
    return seen


def sns_event(text: str, topic_arn: str) -> dict:
    """What Lambda hands to a function for a message of SNS."""
    return {
        "Records": [
            {
                "EventSource": "aws:sns",
                "EventVersion": "1.0",
                "EventSubscriptionArn": f"{topic_arn}:{uuid.uuid4()}",
                "Sns": {
                    "Type": "Notification",
                    "MessageId": str(uuid.uuid4()),
                    "TopicArn": topic_arn,
                    "Subject": None,
                    "Message": text,
                    "Timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
                    "SignatureVersion": "1",
                    "Signature": "EXAMPLE",
                    "SigningCertUrl": "https://sns.us-east-1.amazonaws.com/SimpleNotificationService.pem",
                    "UnsubscribeUrl": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
                    "MessageAttributes": {},
                },
            }
        ]
    }
