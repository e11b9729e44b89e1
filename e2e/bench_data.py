"""The data that `bench.py` measures with: `bench_data.py SET full|quick FOLDER` writes one set.

The same bytes each time. Standard library only, and a process of its own, so that its memory does not count
as that of what is measured.
"""

import csv
import io
import itertools
import random
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

REAL = Path(__file__).resolve().parent / "data" / "birdstrikes.csv"


@dataclass(frozen=True)
class Dataset:
    what: str
    """In a few words, for the report."""
    types: dict[str, str]
    """Each column's type by the contract, in DuckDB's words: worked out by hand, not by what is measured."""
    write: Callable[[Path, bool], None]
    """Into that folder; whether it shall be about 20 times smaller."""


def main() -> None:
    name, size, folder = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    DATASETS[name].write(Path(folder), size == "quick")


INVENTORY = {
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "account_id": "VARCHAR",
    "region": "VARCHAR",
    "service": "VARCHAR",
    "resource_id": "VARCHAR",
    "state": "VARCHAR",
    "cpu_pct": "DOUBLE",
    "mem_bytes": "BIGINT",
    "net_in": "BIGINT",
    "net_out": "BIGINT",
    "cost_usd": "DOUBLE",
    "public": "BOOLEAN",
    "tag_name": "VARCHAR",
}


def inventory_rows(rows: int, seed: int) -> Iterator[list[object]]:
    """What a cloud inventory lists: identifiers, few different words, measurements."""
    chance = random.Random(seed)
    start = datetime(2021, 1, 1, 18)
    for i in range(rows):
        yield [
            (start + timedelta(milliseconds=3 * i)).isoformat(timespec="milliseconds") + "Z",
            "%012d" % chance.randrange(10**12),
            chance.choice(["us-east-1", "us-west-2", "eu-west-1", "ap-southeast-2"]),
            chance.choice(["ec2", "rds", "lambda", "s3", "ecs"]),
            "i-%017x" % chance.randrange(16**17),
            chance.choice(["running", "stopped", "pending"]),
            "%.2f" % (chance.random() * 100),
            chance.randrange(2**34),
            chance.randrange(10**9),
            chance.randrange(10**9),
            "%.6f" % (chance.random() * 2),
            chance.choice(["true", "false"]),
            chance.choice(["web, prod", 'db "primary"', "worker", "", ""]),
        ]


def write_inventory(folder: Path, quick: bool) -> None:
    rows, repeat = (20_000, 5) if quick else (200_000, 10)
    write_repeated(folder / "inventory.csv", INVENTORY, inventory_rows(rows, seed=7), repeat)


def write_repeated(path: Path, header: Iterable[str], rows: Iterable[list[object]], repeat: int) -> None:
    body = io.StringIO(newline="")
    csv.writer(body).writerows(rows)
    with path.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerow(header)
        for _ in range(repeat):
            out.write(body.getvalue())


def write_many(folder: Path, quick: bool) -> None:
    files, rows_each = 100 if quick else 2000, 140
    rows = inventory_rows(files * rows_each, seed=8)
    for number in range(files):
        # So named that the order of names is the order of files, for tools that take a pattern.
        with (folder / f"{number:05}.csv").open("w", newline="", encoding="utf-8") as out:
            writer = csv.writer(out)
            writer.writerow(INVENTORY)
            writer.writerows(itertools.islice(rows, rows_each))


WORDS = """
    the of and to in is it for on with as at by from that this rain field river stone window harvest market
    engine station morning signal letter garden copper silver winter summer road bridge north south east west
    open closed slowly quickly never always perhaps report number value column table naïve café Zürich São
    東京 Ελλάδα
""".split()


def some_int(chance: random.Random, row: int) -> str:
    return str(chance.randrange(-(10**6), 10**9))


def some_float(chance: random.Random, row: int) -> str:
    return "%.4f" % (chance.random() * 1000)


def some_word(chance: random.Random, row: int) -> str:
    return chance.choice(WORDS) + chance.choice(["", "-a", "-b", "-c"])


def some_instant(chance: random.Random, row: int) -> str:
    time = datetime(2024, 3, 1) + timedelta(seconds=row, milliseconds=chance.randrange(1000))
    return time.isoformat(timespec="milliseconds") + "Z"


def some_reading(chance: random.Random, row: int) -> str:
    return str(datetime(2023, 11, 5) + timedelta(seconds=chance.randrange(10**7)))


def some_date(chance: random.Random, row: int) -> str:
    return str(date(2000, 1, 1) + timedelta(days=chance.randrange(9000)))


def some_code(chance: random.Random, row: int) -> str:
    return "%06d" % chance.randrange(10**5)


def rarely_int(chance: random.Random, row: int) -> str:
    return str(chance.randrange(1000)) if chance.random() < 0.05 else ""


def often_float(chance: random.Random, row: int) -> str:
    return repr(chance.gauss(0, 1)) if chance.random() < 0.7 else ""


def nothing(chance: random.Random, row: int) -> str:
    return ""


# Ten kinds, fifty columns of each.
WIDE_KINDS = [
    ("int", "BIGINT", some_int),
    ("float", "DOUBLE", some_float),
    ("word", "VARCHAR", some_word),
    ("instant", "TIMESTAMP WITH TIME ZONE", some_instant),
    ("rare", "BIGINT", rarely_int),
    ("code", "VARCHAR", some_code),
    ("often", "DOUBLE", often_float),
    ("reading", "TIMESTAMP", some_reading),
    ("date", "DATE", some_date),
    ("nothing", "VARCHAR", nothing),
]
WIDE = [(f"{name}_{number}", kind, make) for number in range(50) for name, kind, make in WIDE_KINDS]


def write_wide(folder: Path, quick: bool) -> None:
    chance = random.Random(9)
    rows = ([make(chance, row) for _, _, make in WIDE] for row in range(950 if quick else 19_000))
    write_plain(folder / "wide.csv", [name for name, _, _ in WIDE], rows)


def write_plain(path: Path, header: list[str], rows: Iterable[list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


TEXT = {
    "id": "VARCHAR",
    "title": "VARCHAR",
    "body": "VARCHAR",
    "url": "VARCHAR",
    "referrer": "VARCHAR",
    "tag": "VARCHAR",
    "author": "VARCHAR",
    "comment": "VARCHAR",
    "session": "VARCHAR",
    "votes": "BIGINT",
}


def sentence(chance: random.Random, words: int) -> str:
    """Words with commas, now and then one in quotes. No line end: not every tool reads those by default."""
    return " ".join(said(chance.choice(WORDS), chance.random()) for _ in range(words)).capitalize() + "."


def said(word: str, how: float) -> str:
    if how < 0.1:
        return word + ","
    return f'"{word}"' if how < 0.13 else word


def url(chance: random.Random) -> str:
    path = "/".join(chance.choices(WORDS[:40], k=3))
    return f"https://www.example.com/{path}?page={chance.randrange(10**6)}&from={chance.choice(WORDS[:40])}"


def text_rows(rows: int) -> Iterator[list[object]]:
    chance = random.Random(10)
    for _ in range(rows):
        yield [
            str(uuid.UUID(int=chance.getrandbits(128), version=4)),
            sentence(chance, 5),
            sentence(chance, chance.randrange(10, 40)),
            url(chance),
            url(chance) if chance.random() < 0.5 else "",
            chance.choice(WORDS),
            f"{chance.choice(WORDS)} {chance.choice(WORDS)}",
            sentence(chance, 8) if chance.random() < 0.6 else "",
            str(uuid.UUID(int=chance.getrandbits(128), version=4)),
            chance.randrange(1000),
        ]


def write_text(folder: Path, quick: bool) -> None:
    write_plain(folder / "text.csv", list(TEXT), text_rows(18_500 if quick else 370_000))


BIRDSTRIKES = {
    "Airport Name": "VARCHAR",
    "Aircraft Make Model": "VARCHAR",
    "Effect Amount of damage": "VARCHAR",
    "Flight Date": "DATE",
    "Aircraft Airline Operator": "VARCHAR",
    "Origin State": "VARCHAR",
    "Phase of flight": "VARCHAR",
    "Wildlife Size": "VARCHAR",
    "Wildlife Species": "VARCHAR",
    "Time of day": "VARCHAR",
    "Cost Other": "BIGINT",
    "Cost Repair": "BIGINT",
    "Cost Total $": "BIGINT",
    "Speed IAS in knots": "BIGINT",
}


def write_real(folder: Path, quick: bool) -> None:
    header, body = REAL.read_bytes().split(b"\n", 1)
    with (folder / "real.csv").open("wb") as out:
        out.write(header + b"\n")
        for _ in range(15 if quick else 306):
            out.write(body)


DATASETS = {
    "inventory": Dataset("a cloud inventory, 13 columns of every kind", INVENTORY, write_inventory),
    "many": Dataset("the same kind of rows in files of 20 kB", INVENTORY, write_many),
    "wide": Dataset(
        "500 columns: numbers, times, words, many empty", {name: kind for name, kind, _ in WIDE}, write_wide
    ),
    "text": Dataset("10 columns, nearly all text: sentences, URLs, UUIDs", TEXT, write_text),
    "real": Dataset("a real file, collisions of aircraft with birds, over and over", BIRDSTRIKES, write_real),
}


if __name__ == "__main__":
    main()
