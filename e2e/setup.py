"""Makes the virtual environments of the local cloud (`.venv`), of the linters (`--lint`: `.venv/lint`), and of what
Windrow is measured against (`--bench`: `.venv/bench`).

Standard library only: it runs on the machine's own Python, before anything is installed. An environment is made
again only when its requirements, or the Python it is made from, have changed.
"""

import hashlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

OLDEST = (3, 10)
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


def main() -> None:
    if sys.version_info < OLDEST:
        sys.exit(f"Python {OLDEST[0]}.{OLDEST[1]} or later is needed, this is {sys.version.split()[0]} ({sys.executable})")
    unknown = set(sys.argv[1:]) - {"--lint", "--bench"}
    if unknown:
        sys.exit(f"unknown argument `{unknown.pop()}`; usage: python3 e2e/setup.py [--lint] [--bench]")
    set_up(ROOT / ".venv", HERE / "requirements.txt")
    if "--lint" in sys.argv[1:]:
        # Inside the first, so that whoever removes or ignores the one does so with both.
        set_up(ROOT / ".venv" / "lint", HERE / "lint-requirements.txt")
    if "--bench" in sys.argv[1:]:
        set_up(ROOT / ".venv" / "bench", HERE / "requirements-bench.txt")


def set_up(environment: Path, requirements: Path) -> None:
    stamp = environment / ".requirements"
    # Its scripts name their folder, so that an environment that was moved or copied has to be made again, too.
    wanted = hashlib.sha256(requirements.read_bytes() + f"{sys.version} {environment}".encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    shown, started = environment.relative_to(ROOT), time.monotonic()
    print(f"Setting up {shown} from {requirements.relative_to(ROOT)} (a minute or two) …", flush=True)
    make(environment)
    install(environment, requirements)
    stamp.write_text(wanted)
    print(f"Setting up {shown} took {time.monotonic() - started:.0f} s", flush=True)


def make(environment: Path) -> None:
    # The machine's own Python, even where this runs on that of the environment which is made again.
    python = sys._base_executable
    shutil.rmtree(environment, ignore_errors=True)
    result = subprocess.run([python, "-m", "venv", environment], text=True, capture_output=True)
    if result.returncode != 0:
        shutil.rmtree(environment, ignore_errors=True)
        sys.exit(
            f"{python} cannot make a virtual environment. Where Python comes from the system's packages, "
            f"venv and ensurepip may be packages of their own (Debian and Ubuntu: apt install python3-venv).\n"
            f"{result.stdout}{result.stderr}"
        )


def install(environment: Path, requirements: Path) -> None:
    python = environment / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", requirements]
    if subprocess.run(pip).returncode != 0:
        sys.exit(f"pip could not install {requirements.relative_to(ROOT)} into {environment.relative_to(ROOT)}, see above")


if __name__ == "__main__":
    main()
