"""The publisher's side: an account of its own with a bucket and a role that we may assume, and the topic.

Role and policies are what docs/publisher.md makes of them: its very text is run, so that it cannot be wrong. The topic
alone is in our account: the local cloud does not deliver from a topic to another account's function.
"""

import json
import os
import re
import string
import subprocess
import sys
import tempfile
from pathlib import Path

from cloud import OUR_ACCOUNT, PUBLISHER_ACCOUNT, REGION, LocalCloud

BUCKET = "macroscope-interviews"
PREFIX = "infra-eng/local"
EXTERNAL_ID = "windrow-local"
ROLE = "windrow-exchange"
ROLE_ARN = f"arn:aws:iam::{PUBLISHER_ACCOUNT}:role/{ROLE}"

PAGE = Path(__file__).resolve().parent.parent / "docs" / "publisher.md"


class Publisher:
    """A publisher with a folder of a bucket, a role for it, and a topic, in one Region."""

    def __init__(
        self,
        cloud: LocalCloud,
        bucket: str = BUCKET,
        prefix: str = PREFIX,
        role: str = ROLE,
        external_id: str = EXTERNAL_ID,
        region: str = REGION,
    ) -> None:
        self.account = PUBLISHER_ACCOUNT
        self.bucket, self.prefix = bucket, prefix
        self.s3 = cloud.client("s3", PUBLISHER_ACCOUNT, region=region)
        self.role_arn = f"arn:aws:iam::{PUBLISHER_ACCOUNT}:role/{role}"
        self._cloud = cloud
        self._role, self._external_id, self._region = role, external_id, region
        self._sns = cloud.client("sns", OUR_ACCOUNT, region=region)
        self.topic_arn = ""

    def create(self, topic: str = "announcements") -> None:
        # S3 wants to be told each Region but its first.
        elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": self._region}} if self._region != REGION else {}
        self.s3.create_bucket(Bucket=self.bucket, **elsewhere)
        self.topic_arn = self.create_topic(topic)
        self.run("The role")

    def create_topic(self, name: str) -> str:
        topic_arn = self._sns.create_topic(Name=name)["TopicArn"]
        policy = json.dumps({"Version": "2012-10-17", "Statement": [self.topic_statement(topic_arn)]})
        self._sns.set_topic_attributes(TopicArn=topic_arn, AttributeName="Policy", AttributeValue=policy)
        return topic_arn

    def topic_statement(self, topic_arn: str) -> dict:
        """What the page would have in the policy of a topic."""
        (text,) = fenced("The topic", "json")
        return json.loads(string.Template(text).substitute(self.names(TOPIC_ARN=topic_arn)))

    def names(self, **others: str) -> dict[str, str]:
        """What the page has to be told, with `others` in their place."""
        return {
            "PARTITION": "aws",
            "PUBLISHER_ACCOUNT": PUBLISHER_ACCOUNT,
            "OUR_ACCOUNT": OUR_ACCOUNT,
            "EXTERNAL_ID": self._external_id,
            "BUCKET": self.bucket,
            "PREFIX": self.prefix,
            "ROLE": self._role,
            "TOPIC_ARN": self.topic_arn,
        } | others

    def run(self, *headings: str, account: str = PUBLISHER_ACCOUNT, **others: str) -> str:
        """Runs the shell of these sections of the page as that account, and returns what it prints."""
        text = "".join(block for heading in ("Names", *headings) for block in fenced(heading, "sh"))
        names = self.names(**others)
        # The very lines, but for the values that people are to set.
        text = re.sub(r"^([A-Z_]+)=.*$", lambda line: f"{line[1]}='{names[line[1]]}'", text, flags=re.MULTILINE)
        environment = os.environ | self._cloud.environment(account) | {"PYTHON": sys.executable}
        with tempfile.TemporaryDirectory(dir=self._cloud.folder) as folder:
            shell = ["bash", "-euo", "pipefail", "-c", f'aws() {{ "$PYTHON" -m awscli "$@"; }}\n{text}']
            result = subprocess.run(shell, cwd=folder, env=environment, text=True, capture_output=True)
        if result.returncode != 0:
            raise RuntimeError(f"{PAGE.name}, {', '.join(headings)}:\n{result.stdout}{result.stderr}")
        return result.stdout

    def put(self, name: str, body: bytes) -> str:
        """Stores a file under `input/` and returns its key."""
        key = f"{self.prefix}/input/{name}"
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        return key

    def announce(self, keys: list[str], topic_arn: str | None = None) -> str:
        """Publishes one message that lists these keys and returns its id."""
        text = message(keys, f"arn:aws:s3:::{self.bucket}")
        return self._sns.publish(TopicArn=topic_arn or self.topic_arn, Message=text)["MessageId"]

    def delivered(self, name: str) -> dict | None:
        """The object of that name under `output/`: its bytes and metadata, or None."""
        return read_object(self.s3, self.bucket, f"{self.prefix}/output/{name}")


def message(keys: list[str], bucket_arn: str = f"arn:aws:s3:::{BUCKET}") -> str:
    """Its keys have a slash before them, which separates them from the bucket."""
    return json.dumps({"s3_bucket": bucket_arn, "s3_objects": [f"/{key}" for key in keys]})


def read_object(s3, bucket: str, key: str) -> dict | None:
    try:
        answer = s3.get_object(Bucket=bucket, Key=key)
    except s3.exceptions.NoSuchKey:
        return None
    return {"body": answer["Body"].read(), "metadata": answer["Metadata"], "etag": answer["ETag"]}


def fenced(heading: str, language: str) -> list[str]:
    """The blocks in that language in a section of the page."""
    _, found, rest = PAGE.read_text().partition(f"\n## {heading}\n")
    if not found:
        raise KeyError(f"{PAGE.name} has no section {heading}")
    section = rest.partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)
