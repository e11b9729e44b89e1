"""The main job, from published CSV files to delivered Parquet, on the local cloud."""

import textwrap
from pathlib import Path

import duckdb

import oracle
import publisher
import samples
from cloud import exit_on_signals
from oracle import Window
from progress import bold, dim, step, table
from stack import wait_for
from world import World, world

SHOWN_ROWS = 5


def main() -> None:
    exit_on_signals()
    try:
        with world() as everything:
            run(everything)
    except KeyboardInterrupt:
        print("\nStopped. Nothing is left running.")
        raise SystemExit(130) from None


def run(world: World) -> None:
    files = samples.files()
    windows = oracle.windows(files)
    rows = sum(len(oracle.rows_of(file)[1]) for file in files)
    what = f"{len(files)} files with {rows:,} rows in {len(samples.MESSAGES)} messages"
    with step(f"Publishing {what}"):
        messages = publish(world, files)
    with step("Waiting for the windows to close and be merged") as say:
        wait_for_executions(world, files, messages, say)
    with step("Waiting for the Parquet objects to be delivered"):
        delivered = {window.id: wait_for_delivery(world, window) for window in windows}
    with step("Comparing every row with the CSV files"):
        parquets = {window.id: check(world, window, delivered[window.id]) for window in windows}

    print()
    print(overview(windows, delivered, parquets))
    print()
    print(excerpt(world, windows[0], delivered[windows[0].id]))
    print()
    print(FURTHER)


def publish(world: World, files: list[samples.File]) -> list[str]:
    keys = [world.publisher.put(file.name, file.body) for file in files]
    return [world.publisher.announce([keys[place] for place in places]) for places in samples.MESSAGES]


def wait_for_executions(world: World, files: list[samples.File], messages: list[str], say) -> None:
    done = []
    total = sum(len(oracle.windows([files[place] for place in set(places)])) for places in samples.MESSAGES)
    for message_id, places in zip(messages, samples.MESSAGES):
        count = len(oracle.windows([files[place] for place in set(places)]))
        done += wait_for("end of the executions", lambda: world.stack.finished(message_id, count), 120)
        say(f"{len(done)} of {total} executions")
    for execution in done:
        if execution["status"] != "SUCCEEDED":
            raise SystemExit(f"execution {execution['name']} {execution['status']}: {execution.get('cause')}")


def wait_for_delivery(world: World, window: Window) -> bytes:
    def same() -> bytes | None:
        ours, theirs = world.stack.output(window.object_name), world.publisher.delivered(window.object_name)
        return theirs["body"] if ours and theirs and ours["body"] == theirs["body"] else None

    return wait_for(f"delivery of {window.object_name}", same, 60)


def check(world: World, window: Window, body: bytes) -> oracle.Parquet:
    parquet = oracle.read_parquet(body, world.cloud.folder)
    if found := oracle.differences(window, parquet):
        raise SystemExit("\n".join([f"{window.object_name} is not what its files say:", *found]))
    return parquet


def overview(windows: list[Window], delivered: dict[str, bytes], parquets: dict[str, oracle.Parquet]) -> str:
    head = ["window", "files", "rows", "columns", "CSV bytes", "Parquet bytes", "delivered to"]
    lines = [
        [
            window.id,
            f"{len(window.files)}",
            f"{len(parquets[window.id].rows):,}",
            f"{len(parquets[window.id].columns)}",
            f"{sum(len(file.body) for file in window.files):,}",
            f"{len(delivered[window.id]):,}",
            f"s3://{publisher.BUCKET}/{publisher.PREFIX}/output/{window.object_name}",
        ]
        for window in windows
    ]
    return table(head, lines, numbers={1, 2, 3, 4, 5})


def excerpt(world: World, window: Window, body: bytes) -> str:
    """The first rows in which something stands under each of a few columns, as DuckDB reads them."""
    path = Path(world.cloud.folder, "excerpt.parquet")
    path.write_bytes(body)
    with duckdb.connect() as db:
        found = db.execute(
            "SELECT zip_code, city, state, county, latitude, longitude FROM read_parquet(?) WHERE zip_code IS NOT NULL LIMIT ?",
            [str(path), SHOWN_ROWS],
        )
        head = [column[0] for column in found.description]
        rows = [["" if value is None else str(value) for value in row] for row in found.fetchall()]
    heading = f"A few rows of {window.object_name}, some of its columns, read by DuckDB:"
    return f"{dim(heading)}\n{table(head, rows, numbers={4, 5})}"


FURTHER = textwrap.dedent(f"""\
    {bold("To look further")}
      just local     the same cloud, staying up, with the commands to publish files of your own
      just test      all tests, with this pipeline's among them
      README.md      what happens to a file, and how to deploy to AWS""")


if __name__ == "__main__":
    main()
