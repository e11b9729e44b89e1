"""One local cloud with one stack for all tests; each test has windows of its own."""

from collections.abc import Iterator

import pytest

import samples
from cloud import exit_on_signals
from oracle import Window, windows
from stack import wait_for
from world import World
from world import world as up


@pytest.fixture(scope="session")
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    exit_on_signals()
    with up() as everything:
        yield everything
        if request.session.testsfailed:
            everything.cloud.keep_log()


@pytest.fixture(scope="session")
def messages(world: World) -> list[str]:
    """Puts the samples into the publisher's bucket, announces them, and waits until all is done: the messages' ids."""
    files = samples.files()
    keys = [world.publisher.put(file.name, file.body) for file in files]
    ids = [world.publisher.announce([keys[place] for place in places]) for places in samples.MESSAGES]
    for message_id, places in zip(ids, samples.MESSAGES):
        count = len(windows([files[place] for place in set(places)]))
        wait_for("end of the executions", lambda: world.stack.finished(message_id, count), 120)
    for window in windows(files):
        wait_for_delivery(world, window)
    return ids


@pytest.fixture(params=windows(samples.files()), ids=lambda window: window.id)
def window(request: pytest.FixtureRequest, messages: list[str]) -> Window:
    """Each window of the samples, with all done."""
    return request.param


def wait_for_delivery(world: World, window: Window) -> dict:
    """Waits until the publisher has what we have, and returns it."""

    def same() -> dict | None:
        ours, theirs = world.stack.output(window.object_name), world.publisher.delivered(window.object_name)
        return theirs if ours and theirs and ours["body"] == theirs["body"] else None

    return wait_for(f"delivery of {window.object_name}", same, 60)
