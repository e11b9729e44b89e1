"""Lints the template and, inlined into a copy of it, the state machine. Fails on any finding.

cfn-lint does not look into a definition kept in a file. checkov looks for what is insecure; what it is told to skip,
and why, stands in the template at the resource.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from cfnlint.decode import cfn_yaml

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = "template.yaml"
STATE_MACHINE = "statemachine/window.asl.json"
# It would fetch guidelines from its maker's site, which it does not need.
CHECKOV = ["--framework", "cloudformation", "--compact", "--quiet", "--skip-download"]


def main() -> None:
    cfn_lint = Path(sys.executable).with_name("cfn-lint")
    python = ROOT / ".venv" / "lint" / "bin" / "python"
    if not python.is_file():
        sys.exit("checkov is not installed; `python3 e2e/setup.py --lint` does that")
    with tempfile.TemporaryDirectory(prefix="windrow-lint-") as folder:
        inlined = Path(folder, "template-with-state-machine.json")
        inlined.write_text(json.dumps(with_state_machine(), indent=1))
        clean = [
            # Wherever it may be deployed.
            run(f"cfn-lint {TEMPLATE}", [cfn_lint, "--regions", "ALL_REGIONS", "--", TEMPLATE]),
            run(f"cfn-lint {STATE_MACHINE}, inlined", [cfn_lint, inlined]),
            run(f"checkov {TEMPLATE}", [python, "-m", "checkov.main", *CHECKOV, "--file", TEMPLATE]),
        ]
    sys.exit(0 if all(clean) else 1)


def with_state_machine() -> dict:
    """The template with the definition in place of the name of its file."""
    template = cfn_yaml.load(str(ROOT / TEMPLATE))
    properties = template["Resources"]["StateMachine"]["Properties"]
    if properties.pop("DefinitionS3Location") != STATE_MACHINE:
        sys.exit(f"the definition of StateMachine in {TEMPLATE} is not {STATE_MACHINE}")
    # cfn-lint takes `${Partition}` for part of the ARN.
    definition = (ROOT / STATE_MACHINE).read_text().replace("${Partition}", "aws")
    del properties["DefinitionSubstitutions"]["Partition"]
    properties["Definition"] = json.loads(definition)
    return template


def run(what: str, command: list[object]) -> bool:
    environment = os.environ | {"LOG_LEVEL": "ERROR"}
    result = subprocess.run(list(map(str, command)), cwd=ROOT, env=environment, text=True, capture_output=True)
    print(f"{what}: {'clean' if result.returncode == 0 else 'findings'}", flush=True)
    if result.returncode != 0:
        print(result.stdout + result.stderr, flush=True)
    return result.returncode == 0


if __name__ == "__main__":
    main()
