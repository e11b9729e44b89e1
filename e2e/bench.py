"""Measures Windrow's conversion against DuckDB, Polars and PyArrow: time, memory, size, on one core and two.

Before anything is timed, every tool's result is compared with Windrow's, row by row, and Windrow's with the
CSV files: who does less work would only seem quicker. What is timed is a whole process, from its start to its
end, on cores that it is tied to (by `taskset`, so on Linux only). The tools take turns, so that whatever else
goes on on the machine meets all of them.

Standard library only: a child's peak memory is never below that of its parent when it was started, so that
this process must stay small. What needs more memory runs in processes of its own.
"""

import argparse
import datetime
import hashlib
import importlib.metadata
import itertools
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench_data import DATASETS, REAL

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
WORK = ROOT / "target" / "bench"
CONVERT = ROOT / "target" / "release" / "examples" / "convert"
WINDROW = "Windrow"
# How much of the machine other processes may take before the report warns of its own numbers.
QUIET = 0.05


@dataclass(frozen=True)
class Peer:
    name: str
    tool: str
    """As `bench_peers.py` calls it."""
    module: str
    reader: str = "duckdb"
    """What reads its result back: not itself."""


PEERS = [
    Peer("DuckDB", "duckdb", "duckdb", reader="pyarrow"),
    Peer("Polars", "polars", "polars"),
    Peer("PyArrow", "pyarrow", "pyarrow"),
    Peer("PyArrow, streaming", "pyarrow-streaming", "pyarrow"),
]
MODULES = list(dict.fromkeys(peer.module for peer in PEERS))


@dataclass(frozen=True)
class Data:
    name: str
    files: list[Path]
    bytes: int


@dataclass
class Run:
    seconds: float
    cpu_seconds: float
    """Of all its threads."""
    peak_mib: float
    others: float
    """How many seconds other processes had of all cores meanwhile."""
    bytes: int = 0
    said: str = ""


@dataclass
class Results:
    """Every run, by data set, tool and number of cores; an import is a run without a data set."""

    runs: dict[tuple[str, str, int], list[Run]] = field(default_factory=lambda: defaultdict(list))

    def seconds(self, data: str, tool: str, cores: int) -> float:
        return statistics.median(run.seconds for run in self.runs[data, tool, cores])

    def cpu_seconds(self, data: str, tool: str, cores: int) -> float:
        return statistics.median(run.cpu_seconds for run in self.runs[data, tool, cores])

    def peak_mib(self, data: str, tool: str, cores: int) -> float:
        return statistics.median(run.peak_mib for run in self.runs[data, tool, cores])

    def bytes(self, data: str, tool: str, cores: int) -> float:
        return statistics.median(run.bytes for run in self.runs[data, tool, cores])

    def spread(self, data: str, tool: str, cores: int) -> str:
        seconds = [run.seconds for run in self.runs[data, tool, cores]]
        return f"{min(seconds):.2f}–{max(seconds):.2f}"

    def others(self) -> float:
        """The part of the machine that was not ours to use."""
        runs = [run for of_one in self.runs.values() for run in of_one]
        return sum(run.others for run in runs) / sum(run.seconds for run in runs) / os.cpu_count()


def main() -> None:
    options = arguments()
    if not CONVERT.is_file():
        sys.exit(f"{CONVERT.relative_to(ROOT)} is not built; `just bench` does that, and runs this")
    available = sorted(os.sched_getaffinity(0))
    core_counts = [count for count in (1, 2) if count <= len(available)]
    datasets = [prepare(name, options.quick) for name in options.only]
    out = WORK / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for data in datasets:
        check(data, available, core_counts, out)
    # What is still to be written to the disk shall not be written while somebody is timed.
    os.sync()
    results = measure(datasets, available, core_counts, options.rounds, out)
    shutil.rmtree(out)
    text = report(datasets, core_counts, results, options)
    # The report in the repository is of everything, at full size.
    whole = not options.quick and set(options.only) == set(DATASETS)
    path = ROOT / "docs" / "benchmark.md" if whole else WORK / "report.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, "utf-8")
    print(text)
    progress(f"Written to {path.relative_to(ROOT)}", end="\n")


def arguments() -> argparse.Namespace:
    def names(text: str) -> list[str]:
        unknown = set(text.split(",")) - set(DATASETS)
        if unknown:
            raise argparse.ArgumentTypeError(
                f"no data set `{unknown.pop()}`, there are {', '.join(DATASETS)}"
            )
        return [name for name in DATASETS if name in text.split(",")]

    def count(text: str) -> int:
        if not text.isdecimal() or int(text) == 0:
            raise argparse.ArgumentTypeError("at least one round")
        return int(text)

    parser = argparse.ArgumentParser(prog="just bench", description="Measure Windrow against other tools.")
    add = parser.add_argument
    add("--quick", action="store_true", help="about 20 times less data: to try this script")
    add(
        "--only",
        type=names,
        default=list(DATASETS),
        metavar="SET,…",
        help=f"only some of {', '.join(DATASETS)}",
    )
    add(
        "--rounds",
        type=count,
        default=5,
        metavar="N",
        help="runs of each, of which the median counts (default 5)",
    )
    return parser.parse_args()


def progress(what: str, end: str = "") -> None:
    """A line for who watches, written over by the next one."""
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end=end, file=sys.stderr, flush=True)


def prepare(name: str, quick: bool) -> Data:
    """The data set's files: those of a former run where they are whole, and made the same way."""
    size = "quick" if quick else "full"
    folder = WORK / size / name
    stamp = WORK / size / f"{name}.stamp"
    made_by = hashlib.sha256((HERE / "bench_data.py").read_bytes() + REAL.read_bytes()).hexdigest()
    if not stamp.is_file() or stamp.read_text() != f"{made_by} {bytes_in(folder)}":
        progress(f"Writing the data set {name}")
        shutil.rmtree(folder, ignore_errors=True)
        stamp.unlink(missing_ok=True)
        subprocess.run([sys.executable, HERE / "bench_data.py", name, size, folder], check=True)
        stamp.write_text(f"{made_by} {bytes_in(folder)}")
    return Data(name, sorted(folder.glob("*.csv")), bytes_in(folder))


def bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.csv"))


def check(data: Data, available: list[int], core_counts: list[int], out: Path) -> None:
    """Whether all tools make the same of it, on any number of cores. It also brings the files into memory."""
    reference, other = out / "windrow.parquet", out / "other.parquet"
    for cores in core_counts:
        progress(f"{data.name}: comparing results on {cores_text(cores)}")
        made = reference if cores == core_counts[0] else other
        execute(WINDROW, windrow_command(data, made), available[:cores], out)
        if made == reference:
            compare("Windrow's result is not exact", "exact", data.name, reference, *data.files)
        else:
            compare("Windrow's result depends on the cores", "same", reference, made, "duckdb")
        for peer in PEERS:
            execute(peer.name, peer_command(data, peer, cores, other), available[:cores], out)
            compare(f"{peer.name}'s result is not Windrow's", "same", reference, other, peer.reader)
            other.unlink()
    reference.unlink()


def compare(otherwise: str, *arguments: object) -> None:
    command = [sys.executable, HERE / "bench_compare.py", *arguments]
    result = subprocess.run(list(map(str, command)), text=True, capture_output=True)
    if result.returncode != 0:
        sys.exit(f"\n{otherwise}:\n{result.stdout}{result.stderr}")


def windrow_command(data: Data, output: Path) -> list[str]:
    return [str(CONVERT), *map(str, data.files), str(output)]


def peer_command(data: Data, peer: Peer, cores: int, output: Path) -> list[str]:
    job = output.with_suffix(".json")
    parts = {"inputs": list(map(str, data.files)), "types": DATASETS[data.name].types}
    job.write_text(json.dumps(parts | {"output": str(output), "threads": cores}))
    return [sys.executable, str(HERE / "bench_peers.py"), peer.tool, str(job)]


def import_command(module: str, out: Path) -> list[str]:
    job = out / "import.json"
    job.write_text(json.dumps({"module": module}))
    return [sys.executable, str(HERE / "bench_peers.py"), "import", str(job)]


def execute(who: str, command: list[str], cores: list[int], out: Path) -> Run:
    """Runs it to its end on those cores. Standard error must stay empty: rejected rows go there."""
    with (out / "stdout").open("w+b") as stdout, (out / "stderr").open("w+b") as stderr:
        busy, started = busy_seconds(), time.perf_counter()
        tied = ["taskset", "--cpu-list", ",".join(map(str, cores)), *command]
        process = subprocess.Popen(tied, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
        _, status, usage = os.wait4(process.pid, 0)
        seconds, busy = time.perf_counter() - started, busy_seconds() - busy
        process.returncode = os.waitstatus_to_exitcode(status)
        said, complaints = (Path(file.name).read_text("utf-8", "replace") for file in (stdout, stderr))
    if process.returncode != 0 or complaints:
        sys.exit(f"\n{who} failed, or complained (exit code {process.returncode}):\n{complaints[-2000:]}")
    cpu = usage.ru_utime + usage.ru_stime
    return Run(seconds, cpu, usage.ru_maxrss / 1024, max(0.0, busy - cpu), said=said)


def busy_seconds() -> float:
    """What all cores have done for anybody since the machine started, for its host too."""
    user, nice, system, _, _, *rest = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9])
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")


def measure(
    datasets: list[Data],
    available: list[int],
    core_counts: list[int],
    rounds: int,
    out: Path,
) -> Results:
    results = Results()
    output = out / "output.parquet"
    for number in range(1, rounds + 1):
        for data, cores in itertools.product(datasets, core_counts):
            # Another one begins each time, so that none always follows the same one.
            for tool in turned([WINDROW, *PEERS], number):
                name = tool if tool == WINDROW else tool.name
                progress(f"Round {number} of {rounds}: {data.name}, {cores_text(cores)}, {name}")
                if tool == WINDROW:
                    command = windrow_command(data, output)
                else:
                    command = peer_command(data, tool, cores, output)
                run = execute(name, command, available[:cores], out)
                run.bytes = output.stat().st_size
                # At once, so that nobody's bytes are written to the disk while the next one runs.
                output.unlink()
                results.runs[data.name, name, cores].append(run)
        for module, cores in itertools.product(MODULES, core_counts):
            progress(f"Round {number} of {rounds}: import of {module}, {cores_text(cores)}")
            run = execute(module, import_command(module, out), available[:cores], out)
            results.runs["", module, cores].append(run)
    return results


def turned(tools: list, by: int) -> list:
    by %= len(tools)
    return tools[by:] + tools[:by]


def cores_text(cores: int) -> str:
    return {1: "one core", 2: "two cores"}[cores]


def report(
    datasets: list[Data], core_counts: list[int], results: Results, options: argparse.Namespace
) -> str:
    parts = [
        "# Windrow beside DuckDB, Polars and PyArrow",
        "By `just bench`: CSV files to one Parquet file, rows in their order.",
        *(["**Of small data (`--quick`): it says nothing about speed.**"] if options.quick else []),
        "\n".join(facts(results, options.rounds)),
        "## In short",
        table(
            ["data set", "cores", "fastest peer", "faster", "without imports", "smallest peer", "size"],
            [summary(data, cores, results) for data, cores in itertools.product(datasets, core_counts)],
        ),
        LEGEND,
        RULES,
    ]
    for cores in core_counts:
        parts += [f"## {cores_text(cores).capitalize()}", details(datasets, cores, results)]
    if len(core_counts) < 2:
        parts.append("Two cores were not measured: there is only one.")
    parts += merge_section(datasets, core_counts, results)
    parts += [
        "## Data sets",
        table(["data set", "MB", "files", "what"], [described(data) for data in datasets]),
    ]
    parts += ["## Importing alone", IMPORTS, imports(core_counts, results)]
    return "\n\n".join(parts) + "\n"


LEGEND = """\
*Faster*: the fastest peer's seconds divided by Windrow's; above 1, Windrow is faster. *Without imports*: the
same if what it costs each peer to be imported is not counted. *Size*: Windrow's bytes divided by those of the
smallest peer; below 1, Windrow's file is smaller."""
RULES = """\
What is timed is a whole process: start, imports, reading, writing, end. Each tool has as many threads as
cores, to which it is tied; the tools take turns, and the median counts. The CSV files are in memory before.
The other tools write zstd at level 1. *CPU s* are the seconds of all threads together.

They are told the name and type of every column, without which they would be slower or lose something (leading
zeros of `account_id`, for one). Windrow is told nothing: it finds the types out by looking at every value.
How each tool is called, and why so, stands in `e2e/bench_peers.py`.

Before anything was timed, each tool's file was compared with Windrow's, every value of every row in order,
doubles bit for bit, read back by another tool than the one that wrote it; and Windrow's with the CSV files as
Python reads them, in each column's type, on every 997th row."""
IMPORTS = "What a Python process costs that imports the tool and ends; it is part of the seconds above."


def facts(results: Results, rounds: int) -> Iterator[str]:
    cpu = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield f"- Machine: {cpu[1] if cpu else os.uname().machine}, {os.cpu_count()} cores, {memory:.0f} GiB"
    version = importlib.metadata.version
    versions = (f"{peer.name} {version(peer.module)}" for peer in PEERS if peer.tool == peer.module)
    yield f"- Windrow {commit()}, {', '.join(versions)}, Python {sys.version.split()[0]}"
    yield f"- {datetime.date.today()}, median of {rounds} round{'s' if rounds > 1 else ''}"
    others = results.others()
    noisy = (
        ". **That is too much to trust the seconds: measure again when it is quiet**"
        if others > QUIET
        else ""
    )
    yield f"- Other processes took {others:.0%} of the machine meanwhile{noisy}"


def commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    result = subprocess.run(command, cwd=ROOT, text=True, capture_output=True)
    return f"at {result.stdout.strip()}" if result.returncode == 0 else "of no known commit"


def table(head: list[str], rows: list[list[str]]) -> str:
    # What is a number in the first row is one in all of them.
    rules = ["---:" if re.match(r"[\d*]", cell) else "---" for cell in rows[0]]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rules, *rows])


def summary(data: Data, cores: int, results: Results) -> list[str]:
    seconds = {peer.name: results.seconds(data.name, peer.name, cores) for peer in PEERS}
    imported = [seconds[peer.name] - results.seconds("", peer.module, cores) for peer in PEERS]
    sizes = {peer.name: results.bytes(data.name, peer.name, cores) for peer in PEERS}
    fastest, smallest = min(seconds, key=seconds.get), min(sizes, key=sizes.get)
    windrow = results.seconds(data.name, WINDROW, cores)
    faster, without_imports = seconds[fastest] / windrow, min(imported) / windrow
    size = results.bytes(data.name, WINDROW, cores) / sizes[smallest]
    shown = [f"**{faster:.2f}**", f"{without_imports:.2f}", smallest, f"**{size:.2f}**"]
    return [data.name, str(cores), fastest, *shown]


def details(datasets: list[Data], cores: int, results: Results) -> str:
    rows = []
    for data in datasets:
        for tool in [WINDROW, *(peer.name for peer in PEERS)]:
            of = (data.name, tool, cores)
            seconds, megabytes = results.seconds(*of), data.bytes / 1e6
            cpu = f"{results.cpu_seconds(*of):.2f}"
            numbers = [f"{seconds:.2f}", results.spread(*of), cpu, f"{megabytes / seconds:.0f}"]
            sizes = [f"{results.peak_mib(*of):.0f}", f"{results.bytes(*of) / 1e6:.2f}"]
            first = [data.name, f"{megabytes:.1f}"] if tool == WINDROW else ["", ""]
            rows.append([*first, tool, *numbers, *sizes])
    head = [
        "data set",
        "MB of CSV",
        "tool",
        "seconds",
        "from–to",
        "CPU s",
        "MB/s",
        "peak MiB",
        "MB of Parquet",
    ]
    return table(head, rows)


def merge_section(datasets: list[Data], core_counts: list[int], results: Results) -> list[str]:
    """Where `convert` says how long staging and merging took."""
    rows = []
    for data, cores in itertools.product(datasets, core_counts):
        said = [run.said for run in results.runs[data.name, WINDROW, cores]]
        stage, merge = (phase_seconds(phase, said) for phase in ("stage", "merge"))
        if stage and merge is not None:
            numbers = [f"{stage:.3f}", f"{merge:.3f}", f"{merge / stage:.3f}"]
            rows.append([data.name, str(cores), *numbers])
    if not rows:
        return []
    head = ["data set", "cores", "seconds to stage", "seconds to merge", "merge ÷ stage"]
    return ["## Merge", "Windrow's two parts, as it says itself.", table(head, rows)]


def phase_seconds(phase: str, said: list[str]) -> float | None:
    found = (re.search(rf"^{phase} ([0-9.]+) ?s?\b", text, re.MULTILINE) for text in said)
    seconds = [float(match[1]) for match in found if match]
    return statistics.median(seconds) if seconds else None


def described(data: Data) -> list[str]:
    return [data.name, f"{data.bytes / 1e6:.1f}", str(len(data.files)), DATASETS[data.name].what]


def imports(core_counts: list[int], results: Results) -> str:
    def numbers(module: str, cores: int) -> list[str]:
        return [f"{results.seconds('', module, cores):.2f}", f"{results.peak_mib('', module, cores):.0f}"]

    names = {peer.module: peer.name for peer in PEERS if peer.tool == peer.module}
    each = itertools.product(MODULES, core_counts)
    rows = [[names[module], str(cores), *numbers(module, cores)] for module, cores in each]
    return table(["tool", "cores", "seconds", "peak MiB"], rows)


if __name__ == "__main__":
    main()
