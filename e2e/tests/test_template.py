"""What `template.yaml` becomes wherever it is deployed, and what may stand in its parameters.

It is resolved here, for the local cloud evaluates neither Split nor Join in conditions, and knows one partition.
"""

import json
import re

import pytest
from cfnlint.decode import cfn_yaml

from stack import ROOT

TEMPLATE = cfn_yaml.load(str(ROOT / "template.yaml"))
DEFINITION = (ROOT / "statemachine" / "window.asl.json").read_text()
PARAMETERS = TEMPLATE["Parameters"]
ACCOUNT = "444455556666"
READER = "777788889999"
NOTHING = object()


class Place:
    """A partition, Region and account that a stack is deployed in, with parameters; resolves what the template says."""

    def __init__(self, partition: str = "aws", region: str = "us-east-1", **parameters: str) -> None:
        self.refs = {name: parameter.get("Default", "") for name, parameter in PARAMETERS.items()}
        self.refs |= {
            "SourceTopicArn": f"arn:{partition}:sns:{region}:111122223333:files",
            "SourceRoleArn": f"arn:{partition}:iam::111122223333:role/windrow",
            "SourcePrefix": "infra-eng/some/path",
            "ReaderAccountId": READER,
            "AWS::Partition": partition,
            "AWS::Region": region,
            "AWS::AccountId": ACCOUNT,
            "AWS::StackName": "windrow",
            "AWS::StackId": f"arn:{partition}:cloudformation:{region}:{ACCOUNT}:stack/windrow/0a1b2c3d",
            "AWS::NoValue": NOTHING,
        }
        self.refs |= parameters

    def holds(self, condition: str) -> bool:
        return self.value(TEMPLATE["Conditions"][condition])

    def resource(self, name: str) -> dict | None:
        """The properties of a resource, or None where there is none."""
        resource = TEMPLATE["Resources"][name]
        return self.value(resource["Properties"]) if self.holds_if_named(resource) else None

    def holds_if_named(self, resource: dict) -> bool:
        return "Condition" not in resource or self.holds(resource["Condition"])

    def everything(self) -> dict:
        """Resources and outputs, and the state machine with what is put into it."""
        resources = {name: self.resource(name) for name in TEMPLATE["Resources"]}
        outputs = self.value({name: output["Value"] for name, output in TEMPLATE["Outputs"].items()})
        definition = DEFINITION
        for name, text in resources["StateMachine"]["DefinitionSubstitutions"].items():
            definition = definition.replace(f"${{{name}}}", text)
        return {"Resources": resources, "Outputs": outputs, "Definition": json.loads(definition)}

    def value(self, node: object) -> object:
        """What CloudFormation makes of it; of a resource, its name and attribute stand for what only AWS knows."""
        if isinstance(node, list):
            return [value for value in map(self.value, node) if value is not NOTHING]
        if not isinstance(node, dict):
            return node
        function, argument = next(iter(node.items())) if len(node) == 1 else ("", None)
        match function:
            case "Ref":
                return self.refs.get(argument, argument)
            case "Fn::GetAtt":
                return ".".join(argument)
            case "Condition" if isinstance(argument, str):
                return self.holds(argument)
            case "Fn::If":
                return self.value(argument[1 if self.holds(argument[0]) else 2])
            case "Fn::Equals":
                return self.value(argument[0]) == self.value(argument[1])
            case "Fn::And":
                return all(map(self.value, argument))
            case "Fn::Or":
                return any(map(self.value, argument))
            case "Fn::Not":
                return not self.value(argument[0])
            case "Fn::Join":
                return argument[0].join(self.value(argument[1]))
            case "Fn::Split":
                return self.value(argument[1]).split(argument[0])
            case "Fn::Select":
                return self.value(argument[1])[int(argument[0])]
            case "Fn::Sub":
                text, names = argument if isinstance(argument, list) else (argument, {})
                names = self.refs | self.value(names)
                return re.sub(r"\$\{([^}]+)\}", lambda name: str(names.get(name[1], name[1])), text)
        assert not function.startswith("Fn::"), f"{function} is not known here"
        values = {name: self.value(value) for name, value in node.items()}
        return {name: value for name, value in values.items() if value is not NOTHING}


# -- Where it is deployed ------------------------------------------------------------------------------------------------

PLACES = {
    "aws": "eu-central-1",
    "aws-cn": "cn-north-1",
    "aws-us-gov": "us-gov-west-1",
    "aws-eusc": "eusc-de-east-1",
    "aws-iso-b": "us-isob-east-1",
}


@pytest.mark.parametrize("partition", PLACES)
def test_a_stack_names_no_partition_region_or_account_but_its_own_and_the_given_ones(partition: str):
    region = PLACES[partition]
    optional = {
        "BucketName": "ours",
        "ReaderExternalId": "reader",
        "AlarmTopicArn": f"arn:{partition}:sns:{region}:{ACCOUNT}:alarms",
    }
    text = json.dumps([Place(partition, region, **given).everything() for given in ({}, optional)])
    assert set(re.findall(r"\barn:([^:]*):", text)) == {partition}
    assert set(re.findall(r"\b[a-z]{2,4}(?:-[a-z]+)+-\d\b", text)) == {region}
    assert set(re.findall(r"\b\d{12}\b", text)) == {ACCOUNT, "111122223333", READER}
    assert "${" not in text


def test_the_consoles_address_is_that_of_the_partition():
    domains = {partition: "console.aws.amazon.com" for partition in PLACES} | {
        "aws-cn": "console.amazonaws.cn",
        "aws-us-gov": "console.amazonaws-us-gov.com",
        "aws-eusc": "console.amazonaws-eusc.eu",
    }
    for partition, region in PLACES.items():
        url = Place(partition, region).everything()["Outputs"]["DashboardUrl"]
        assert url.startswith(f"https://{region}.{domains[partition]}/cloudwatch/home?region={region}#")


# -- Where the topic is --------------------------------------------------------------------------------------------------


def topic(region: str) -> str:
    return f"arn:aws:sns:{region}:111122223333:files"


def test_with_a_topic_in_the_stacks_region_the_subscription_has_the_dead_letter_queue():
    place = Place("aws", "eu-west-1", SourceTopicArn=topic("eu-west-1"))
    subscription = place.resource("Subscription")
    assert subscription["RedrivePolicy"] == {"deadLetterTargetArn": "DeadLetters.Arn"}
    assert subscription["Region"] == "eu-west-1"
    assert place.resource("StartPermission")["Principal"] == "sns.amazonaws.com"


def test_with_a_topic_in_another_region_it_subscribes_there_without_a_queue_that_must_be_there_too():
    place = Place("aws", "eu-west-1", SourceTopicArn=topic("us-east-1"))
    subscription = place.resource("Subscription")
    assert subscription["Region"] == "us-east-1"
    assert "RedrivePolicy" not in subscription
    assert place.resource("StartPermission")["Principal"] == "sns.amazonaws.com"


# https://docs.aws.amazon.com/sns/latest/dg/sns-cross-region-delivery.html
OPT_IN_REGIONS = """
    af-south-1 ap-east-1 ap-east-2 ap-south-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 ap-southeast-7
    ca-west-1 eu-central-2 eu-south-1 eu-south-2 il-central-1 me-central-1 me-south-1 mx-central-1
""".split()


@pytest.mark.parametrize("region", OPT_IN_REGIONS)
def test_a_topic_in_another_region_that_is_opted_into_calls_by_a_principal_of_its_own(region: str):
    place = Place("aws", "eu-west-1", SourceTopicArn=topic(region))
    assert place.resource("StartPermission")["Principal"] == f"sns.{region}.amazonaws.com"
    assert "RedrivePolicy" not in place.resource("Subscription")

    place = Place("aws", region, SourceTopicArn=topic(region))
    assert place.resource("StartPermission")["Principal"] == "sns.amazonaws.com", "within a Region as everywhere"
    assert "RedrivePolicy" in place.resource("Subscription")


@pytest.mark.parametrize("region", ["eu-west-1", "us-east-1", "me-south-1"])
def test_where_the_publisher_subscribes_there_is_no_subscription_but_the_permission(region: str):
    ours = Place("aws", "eu-west-1", SourceTopicArn=topic(region))
    theirs = Place("aws", "eu-west-1", SourceTopicArn=topic(region), ExistingSubscription="true")
    assert ours.resource("Subscription") and not theirs.resource("Subscription")
    assert theirs.resource("StartPermission") == ours.resource("StartPermission")
    assert theirs.resource("StartPermission")["SourceArn"] == topic(region)


# -- What may stand in a parameter ---------------------------------------------------------------------------------------

ACCEPTED = {
    "SourceTopicArn": [topic("us-east-1"), "arn:aws-us-gov:sns:us-gov-west-1:111122223333:Files_2-b"],
    "SourceBucket": ["macroscope-interviews", "a.b-c", "abc"],
    "SourcePrefix": ["infra-eng/some/path", "a", "a.b/..c/d../...", ".hidden/x", "it's/(ok)!/_-"],
    "SourceRoleArn": ["arn:aws:iam::111122223333:role/windrow", "arn:aws-cn:iam::111122223333:role/a/path/x_+=,.@-"],
    "SourceExternalId": ["", "ab", "a:b/c=d,e.f@g-h_i+j"],
    "DefaultOffset": ["Z", "+01", "-0600", "+05:30"],
    "ColumnTypes": ["", "id=string", "a b=float64,*=date"],
    "OutputPrefix": ["ms-", "a_b.c"],
    "BucketName": ["", "windrow-444455556666-0a1b2c3d"],
    "ReaderAccountId": ["451846548917"],
    "ReaderExternalId": ["", "ab"],
    "AlarmTopicArn": ["", topic("us-east-1")],
}

REFUSED = {
    "SourceTopicArn": ["", "files", topic("us-east-1") + ".fifo", topic("*"), "arn:aws:sqs:us-east-1:111122223333:files"],
    "SourceBucket": ["", "ab", "arn:aws:s3:::macroscope-interviews", "Capitals", "a_b", "-ab", "a/b", "a" * 64],
    "SourcePrefix": [
        "", "/", "/a", "a/", "a//b", ".", "..", "a/.", "a/..", "./a", "../a", "a/./b", "a/../b", "../..", "a b", "a\\b", "ä",
    ],
    "SourceRoleArn": [
        "", "windrow", "arn:aws:iam::111122223333:user/windrow", "arn:aws:iam::111122223333:role/",
        "arn:aws:iam::*:role/windrow", "arn:aws:iam::111122223333:root", "arn:aws:iam::11112222333:role/windrow",
    ],
    "SourceExternalId": ["a", "a b"],
    "DefaultOffset": ["", "z", "01", "+1", "+24", "+01:60", "UTC"],
    "ColumnTypes": ["id", "id=", "id=text", "=string", "id=string,", "id=string,,a=date"],
    "OutputPrefix": ["", "a/", "../", "a" * 65],
    "BucketName": ["ab", "Windrow"],
    "ReaderAccountId": ["", "45184654891", "4518465489170", "arn:aws:iam::451846548917:root"],
    "ReaderExternalId": ["a", "a b"],
    "AlarmTopicArn": ["alarms", topic("us-east-1") + ":x"],
}  # fmt: skip

# Column names may be anything; none becomes part of a role.
IN_NO_ROLE = {"ColumnTypes"}


def accepts(parameter: str, value: str) -> bool:
    """As CloudFormation does: the pattern has to match the value as a whole."""
    return re.fullmatch(PARAMETERS[parameter]["AllowedPattern"], value) is not None


def test_every_parameter_has_bounds():
    unbounded = {
        name
        for name, parameter in PARAMETERS.items()
        if not {"AllowedPattern", "AllowedValues", "MinValue"} & parameter.keys()
    }
    assert not unbounded
    assert ACCEPTED.keys() == REFUSED.keys() == {name for name in PARAMETERS if "AllowedPattern" in PARAMETERS[name]}


@pytest.mark.parametrize("parameter", ACCEPTED)
def test_a_parameter_takes_what_it_should_and_nothing_else(parameter: str):
    assert [value for value in ACCEPTED[parameter] if not accepts(parameter, value)] == []
    assert [value for value in REFUSED[parameter] if accepts(parameter, value)] == []


@pytest.mark.parametrize("parameter", sorted(ACCEPTED.keys() - IN_NO_ROLE))
@pytest.mark.parametrize("wild", ["*", "?", "${aws:username}", "\n", '"'])
def test_no_wildcard_variable_or_quote_gets_into_a_role(parameter: str, wild: str):
    for value in ACCEPTED[parameter]:
        for place in range(len(value) + 1):
            assert not accepts(parameter, value[:place] + wild + value[place:])
