"""What merging a window costs, and delivering its object, in time and memory, from ten fragments to ten thousand and up to
gigabytes.

`stage`, `merge` and `deliver` as they are deployed, each a process of this machine, on s3s-fs: a local S3 server that is fast
enough not to be what is measured. Prints a table, and writes it to docs/merging.md. With --quick, only a try.
"""

import argparse
import contextlib
import itertools
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import boto3.s3.transfer
import botocore.config

import bench_data
import publisher
from cloud import REGION, end_process_group, forget_the_callers_aws
from function import Function
from progress import step
from publisher import BUCKET, PREFIX
from stack import ROOT

OURS = "windrow-bench"
KEY = "windrow-bench-key"
MIB = 1 << 20
PARTS = boto3.s3.transfer.TransferConfig(multipart_chunksize=64 * MIB)
SMALL_CSV = b"file,row,name\n" + b"".join(b"1,%d,name %d\n" % (row, row % 7) for row in range(20))
REPORT = ROOT / "docs" / "merging.md"
DELIVERED_HEAD = ["object", "time", "peak memory", "a MiB"]
HEAD = ["fragments", "read", "rows", "object", "time", "peak memory", "a fragment", "a MiB read"]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--server", type=Path, required=True, help="the program of e2e/s3")
    arguments.add_argument("--functions", type=Path, required=True, help="the folder with the release programs")
    arguments.add_argument("--quick", action="store_true", help="small windows, and no report")
    options = arguments.parse_args()
    forget_the_callers_aws()
    with contextlib.ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="windrow-bench-")))
        with step("Starting the servers"):
            s3, endpoint = serve(cleanup, options.server, folder)
            environment = settings(endpoint, serve_sts(cleanup), folder)
        bench = Bench(s3, options.functions, environment, folder)
        table = []
        for count in (10, 100) if options.quick else (10, 100, 1_000, 10_000):
            table.append(bench.row(count, SMALL_CSV))
        bench_data.write_inventory(folder, options.quick)
        (large,) = folder.glob("*.csv")
        for count in (1, 3) if options.quick else (1, 3, 9, 27):
            table.append(bench.row(count, large.read_bytes()))
        delivered = [bench.delivery(mib) for mib in ((1, 64) if options.quick else (1, 64, 512, 2_048, 5_120))]
    text = report(table, delivered)
    print(text)
    if not options.quick:
        REPORT.write_text(text)


class Bench:
    def __init__(self, s3, functions: Path, environment: dict[str, str], folder: Path) -> None:
        self._s3, self._functions, self._environment, self._folder = s3, functions, environment, folder
        self._start = datetime(2021, 1, 1, tzinfo=timezone.utc)

    def row(self, count: int, csv: bytes) -> list[str]:
        """Stages a file so many times in a window of its own, merges it, and says what that took."""
        self._start += timedelta(minutes=5)
        start, end = self._start, self._start + timedelta(minutes=5)
        window = {"id": f"{start:%Y%m%dT%H%M%SZ}", "start": utc(start), "end": utc(end), "minutes": 5}
        with step(f"Staging {count:,} files of {len(csv):,} bytes"), self._function("stage") as stage:
            staged = [self._staged(stage, window, start + timedelta(milliseconds=25 * i), i, csv) for i in range(count)]
        event = {"window": window, "closes_at": utc(end), "staged": staged[:1]}
        with step("Merging them"), self._function("merge") as merge:
            answer, seconds = merge.invoke(event)
            peak = merge.peak_bytes()
        assert answer["written"] and answer["inputs"] == count, answer
        size = self._s3.head_object(Bucket=OURS, Key=answer["key"])["ContentLength"]
        read = self._bytes_under(f"staging/{window['id']}/")
        rows = csv.count(b"\n") - 1
        for key in self._keys(f"staging/{window['id']}/"):
            self._s3.delete_object(Bucket=OURS, Key=key)
        self._s3.delete_object(Bucket=OURS, Key=answer["key"])
        return [
            f"{count:,}", f"{read / MIB:,.1f} MiB", f"{rows * count:,}", f"{size / MIB:,.1f} MiB", f"{seconds:.2f} s",
            f"{peak / MIB:.0f} MiB", f"{seconds / count * 1e3:,.2f} ms", f"{seconds / (read / MIB) * 1e3:,.2f} ms",
        ]  # fmt: skip

    def delivery(self, mib: int) -> list[str]:
        """Delivers an object of so many MiB, and says what that took."""
        name = f"ms-{mib}.parquet"
        file = self._folder / name
        piece = os.urandom(MIB)
        with step(f"Delivering {mib:,} MiB"), self._function("deliver") as deliver:
            with file.open("wb") as parquet:
                parquet.writelines(itertools.repeat(piece, mib))
            self._s3.upload_file(str(file), OURS, f"output/{name}", Config=PARTS)
            file.unlink()
            answer, seconds = deliver.invoke({"Records": [record(f"output/{name}")]})
            peak = deliver.peak_bytes()
        assert answer["delivered"] == 1, answer
        there = self._s3.head_object(Bucket=BUCKET, Key=f"{PREFIX}/output/{name}")
        assert there["ContentLength"] == mib * MIB
        for bucket, key in [(OURS, f"output/{name}"), (BUCKET, f"{PREFIX}/output/{name}")]:
            self._s3.delete_object(Bucket=bucket, Key=key)
        return [f"{mib:,} MiB", f"{seconds:.2f} s", f"{peak / MIB:.0f} MiB", f"{seconds / mib * 1e3:,.2f} ms"]

    def _function(self, name: str) -> Function:
        return Function(self._functions / name, self._environment, self._folder / f"{name}.log")

    def _staged(self, stage: Function, window: dict, time: datetime, index: int, csv: bytes) -> dict:
        key = f"{PREFIX}/input/{time:%Y-%m-%dT%H:%M:%S.%f}Z.csv"
        self._s3.put_object(Bucket=BUCKET, Key=key, Body=csv)
        event = {"bucket": BUCKET, "key": key, "time": f"{time:%Y-%m-%dT%H:%M:%S.%f}Z", "index": index, "window": window}
        answer, _ = stage.invoke(event)
        self._s3.delete_object(Bucket=BUCKET, Key=key)
        return {"fragment": answer["fragment"], "etag": answer["etag"]}

    def _objects(self, prefix: str) -> list[dict]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=OURS, Prefix=prefix)
        return [entry for page in pages for entry in page.get("Contents", [])]

    def _keys(self, prefix: str) -> list[str]:
        return [entry["Key"] for entry in self._objects(prefix)]

    def _bytes_under(self, prefix: str) -> int:
        return sum(entry["Size"] for entry in self._objects(prefix))


def serve(cleanup: contextlib.ExitStack, server: Path, folder: Path):
    root = folder / "s3"
    for bucket in (OURS, BUCKET):
        (root / bucket).mkdir(parents=True)
    log = cleanup.enter_context((folder / "s3.log").open("wb"))
    process = subprocess.Popen(
        [server, root, KEY], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True, text=True
    )
    cleanup.callback(end_process_group, process)
    endpoint = f"http://127.0.0.1:{process.stdout.readline().strip()}"
    s3 = boto3.client(
        "s3", endpoint_url=endpoint, region_name=REGION, aws_access_key_id=KEY, aws_secret_access_key=KEY,
        config=botocore.config.Config(s3={"addressing_style": "path"}),
    )  # fmt: skip
    return s3, endpoint


def serve_sts(cleanup: contextlib.ExitStack) -> str:
    """s3s-fs knows one key, and no roles: whoever assumes one is given that key."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = f"""<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
                <AccessKeyId>{KEY}</AccessKeyId><SecretAccessKey>{KEY}</SecretAccessKey><SessionToken>token</SessionToken>
                <Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>""".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    cleanup.callback(server.shutdown)
    return f"http://127.0.0.1:{server.server_address[1]}"


def settings(endpoint: str, sts: str, folder: Path) -> dict[str, str]:
    """The environment of the functions, as the template sets it."""
    scratch = folder / "scratch"
    scratch.mkdir()
    return {
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_ENDPOINT_URL_STS": sts,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": KEY,
        "AWS_REGION": REGION,
        "TMPDIR": str(scratch),
        "BUCKET": OURS,
        "OUTPUT_PREFIX": "ms-",
        "STACK_NAME": "windrow",
        "SOURCE_BUCKET": BUCKET,
        "SOURCE_PREFIX": PREFIX,
        "SOURCE_ROLE_ARN": publisher.ROLE_ARN,
        "SOURCE_EXTERNAL_ID": publisher.EXTERNAL_ID,
    }


def record(key: str) -> dict:
    """What S3 tells of a new object."""
    return {
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": REGION, "eventTime": "2021-01-01T00:00:00.000Z",
        "eventName": "ObjectCreated:Put", "userIdentity": {"principalId": "A"}, "responseElements": {},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "s3": {
            "s3SchemaVersion": "1.0", "configurationId": "results",
            "bucket": {"name": OURS, "ownerIdentity": {"principalId": "A"}, "arn": f"arn:aws:s3:::{OURS}"},
            "object": {"key": key, "size": 1, "eTag": "0", "sequencer": "0"},
        },
    }  # fmt: skip


def utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def markdown(head: list[str], rows: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in (head, ["---:"] * len(head), *rows)]


def report(table: list[list[str]], delivered: list[list[str]]) -> str:
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}"
    return "\n".join([
        "# What merging a window costs", "",
        "Made by `just bench-merge`: the release programs of `merge` and `deliver`, started anew for each line, on a local S3",
        "server (s3s-fs) that shares the processor with them. Time is that of one invocation, from its first request to its",
        f"last. Memory is what was resident at most. {machine}.", "",
        "Files of the upper half are of 20 rows; those of the lower of 2,000,000 rows, 284 MB as CSV each.", "",
        *markdown(HEAD, table), "",
        "`merge` has 1769 MB of memory, 900 seconds, and 10 GB of scratch space, which must hold the fragments of a window",
        "and, where some of them have expired, its former object.", "",
        "# What delivering an object costs", "",
        *markdown(DELIVERED_HEAD, delivered), "",
        "`deliver` has 512 MB of memory and 900 seconds. It reads and writes at once, in parts of 16 MiB.", "",
    ])  # fmt: skip


if __name__ == "__main__":
    main()
