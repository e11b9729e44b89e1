"""Real CSV data (`data/`), cut into files whose names are times over ten minutes, and the messages that announce them."""

import csv
import io
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

DATA = Path(__file__).resolve().parent / "data"


@dataclass(frozen=True)
class File:
    """A file as published. What its name means is written beside it by hand, not worked out by what is under test."""

    name: str
    time: datetime
    body: bytes


def files() -> list[File]:
    return [File(name, utc(time), slice_of(dataset, part, of)) for name, time, (dataset, part, of) in CUTS]


# One message each: files of one window in several messages, messages out of order, one file announced twice in two
# messages and one twice in a single message. Numbers are places in CUTS.
MESSAGES = [
    [15, 2, 8, 11],
    [0, 5, 10, 7],
    [1, 9, 3, 1, 12],
    [4, 6, 13, 10, 14],
]

# A name, what it means, and which part of which dataset. A name without offset is in UTC, the default.
CUTS = [
    ("2021-01-1T12:00:00-06:00.csv", "2021-01-01T18:00:00Z", ("airports", 0, 4)),
    ("2021-01-1T12:01:31-06:00.csv", "2021-01-01T18:01:31Z", ("weather", 0, 3)),
    ("2021-01-01T18:02:03.csv", "2021-01-01T18:02:03Z", ("zipcodes", 0, 5)),
    ("20210101T180215.250Z.csv", "2021-01-01T18:02:15.250Z", ("birdstrikes", 0, 4)),
    ("2021-001T18:03:00,5Z.csv", "2021-01-01T18:03:00.500Z", ("airports", 1, 4)),
    ("2021-01-01T19:04+01.csv", "2021-01-01T18:04:00Z", ("zipcodes", 1, 5)),
    ("2021-01-01T18:04:59.999Z.csv", "2021-01-01T18:04:59.999Z", ("weather", 1, 3)),
    ("2021-01-01T12:05:00-0600.csv", "2021-01-01T18:05:00Z", ("birdstrikes", 1, 4)),
    ("2020-W53-5T18:05:30Z.csv", "2021-01-01T18:05:30Z", ("zipcodes", 2, 5)),
    ("2021-1-1T8:06:07-10:00.csv", "2021-01-01T18:06:07Z", ("airports", 2, 4)),
    ("2021-01-01T23:37:00+05:30.csv", "2021-01-01T18:07:00Z", ("weather", 2, 3)),
    ("20210101T1808Z.csv", "2021-01-01T18:08:00Z", ("zipcodes", 3, 5)),
    ("2021-01-01T18:08:60Z.csv", "2021-01-01T18:08:59Z", ("birdstrikes", 2, 4)),
    ("2021-01-01T18:09:59.999999Z.csv", "2021-01-01T18:09:59.999999Z", ("airports", 3, 4)),
    ("2021-01-01T18:10:00Z.csv", "2021-01-01T18:10:00Z", ("birdstrikes", 3, 4)),
    ("2021-01-01T18:10:00.000001Z.csv", "2021-01-01T18:10:00.000001Z", ("zipcodes", 4, 5)),
]


def utc(text: str) -> datetime:
    # fromisoformat reads `Z`, and other than 3 or 6 digits of fraction, from Python 3.11 on only.
    six_digits = re.sub(r"\.\d+", lambda fraction: fraction[0].ljust(7, "0"), text)
    return datetime.fromisoformat(six_digits.replace("Z", "+00:00"))


def slice_of(dataset: str, part: int, of: int) -> bytes:
    """One of so many equal parts of a dataset, each with the header."""
    header, *rows = csv.reader(io.StringIO((DATA / f"{dataset}.csv").read_text("utf-8"), newline=""))
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows[len(rows) * part // of : len(rows) * (part + 1) // of])
    return text.getvalue().encode()
