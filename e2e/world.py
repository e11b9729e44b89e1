"""Everything at once: the local cloud, the publisher, and our stack in it."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import stack as stacks
from cloud import LocalCloud
from progress import step
from publisher import Publisher
from stack import Stack


@dataclass
class World:
    cloud: LocalCloud
    publisher: Publisher
    stack: Stack


@contextlib.contextmanager
def world(stack_name: str = "windrow") -> Iterator[World]:
    """Up and deployed for as long as the `with` lasts; says what it does."""
    if missing := stacks.missing_zips():
        sys.exit(f"not built: {', '.join(map(str, missing))}; `just build` makes them")
    with contextlib.ExitStack() as cleanup:
        with step("Starting the local cloud"):
            cloud = cleanup.enter_context(LocalCloud())
            publisher = Publisher(cloud)
            publisher.create()
        with step("Deploying the stack"):
            stack = stacks.deploy(cloud, stack_name, stacks.parameters(publisher.topic_arn))
        yield World(cloud, publisher, stack)
