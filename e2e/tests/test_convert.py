"""Any CSV in, exact Parquet out: the code of `stage` and `merge` on local files, without a cloud.

What comes out is read by DuckDB and by PyArrow, which share nothing with what wrote it, and held against the text
of the CSV.
"""

import csv
import gzip
import io
import json
import random
import re
import subprocess
from dataclasses import dataclass
from datetime import date, datetime, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import oracle

ROOT = Path(__file__).resolve().parents[2]
CONVERT = ROOT / "target" / "debug" / "examples" / "convert"
DATA = ROOT / "e2e" / "data"
SPECTRUM = sorted((DATA / "csv-spectrum" / "csvs").glob("*.csv"))


@dataclass
class Converted:
    columns: list[str]
    types: list[str]
    rows: list[tuple]
    rejected: list[dict]
    said: list[str]
    """A line for each file, without its name."""


def run(folder: Path, *bodies: bytes, types: str = "") -> subprocess.CompletedProcess:
    files = [folder / f"{number}.csv" for number in range(len(bodies))]
    for file, body in zip(files, bodies):
        file.write_bytes(body)
    pins = ["--types", types] if types else []
    command = [CONVERT, *pins, *files, folder / "out.parquet"]
    return subprocess.run(list(map(str, command)), text=True, capture_output=True, timeout=60)


def convert(folder: Path, *bodies: bytes, types: str = "") -> Converted:
    result = run(folder, *bodies, types=types)
    assert result.returncode == 0, result.stderr
    path = folder / "out.parquet"
    seen = oracle.read_parquet(path.read_bytes(), folder)
    table = pq.read_table(path)
    assert table.column_names == seen.columns
    assert same_rows(by_arrow(table), seen.rows), "DuckDB and PyArrow read different rows"
    said = [line.partition(".csv: ")[2] for line in result.stdout.splitlines()[: len(bodies)]]
    return Converted(seen.columns, seen.types, seen.rows, [json.loads(line) for line in result.stderr.splitlines()], said)


def by_arrow(table: pa.Table) -> list[tuple]:
    return list(zip(*(column.to_pylist() for column in table.columns)))


def same_rows(one: list[tuple], other: list[tuple]) -> bool:
    # As text, since NaN is not equal to itself, and -0 is equal to 0.
    return [list(map(repr, map(plain, row))) for row in one] == [list(map(repr, map(plain, row))) for row in other]


def plain(value: object) -> object:
    """Instants in whichever form of UTC the reader gives them."""
    return value.astimezone(timezone.utc) if isinstance(value, datetime) and value.tzinfo else value


def assert_is(found: Converted, header: list[str], records: list[list[str]]) -> None:
    """Whether these are the values that the records' texts stand for."""
    assert found.columns == header
    assert len(found.rows) == len(records)
    for seen, wanted in zip(found.rows, records):
        for name, kind, value, text in zip(header, found.types, seen, wanted):
            assert oracle.same(kind, value, text), f"`{name}` ({kind}): {value!r} stands for {text!r}"


# Reading


@pytest.mark.parametrize("path", SPECTRUM, ids=lambda path: path.stem)
def test_csv_spectrum(path: Path, tmp_path: Path) -> None:
    wanted = json.loads((DATA / "csv-spectrum" / "json" / f"{path.stem}.json").read_text("utf-8"))
    if path.stem == "location_coordinates":
        # A row instead of a list of them, and another telephone number than in the CSV.
        wanted = [wanted | {"Contact Phone Number": "2095257564"}]
    found = convert(tmp_path, path.read_bytes())
    assert_is(found, list(wanted[0]), [list(row.values()) for row in wanted])
    assert found.rejected == []


HEADER, ROWS = ["id", "größe", "text"], [["1", "0.5", "añb"], ["2", "-3", 'c, "d"'], ["3", "", "e;\nf|\tg,"]]


def written(delimiter: str = ",", line_end: str = "\n", quoting: int = csv.QUOTE_MINIMAL) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator=line_end, quoting=quoting).writerows([HEADER, *ROWS])
    return out.getvalue()


@pytest.mark.parametrize(
    ("codec", "mark", "name"),
    [
        ("utf-8", b"", "utf-8"),
        ("utf-8", b"\xef\xbb\xbf", "utf-8"),
        ("utf-16-le", b"\xff\xfe", "utf-16le"),
        ("utf-16-be", b"\xfe\xff", "utf-16be"),
        ("windows-1252", b"", "windows-1252"),
    ],
    ids=["UTF-8", "UTF-8 with BOM", "UTF-16LE", "UTF-16BE", "Windows-1252"],
)
def test_encodings(codec: str, mark: bytes, name: str, tmp_path: Path) -> None:
    found = convert(tmp_path, mark + written().encode(codec))
    assert_is(found, HEADER, ROWS)
    assert f", {name}, " in found.said[0]


def test_what_windows_1252_alone_has(tmp_path: Path) -> None:
    found = convert(tmp_path, b"a\n\x80\x93\xe9\x94\n")
    assert found.rows == [("€“é”",)]


def test_the_first_byte_that_is_not_utf_8_may_be_far_behind(tmp_path: Path) -> None:
    rows = [[str(number), "x" * 50] for number in range(100_000)] + [["100000", "é"]]
    body = "a,b\n" + "".join(f"{one},{other}\n" for one, other in rows)
    found = convert(tmp_path, body.encode("windows-1252"))
    assert_is(found, ["a", "b"], rows)
    assert ", windows-1252, " in found.said[0]


def members(body: bytes) -> bytes:
    return b"".join(gzip.compress(body[at : at + 20]) for at in range(0, len(body), 20))


@pytest.mark.parametrize(
    "pack",
    [gzip.compress, members, lambda body: pa.Codec("zstd").compress(body, asbytes=True)],
    ids=["gzip", "gzip, several members", "zstd"],
)
@pytest.mark.parametrize("codec", ["utf-8", "utf-16"])
def test_compression_is_known_by_content(pack, codec: str, tmp_path: Path) -> None:
    assert_is(convert(tmp_path, pack(written().encode(codec))), HEADER, ROWS)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"], ids=["comma", "semicolon", "tab", "pipe"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL], ids=["few quotes", "all quoted"])
def test_dialects(delimiter: str, line_end: str, quoting: int, tmp_path: Path) -> None:
    found = convert(tmp_path, written(delimiter, line_end, quoting).encode())
    assert_is(found, HEADER, ROWS)
    assert f"delimiter {json.dumps(delimiter)}" in found.said[0].replace("'", '"')


def test_a_delimiter_is_looked_for_outside_quotes(tmp_path: Path) -> None:
    body = b'"a,b,c,d";"e,f,g"\n"1,2,3,4";5\n"1,2,3,4";6\n'
    found = convert(tmp_path, body)
    assert found.columns == ["a,b,c,d", "e,f,g"]
    assert found.rows == [("1,2,3,4", 5), ("1,2,3,4", 6)]


def test_blank_lines_and_no_newline_at_the_end(tmp_path: Path) -> None:
    assert convert(tmp_path, b"\n\na,b\n\n1,2\r\n\r\n\n3,4").rows == [(1, 2), (3, 4)]


def test_a_quoted_empty_field_is_a_row(tmp_path: Path) -> None:
    assert convert(tmp_path, b'a\n1\n""\n\n2\n').rows == [(1,), (None,), (2,)]


def test_a_header_alone(tmp_path: Path) -> None:
    found = convert(tmp_path, b"a,b\n")
    assert (found.columns, found.rows) == (["a", "b"], [])


@pytest.mark.parametrize("body", [b"", b"\n\n", b"\xef\xbb\xbf", gzip.compress(b"")], ids=["0 bytes", "blank", "BOM", "gzip"])
def test_an_empty_file_adds_nothing(body: bytes, tmp_path: Path) -> None:
    found = convert(tmp_path, body, b"a\n1\n", body)
    assert (found.columns, found.rows) == (["a"], [(1,)])
    assert [line.split(",")[0] for line in found.said] == ["0 rows", "1 rows", "0 rows"]


def test_names(tmp_path: Path) -> None:
    found = convert(tmp_path, b' a ,,A,"b\nc",a_2,\n1,2,3,4,5,6\n')
    assert [name.lower() for name in found.columns] == [name.lower() for name in dict.fromkeys(found.columns)]
    assert len({name.lower() for name in found.columns}) == 6
    assert found.columns[:2] == ["a", "column_2"]
    assert found.rows == [(1, 2, 3, 4, 5, 6)]


def test_files_are_united_by_name(tmp_path: Path) -> None:
    found = convert(tmp_path, b"a,b\n1,x\n", b"B,c\ny,2.5\n", b"c,A\n3,4\n")
    assert found.columns == ["a", "b", "c"]
    assert found.rows == [(1, "x", None), (None, "y", 2.5), (4, None, 3.0)]


def test_rejected_rows(tmp_path: Path) -> None:
    body = 'a,b\n1,2\n3\n"é\n",5,6\n7,8\n"9,10\n11,12\n'
    found = convert(tmp_path, body.encode())
    assert found.rows == [(1, 2), (7, 8), (11, 12)]
    raw = ["3", '"é\n",5,6', '"9,10']
    codes = ["TooFewFields", "TooManyFields", "UnclosedQuote"]
    assert [row["code"] for row in found.rejected] == codes
    assert [row["raw"] for row in found.rejected] == raw
    assert [row["line"] for row in found.rejected] == [3, 4, 7]
    assert [row["byte_offset"] for row in found.rejected] == [body.encode().find(text.encode()) for text in raw]
    assert all(row["message"] for row in found.rejected)


@pytest.mark.parametrize(
    ("body", "evidence"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "binary"),
        (b"PK\x03\x04\x14\0\x06\0", "binary"),
        (b"PAR1\x15\x04\x15\0", "binary"),
        (b"<!DOCTYPE html>\n<html><body>503</body></html>\n", "markup"),
        (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>', "markup"),
        (b'{"error": "no such export"}\n', "JSON"),
        (b"a,b\n" + b"x\n" * 60 + b"1,2\n" * 40, "60 of the first 100 records cannot be read, the first at line 2"),
        (gzip.compress(b"a,b\n1,2\n" * 999)[:-20], "damaged or incomplete compression"),
        (b"\xff\xfea\0,\0b", "utf-16"),
    ],
    ids=["PNG", "ZIP", "Parquet", "HTML", "XML", "JSON", "mostly unreadable", "cut gzip", "cut UTF-16"],
)
def test_what_is_no_csv_is_rejected_whole(body: bytes, evidence: str, tmp_path: Path) -> None:
    result = run(tmp_path, body)
    assert result.returncode != 0
    assert "0.csv" in result.stderr and evidence.lower() in result.stderr.lower(), result.stderr
    assert not (tmp_path / "out.parquet").exists()


# Types


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        ("true False TRUE", "BOOLEAN"),
        ("true 1", "VARCHAR"),
        ("yes no", "VARCHAR"),
        ("0 -1 9223372036854775807 -9223372036854775808", "BIGINT"),
        ("9223372036854775808", "VARCHAR"),
        ("1 01", "VARCHAR"),
        ("+1", "VARCHAR"),
        ("-0", "DOUBLE"),
        ("1 1.50 1e5 .5 -0 NaN 123456789.125", "DOUBLE"),
        ("0.1 12345678901234567890", "VARCHAR"),
        ("0.1 9007199254740993", "VARCHAR"),
        ("1.2345678901234567890", "VARCHAR"),
        ("1. 2", "VARCHAR"),
        ("Infinity 1.5", "VARCHAR"),
        ("0x10", "VARCHAR"),
        ("1_000", "VARCHAR"),
        ("0001-01-01 2024-02-29 9999-12-31", "DATE"),
        ("2023-02-29", "VARCHAR"),
        ("2024-1-1", "VARCHAR"),
        ("2024-02-29T12:34:56Z 2024-02-29T12:34:56.000001+05:30 2024-02-29T12:34-0800", "TIMESTAMP WITH TIME ZONE"),
        ("2024-02-29T12:34:56 2024-02-29T12:34:56.5", "TIMESTAMP"),
        ("2024-02-29T12:34:56Z 2024-02-29T12:34:56", "VARCHAR"),
        ("2024-02-29T12:34:56.1234567Z", "VARCHAR"),
        ("2024-02-29T24:00:00Z", "VARCHAR"),
        ("2024-02-29 2024-02-29T00:00:00", "VARCHAR"),
        ("1 NA N/A #N/A NULL null nan 2", "BIGINT"),
        ("NA x", "VARCHAR"),
        ("NA null", "VARCHAR"),
        ("1 nil", "VARCHAR"),
    ],
)
def test_the_narrowest_type_that_renders_every_value(texts: str, kind: str, tmp_path: Path) -> None:
    values = texts.split()
    # In each order, as the first values shall not decide.
    for order in (values, values[::-1]):
        found = convert(tmp_path, "".join(f"{line}\n" for line in ["t", *order]).encode())
        assert found.types == [kind]
        assert_is(found, ["t"], [[text] for text in order])


def test_doubles_are_the_same_bits_as_pythons(tmp_path: Path) -> None:
    chance = random.Random(7)
    values = [chance.random() * 10 ** chance.randint(-320, 300) for _ in range(2_000)]
    # Half way between two shortest decimals.
    values += [chance.randrange(2**53) / 8 for _ in range(2_000)]
    found = convert(tmp_path, "".join(f"{text}\n" for text in ["t", *map(repr, values)]).encode())
    assert found.types == ["DOUBLE"]
    assert [value for (value,) in found.rows] == values


@pytest.mark.parametrize("odd", ["x", "0.5", "01", "1e3", "2024-01-01"])
def test_a_value_of_another_type_far_behind(odd: str, tmp_path: Path) -> None:
    values = [str(number) for number in range(200_000)]
    values[150_000] = odd
    found = convert(tmp_path, "".join(f"{text}\n" for text in ["t", *values]).encode())
    assert found.types == ["DOUBLE" if odd in ("0.5", "1e3") else "VARCHAR"]
    assert_is(found, ["t"], [[text] for text in values])


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        (["1.50 NA 1e2", "x"], "VARCHAR"),
        (["true TRUE null", "2"], "VARCHAR"),
        (["2024-01-02 03:04 2024-01-02T03:04:05.100Z".replace(" 03", "T03") + "+00:00", "never"], "VARCHAR"),
        (["1 2", "2.5 3.50"], "DOUBLE"),
        (["9007199254740993", "2.5"], "VARCHAR"),
        (["NA", "7"], "BIGINT"),
        (["NA", "x"], "VARCHAR"),
        (["2024-01-02", "2024-01-02T00:00:00"], "VARCHAR"),
    ],
)
def test_files_that_disagree_are_merged_as_what_stood_in_each(files: list[str], kind: str, tmp_path: Path) -> None:
    bodies = ["".join(f"{text}\n" for text in ["t", *texts.split()]).encode() for texts in files]
    found = convert(tmp_path, *bodies)
    assert found.types == [kind]
    assert_is(found, ["t"], [[text] for texts in files for text in texts.split()])


def test_pins(tmp_path: Path) -> None:
    body = b"id,at,day\n007,2024-01-02T03:04:05Z,2024-01-02\n8,noon,2024-01-03\nNA,2024-01-02T03:04:06Z,3\n"
    found = convert(tmp_path, body, types="ID=string,at=timestamp,day=date")
    assert found.types == ["VARCHAR", "TIMESTAMP WITH TIME ZONE", "DATE"]
    assert found.rows == [("007", datetime(2024, 1, 2, 3, 4, 5, tzinfo=timezone.utc), date(2024, 1, 2))]
    assert [(row["code"], row["line"]) for row in found.rejected] == [("TypeMismatch", 3), ("TypeMismatch", 4)]
    assert "`at`" in found.rejected[0]["message"] and "noon" in found.rejected[0]["message"]


@pytest.mark.parametrize("name", ["airports", "birdstrikes", "weather", "zipcodes"])
def test_real_files_in_any_number_of_parts(name: str, tmp_path: Path) -> None:
    body = (DATA / f"{name}.csv").read_bytes()
    header, *records = csv.reader(io.StringIO(body.decode(), newline=""))
    assert_is(convert(tmp_path, body), header, records)
    # No field of these has a newline.
    first, *lines = body.splitlines(keepends=True)
    parts = [first + b"".join(lines[at : at + 700]) for at in range(0, len(lines), 700)]
    assert_is(convert(tmp_path, *parts), header, records)


def test_the_last_lines_say_how_long_it_took(tmp_path: Path) -> None:
    *_, stage, merge = run(tmp_path, b"a\n1\n").stdout.splitlines()
    assert re.fullmatch(r"stage \d+\.\d{3} s", stage) and re.fullmatch(r"merge \d+\.\d{3} s", merge)
