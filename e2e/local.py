"""A local cloud that stays up with the stack deployed, until Ctrl-C."""

import signal

import publisher
from cloud import exit_on_signals
from progress import bold, dim
from world import World, world


def main() -> None:
    exit_on_signals()
    try:
        with world() as everything:
            print(guide(everything), flush=True)
            signal.pause()
    except KeyboardInterrupt:
        print("\nThe local cloud is gone, with all that was in it.")


def guide(world: World) -> str:
    exports = "\n".join(f"export {name}={value}" for name, value in world.cloud.environment().items())
    outputs = "\n".join(f"  {name:<20} {value}" for name, value in world.stack.outputs.items())
    return f"""
{bold("The stack")}
{outputs}

{bold("In another terminal")}
{exports}

{dim("# Have a file gathered: put it where the publisher does, and announce it. (`aws` is in .venv/bin, too.)")}
AWS_ACCESS_KEY_ID={world.publisher.account} aws s3 cp some.csv s3://{publisher.BUCKET}/{publisher.PREFIX}/input/2021-01-1T12:01:31-06:00.csv
aws sns publish --topic-arn {world.publisher.topic_arn} \\
  --message '{publisher.message([f"{publisher.PREFIX}/input/2021-01-1T12:01:31-06:00.csv"])}'

{dim("# See what became of it.")}
aws stepfunctions list-executions --state-machine-arn {world.stack.outputs["StateMachineArn"]}
aws s3 ls s3://{world.stack.outputs["BucketName"]} --recursive
AWS_ACCESS_KEY_ID={world.publisher.account} aws s3 ls s3://{publisher.BUCKET}/{publisher.PREFIX}/output/
aws sqs receive-message --queue-url {world.stack.outputs["DeadLettersUrl"]}

Logs of the local cloud: {world.cloud.log}
Ctrl-C ends it."""


if __name__ == "__main__":
    main()
