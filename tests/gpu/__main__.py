"""The proof on a GPU: `python -m tests.gpu [--device cuda:0] [NAME ...]`.

Runs every check of tests/gpu/checks, each in a process of its own with a time limit, in at most six minutes; prints a
table and writes a JSON file. Exit status: 0 all passed, 1 one failed, 2 the device cannot be used.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

from tests.gpu.harness import Check, Result, find_checks, measure_environment, run_check, table

CHECKS = Path(__file__).with_name("checks")
ROOT = Path(__file__).parents[2]
BUDGET_S = 360.0
ORDER = (  # the most important first: what does not fit into the budget is not run
    *("warm_up", "no_waiting", "resume", "numbers", "failures", "memory", "recording", "throughput", "sharing"),
    *("checkpoints", "slots", "ranks", "mapped", "compile"),
)


def main() -> int:
    """Run the checks; return the exit status."""
    arguments = parse_arguments()
    began = time.monotonic()
    environment = measure_environment(ROOT)
    if arguments.device != "cpu" and not environment.get("gpu"):
        print(f"No GPU can be used here: {environment['why']}. --device cpu runs the checks that need none.")
        return 2
    checks = chosen(find_checks(arguments.checks, ORDER), arguments.names)
    results: list[Result] = []
    for check in checks:
        left_s = arguments.budget - (time.monotonic() - began)
        results.append(run_check(check, arguments.device, left_s, ROOT))
        print(results[-1].line(), flush=True)
        document = {"device": arguments.device, "environment": environment, "seconds": time.monotonic() - began}
        document["checks"] = [result.document() for result in results]
        arguments.out.write_text(json.dumps(document, indent=1) + "\n")  # after each: a killed run leaves its results
    print(table(results, environment))
    print(f"written to {arguments.out}")
    return int(any(result.status == "failed" for result in results))


def parse_arguments() -> argparse.Namespace:
    """Return the command line's arguments; `out` is a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="checks to run; all without")
    parser.add_argument("--device", default="cuda:0", help="torch device; cpu runs the checks that need no GPU")
    parser.add_argument("--budget", type=float, default=BUDGET_S, help="seconds for everything")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", ".")), help="folder or .json file")
    parser.add_argument("--checks", type=Path, default=CHECKS, help="folder of check modules")
    arguments = parser.parse_args()
    if arguments.out.suffix != ".json":
        arguments.out = arguments.out / "gpu-checks.json"
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    return arguments


def chosen(checks: list[Check], names: list[str]) -> list[Check]:
    """Return the named checks, or all; exit where a name is unknown."""
    if unknown := set(names) - {check.name for check in checks}:
        sys.exit(f"no such check: {', '.join(sorted(unknown))}; there are {', '.join(each.name for each in checks)}")
    return [check for check in checks if not names or check.name in names]


if __name__ == "__main__":
    sys.exit(main())
