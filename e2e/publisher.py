"""The publisher's side: an account of its own with a bucket and a role that we may assume, and the topic.

The topic alone is in our account: the local cloud does not deliver from a topic to another account's function.
"""

import json

from cloud import OUR_ACCOUNT, PUBLISHER_ACCOUNT, LocalCloud

BUCKET = "macroscope-interviews"
PREFIX = "infra-eng/local"
EXTERNAL_ID = "windrow-local"
ROLE = "windrow-exchange"
ROLE_ARN = f"arn:aws:iam::{PUBLISHER_ACCOUNT}:role/{ROLE}"


class Publisher:
    def __init__(self, cloud: LocalCloud) -> None:
        self.account = PUBLISHER_ACCOUNT
        self.s3 = cloud.client("s3", PUBLISHER_ACCOUNT)
        self._iam = cloud.client("iam", PUBLISHER_ACCOUNT)
        self._sns = cloud.client("sns", OUR_ACCOUNT)
        self.topic_arn = ""

    def create(self) -> None:
        self.s3.create_bucket(Bucket=BUCKET)
        self._iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(TRUST))
        self._iam.put_role_policy(RoleName=ROLE, PolicyName="exchange", PolicyDocument=json.dumps(PERMISSIONS))
        self.topic_arn = self.create_topic("announcements")

    def create_topic(self, name: str) -> str:
        return self._sns.create_topic(Name=name)["TopicArn"]

    def put(self, name: str, body: bytes) -> str:
        """Stores a file under `input/` and returns its key."""
        key = f"{PREFIX}/input/{name}"
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        return key

    def announce(self, keys: list[str], topic_arn: str | None = None) -> str:
        """Publishes one message that lists these keys and returns its id."""
        return self._sns.publish(TopicArn=topic_arn or self.topic_arn, Message=message(keys))["MessageId"]

    def delivered(self, name: str) -> dict | None:
        """The object of that name under `output/`: its bytes and metadata, or None."""
        return read_object(self.s3, BUCKET, f"{PREFIX}/output/{name}")


def message(keys: list[str], bucket_arn: str = f"arn:aws:s3:::{BUCKET}") -> str:
    """Its keys have a slash before them, which separates them from the bucket."""
    return json.dumps({"s3_bucket": bucket_arn, "s3_objects": [f"/{key}" for key in keys]})


def read_object(s3, bucket: str, key: str) -> dict | None:
    try:
        answer = s3.get_object(Bucket=bucket, Key=key)
    except s3.exceptions.NoSuchKey:
        return None
    return {"body": answer["Body"].read(), "metadata": answer["Metadata"], "etag": answer["ETag"]}


TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{OUR_ACCOUNT}:root"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}},
        }
    ],
}

# No more than a careful publisher grants.
PERMISSIONS = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "s3:GetObject",
            # S3 keeps a leading slash, so that an object may have one.
            "Resource": [f"arn:aws:s3:::{BUCKET}/{PREFIX}/input/*", f"arn:aws:s3:::{BUCKET}//{PREFIX}/input/*"],
        },
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"],
            "Resource": f"arn:aws:s3:::{BUCKET}/{PREFIX}/output/*",
        },
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{BUCKET}"},
    ],
}
