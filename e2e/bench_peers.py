"""What `bench.py` measures Windrow against: `bench_peers.py TOOL JOB`, a process for each measurement.

Every tool does Windrow's job: all files in their order into one Parquet file, compressed by zstd at level 1,
an empty field being null. Each is told every column's name and type: it need not find them out, as Windrow
does, and loses nothing by getting them wrong. Nothing but the tool that is measured is imported.

Of the ways that a tool's documentation names, the quickest was taken, by trying them on these data sets.
"""

import json
import os
import sys
from typing import Any

# Rows that PyArrow gathers for a row group when it streams; about as many as DuckDB takes by default.
GROUP = 128 * 1024


def main() -> None:
    tool, job_file = sys.argv[1:]
    with open(job_file, encoding="utf-8") as file:
        TOOLS[tool](**json.load(file))


Types = dict[str, str]


def duckdb(inputs: list[str], types: Types, output: str, threads: int) -> None:
    """`COPY … TO` out of `read_csv` over a pattern. The order of rows is kept, as by default.

    All columns and the dialect are given, so that no file is sniffed. Version 2 of Parquet is smaller than
    the default, and for numbers quicker to write.
    """
    import duckdb

    def quoted(text: str) -> str:
        return "'" + text.replace("'", "''") + "'"

    columns = ", ".join(f"{quoted(name)}: {quoted(kind)}" for name, kind in types.items())
    # The pattern of a folder's files is one string where the list of thousands is a long statement.
    files = quoted(inputs[0] if len(inputs) == 1 else os.path.join(os.path.dirname(inputs[0]), "*.csv"))
    with duckdb.connect() as db:
        db.execute(f"SET threads = {threads}")
        db.execute(
            f"COPY (SELECT * FROM read_csv({files}, columns = {{{columns}}}, auto_detect = false, "
            f"header = true, delim = ',', quote = '\"', escape = '\"')) TO {quoted(output)} "
            f"(FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
        )


def polars(inputs: list[str], types: Types, output: str, threads: int) -> None:
    """`scan_csv` into `sink_parquet`, streaming.

    Times are read by expressions with an explicit format: quicker than `try_parse_dates`, and than a schema
    which names them as times.
    """
    # It is read when Polars is imported.
    os.environ["POLARS_MAX_THREADS"] = str(threads)
    import polars

    read = {"BIGINT": polars.Int64, "DOUBLE": polars.Float64, "BOOLEAN": polars.Boolean}
    formats = {
        "DATE": lambda text: text.str.to_date("%Y-%m-%d"),
        "TIMESTAMP": lambda text: text.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us"),
        "TIMESTAMP WITH TIME ZONE": lambda text: text.str.to_datetime(
            "%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC"
        ),
    }
    rows = polars.scan_csv(
        inputs, schema={name: read.get(kind, polars.String) for name, kind in types.items()}
    )
    times = [formats[kind](polars.col(name)) for name, kind in types.items() if kind in formats]
    rows.with_columns(times).sink_parquet(output, compression="zstd", compression_level=1, engine="streaming")


def pyarrow(inputs: list[str], types: Types, output: str, threads: int) -> None:
    """`read_csv`, then `write_table`: all rows in memory. A dataset uses threads as well, but is slower."""
    import pyarrow
    from pyarrow import csv

    options = csv_options(pyarrow, csv, types, threads, 1)
    table = pyarrow.concat_tables([csv.read_csv(file, **options) for file in inputs])
    with parquet_writer(table.schema, types, output) as writer:
        writer.write_table(table)


def pyarrow_streaming(inputs: list[str], types: Types, output: str, threads: int) -> None:
    """`open_csv`, whose batches are gathered: written as they come, each would be a row group of its own."""
    import pyarrow
    from pyarrow import csv

    options = csv_options(pyarrow, csv, types, threads, 8)
    schema = arrow_schema(pyarrow, types)
    held: list[Any] = []
    rows = 0
    with parquet_writer(schema, types, output) as writer:
        for file in inputs:
            for batch in csv.open_csv(file, **options):
                held.append(batch)
                rows += len(batch)
                if rows >= GROUP:
                    writer.write_table(pyarrow.Table.from_batches(held))
                    held, rows = [], 0
        if held:
            writer.write_table(pyarrow.Table.from_batches(held))


def csv_options(arrow: Any, csv: Any, types: Types, threads: int, block_mib: int) -> dict[str, Any]:
    arrow.set_cpu_count(threads)
    return {
        "read_options": csv.ReadOptions(use_threads=threads > 1, block_size=block_mib << 20),
        "convert_options": csv.ConvertOptions(
            column_types=arrow_schema(arrow, types), null_values=[""], strings_can_be_null=True
        ),
    }


def arrow_schema(arrow: Any, types: Types) -> Any:
    kinds = {
        "VARCHAR": arrow.string(),
        "BIGINT": arrow.int64(),
        "DOUBLE": arrow.float64(),
        "BOOLEAN": arrow.bool_(),
        "DATE": arrow.date32(),
        "TIMESTAMP": arrow.timestamp("us"),
        "TIMESTAMP WITH TIME ZONE": arrow.timestamp("us", "UTC"),
    }
    return arrow.schema([(name, kinds[kind]) for name, kind in types.items()])


def parquet_writer(schema: Any, types: Types, output: str) -> Any:
    """Dictionaries for text only, numbers split by bytes: quicker than dictionaries for all, the default."""
    from pyarrow import parquet

    return parquet.ParquetWriter(
        output,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=[name for name, kind in types.items() if kind == "VARCHAR"],
        use_byte_stream_split=[name for name, kind in types.items() if kind in ("BIGINT", "DOUBLE")],
    )


def import_only(module: str) -> None:
    """What a process costs that only imports the tool."""
    if module == "pyarrow":
        import pyarrow.csv
        import pyarrow.parquet  # noqa: F401
    else:
        __import__(module)


TOOLS = {
    "duckdb": duckdb,
    "polars": polars,
    "pyarrow": pyarrow,
    "pyarrow-streaming": pyarrow_streaming,
    "import": import_only,
}


if __name__ == "__main__":
    main()
