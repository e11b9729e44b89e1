"""What must be in the Parquet object of each window, worked out from the CSV files with Python's own means.

Nothing here is shared with the product: it would agree with its mistakes.
"""

import csv
import io
import json
import math
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import duckdb

from samples import File, utc

# Null where the column is not text; text where it is.
NULL_WORDS = ("NA", "N/A", "#N/A", "NULL", "null", "nan")


@dataclass
class Window:
    """The files of one window, in the order of their rows: by time, then by key."""

    start: datetime
    minutes: int
    files: list[File]

    @property
    def id(self) -> str:
        return self.start.strftime("%Y%m%dT%H%M%SZ")

    @property
    def object_name(self) -> str:
        return f"ms-{self.id}.parquet"


def windows(files: list[File], minutes: int = 5) -> list[Window]:
    by_start: dict[datetime, list[File]] = {}
    for file in files:
        time = file.time.astimezone(timezone.utc)
        start = time.replace(minute=time.minute - time.minute % minutes, second=0, microsecond=0)
        by_start.setdefault(start, []).append(file)
    ordered = sorted(by_start.items())
    return [Window(start, minutes, sorted(group, key=lambda f: (f.time, f.name))) for start, group in ordered]


def rows_of(file: File) -> tuple[list[str], list[list[str]]]:
    header, *rows = csv.reader(io.StringIO(file.body.decode("utf-8-sig"), newline=""))
    return header, rows


def expected(window: Window) -> tuple[list[str], list[tuple[str | None, ...]]]:
    """The columns in order of first appearance, and each row's text under them: None where its file has no such column."""
    columns = list(dict.fromkeys(name for file in window.files for name in rows_of(file)[0]))
    rows = []
    for file in window.files:
        header, records = rows_of(file)
        rows += [tuple(dict(zip(header, record)).get(name) for name in columns) for record in records]
    return columns, rows


@dataclass
class Parquet:
    columns: list[str]
    types: list[str]
    rows: list[tuple]
    metadata: dict[str, object]


def read_parquet(body: bytes, folder: Path) -> Parquet:
    path = folder / "read.parquet"
    path.write_bytes(body)
    with duckdb.connect() as db:
        # Instants shall come back as UTC, whatever this machine's own zone.
        db.execute("SET TimeZone = 'UTC'; SET threads = 1; SET preserve_insertion_order = true")
        described = db.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
        rows = db.execute("SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
        metadata = db.execute("SELECT key, value FROM parquet_kv_metadata(?)", [str(path)]).fetchall()
    ours = {key.decode(): json.loads(value) for key, value in metadata if key.startswith(b"windrow.")}
    return Parquet([d[0] for d in described], [d[1] for d in described], rows, ours)


def differences(window: Window, parquet: Parquet, at_most: int = 10) -> list[str]:
    """In words, where the object is not what its files say: columns, number and order of rows, values."""
    columns, rows = expected(window)
    if parquet.columns != columns:
        return [f"columns are {parquet.columns}, not {columns}"]
    found = []
    if len(parquet.rows) != len(rows):
        found.append(f"{len(parquet.rows)} rows, not {len(rows)}")
    for number, (seen, wanted) in enumerate(zip(parquet.rows, rows)):
        for column, kind, value, text in zip(columns, parquet.types, seen, wanted):
            if not same(kind, value, text):
                found.append(f"row {number}, `{column}` ({kind}): {value!r} stands for {text!r}")
        if len(found) >= at_most:
            break
    return found


def same(kind: str, value: object, text: str | None) -> bool:
    """Whether a value of a column of that type is what the CSV's text says."""
    if not text:
        return value is None
    if kind == "VARCHAR":
        return value == text
    if text in NULL_WORDS:
        return value is None
    if value is None:
        return False
    if kind == "BOOLEAN":
        return value == {"true": True, "false": False}[text.lower()]
    if kind == "BIGINT":
        return value == int(text)
    if kind == "DOUBLE":
        return value == float(text) or (math.isnan(value) and text == "NaN")
    if kind == "DATE":
        return value == date.fromisoformat(text)
    if kind in ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE"):
        return value == utc(text)
    raise AssertionError(f"no CSV value has the type {kind}")


def lineage(window: Window, prefix: str) -> list[dict]:
    """What each file's entry in the lineage must hold, as far as the files tell."""
    return [
        {"key": f"{prefix}/input/{file.name}", "rows": len(rows_of(file)[1]), "rejected_rows": 0, "bytes": len(file.body)}
        for file in window.files
    ]


def window_metadata(window: Window) -> dict:
    def text(time: datetime) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ")

    end = window.start + timedelta(minutes=window.minutes)
    return {"id": window.id, "start": text(window.start), "end": text(end), "minutes": window.minutes}
