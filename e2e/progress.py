"""Lines that say what goes on and how long it took, for people to watch and for logs to keep."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator

TERMINAL = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
COLOR = TERMINAL and not os.environ.get("NO_COLOR")


def bold(text: str) -> str:
    return f"\033[1m{text}\033[0m" if COLOR else text


def dim(text: str) -> str:
    return f"\033[2m{text}\033[0m" if COLOR else text


@contextlib.contextmanager
def step(what: str) -> Iterator[Callable[[str], None]]:
    """Shows `what` with the seconds so far, and at its end how long it took. Call what it gives to say how far it is."""
    line = _Line(what)
    try:
        yield line.say
    except BaseException:
        line.end("stopped")
        raise
    line.end("done")


class _Line:
    """On a terminal one line that is written anew each second; elsewhere one line at the beginning and one at the end."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._detail = ""
        self._started = time.monotonic()
        self._ended = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)
        if TERMINAL:
            self._ticker.start()
        else:
            print(f"{what} …", flush=True)

    def say(self, detail: str) -> None:
        self._detail = f" ({detail})" if detail else ""

    def end(self, word: str) -> None:
        self._ended.set()
        if TERMINAL:
            self._ticker.join()
            self._show(f"{self._what}{self._detail} {dim(f'{word}, {self._seconds():.1f} s')}\n")
        else:
            print(f"  {word}, {self._seconds():.1f} s{self._detail}", flush=True)

    def _tick(self) -> None:
        while True:
            self._show(f"{self._what}{self._detail} … {dim(f'{self._seconds():.0f} s')}")
            if self._ended.wait(0.5):
                return

    def _show(self, text: str) -> None:
        sys.stdout.write(f"\r\033[K{text}")
        sys.stdout.flush()

    def _seconds(self) -> float:
        return time.monotonic() - self._started


def table(head: list[str], rows: list[list[str]], numbers: set[int] = frozenset()) -> str:
    """A table in plain text; the columns of `numbers` are set to the right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(row: list[str]) -> str:
        cells = (c.rjust(w) if i in numbers else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths)))
        return "  ".join(cells).rstrip()

    return "\n".join([bold(line(head)), *map(line, rows)])
