"""Whether what `bench.py` measures is the same job: run on its own, it first makes sure that it would notice.

    bench_compare.py same WINDROW PEER READER     two Parquet files hold the same rows in the same order
    bench_compare.py exact SET WINDROW CSV…       Windrow's file is what the CSV files say, for a sample

Values are compared exactly, doubles bit for bit. Exits with the differences where there are any.
"""

import csv
import itertools
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import oracle
from bench_data import DATASETS

# Of so many rows one is compared with its CSV. A prime, so that it meets another part of what repeats.
EVERY = 997
# Rows that are held at a time.
CHUNK = 50_000


def main() -> None:
    what, *arguments = sys.argv[1:]
    test_itself()
    if what == "same":
        windrow, peer, reader = arguments
        found = differences(Path(windrow), Path(peer), reader)
    else:
        name, windrow, *files = arguments
        found = inexact(DATASETS[name].types, Path(windrow), [Path(file) for file in files])
    sys.exit("\n".join(found) or 0)


def differences(windrow: Path, peer: Path, reader: str) -> list[str]:
    """Where the two differ, in words: the first difference that is found, if any."""
    ours, theirs = tables(windrow, reader), tables(peer, reader)
    at = 0
    for mine, other in itertools.zip_longest(ours, theirs):
        if mine is None or other is None or len(mine) != len(other):
            return [f"the number of rows differs, from row {at} on"]
        if mine.column_names != other.column_names:
            return [f"columns are {other.column_names}, not {mine.column_names}"]
        for name in mine.column_names:
            row = first_difference(mine[name].combine_chunks(), other[name].combine_chunks())
            if row is not None:
                return [f"row {at + row}, `{name}`: {other[name][row]!r}, not {mine[name][row]!r}"]
        at += len(mine)
    return []


def tables(path: Path, reader: str) -> Iterator[pa.Table]:
    """The file's rows in order, so many at a time whatever its row groups are."""
    held, rows = [], 0
    for batch in batches(path, reader):
        held.append(batch)
        rows += len(batch)
        if rows >= CHUNK:
            table = pa.Table.from_batches(held)
            yield from (table.slice(at, CHUNK) for at in range(0, rows - rows % CHUNK, CHUNK))
            rest = table.slice(rows - rows % CHUNK)
            held, rows = rest.to_batches(), len(rest)
    if rows:
        yield pa.Table.from_batches(held)


def batches(path: Path, reader: str) -> Iterator[pa.RecordBatch]:
    if reader == "pyarrow":
        yield from pq.ParquetFile(path).iter_batches()
        return
    with connect() as db:
        yield from db.sql("SELECT * FROM read_parquet(?)", params=[str(path)]).to_arrow_reader(CHUNK)


def connect() -> duckdb.DuckDBPyConnection:
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'; SET threads = 1; SET preserve_insertion_order = true")
    return db


def first_difference(mine: pa.Array, other: pa.Array) -> int | None:
    # Text may come with offsets of 32 or 64 bits, a time in another unit. Where a value is lost, this raises.
    other = other.cast(mine.type)
    if pa.types.is_floating(mine.type):
        mine, other = mine.view(pa.int64()), other.view(pa.int64())
    if mine.equals(other):
        return None
    nulls_differ = pc.not_equal(mine.is_null(), other.is_null())
    differ = pc.or_(nulls_differ, pc.fill_null(pc.not_equal(mine, other), False))
    return pc.index(differ, True).as_py()


def inexact(types: dict[str, str], windrow: Path, files: list[Path], at_most: int = 5) -> list[str]:
    """Where the file is not what the CSV files say, as Python reads them, in words."""
    texts, rows = sample(files, list(types))
    path = str(windrow)
    with connect() as db:
        described = db.execute("DESCRIBE SELECT * FROM read_parquet(?)", [path]).fetchall()
        count = db.execute("SELECT count(*) FROM read_parquet(?)", [path]).fetchone()[0]
        values = db.execute(
            "SELECT * EXCLUDE file_row_number FROM read_parquet(?, file_row_number = true) "
            "WHERE file_row_number % ? = 0 ORDER BY file_row_number",
            [path, EVERY],
        ).fetchall()
    seen = {name: kind for name, kind, *_ in described}
    if seen != types or list(seen) != list(types):
        wrong = [f"`{name}`: {kind}" for name, kind in seen.items() if types.get(name) != kind]
        return [f"columns or types are not what the data holds: {', '.join(wrong[:at_most])}"]
    if count != rows or len(values) != len(texts):
        return [f"{count} rows ({len(values)} in the sample), not {rows} ({len(texts)})"]
    found = (
        f"row {number * EVERY}, `{name}` ({kind}): {value!r} stands for {text!r}"
        for number, (row, record) in enumerate(zip(values, texts, strict=True))
        for (name, kind), value, text in zip(types.items(), row, record, strict=True)
        if not exact(kind, value, text)
    )
    return list(itertools.islice(found, at_most))


def exact(kind: str, value: object, text: str) -> bool:
    if isinstance(value, float) and value.hex() != float(text or "nan").hex():
        return False
    return oracle.same(kind, value, text)


def sample(files: list[Path], header: list[str]) -> tuple[list[list[str]], int]:
    """Every so many-th row over all files, and how many rows there are."""
    kept, rows = [], 0
    for file in files:
        with file.open(newline="", encoding="utf-8") as text:
            reader = csv.reader(text)
            if next(reader) != header:
                sys.exit(f"{file} has another header than it should")
            for record in reader:
                if rows % EVERY == 0:
                    kept.append(record)
                rows += 1
    return kept, rows


def test_itself() -> None:
    """One changed value must be found, whatever its type: a comparison that finds nothing proves nothing."""
    columns = {
        "text": (["00501", "", None, "a"], "501"),
        "whole": ([1, -(2**63), None, 2**53 + 1], 2**53),
        "double": ([0.1, float("nan"), None, 0.0], -0.0),
        "flag": ([True, False, None, True], False),
    }
    table = pa.table({name: values for name, (values, _) in columns.items()})
    changed = [table.slice(0, 3), table.take([1, 0, 2, 3]), table.rename_columns(["a", "b", "c", "d"])]
    for at, (name, (values, other)) in enumerate(columns.items()):
        changed.append(table.set_column(at, name, pa.array([*values[:3], other])))
        changed.append(table.set_column(at, name, pa.array([*values[:2], other, values[3]])))
        changed.append(table.set_column(at, name, pa.array([values[0], None, *values[2:]])))
    with tempfile.TemporaryDirectory(prefix="windrow-bench-") as folder:
        right, wrong = Path(folder, "right.parquet"), Path(folder, "wrong.parquet")
        pq.write_table(table, right)
        for reader in ("duckdb", "pyarrow"):
            assert not differences(right, right, reader)
            for other in changed:
                pq.write_table(other, wrong)
                assert differences(right, wrong, reader), f"{reader} sees no difference to {other}"
    said = ["0.1", "", "-0.0"]
    assert [exact("DOUBLE", value, text) for value, text in zip([0.1, None, -0.0], said)] == [True] * 3
    assert [exact("DOUBLE", value, text) for value, text in zip([0.1 + 2**-56, 0.0, 0.0], said)] == [
        False
    ] * 3
    assert not exact("VARCHAR", "501", "00501")


if __name__ == "__main__":
    main()
