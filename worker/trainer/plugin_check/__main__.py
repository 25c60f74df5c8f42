"""`python -m worker.trainer.plugin_check PATH|NAME`: check a plug-in's package; `saddle plugin check` runs it.

Exit status: 0 nothing is wrong, 1 a component has a fault, 2 there is no package to check.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from service.errors import SaddleError
from worker.trainer.plugin_check.declarations import check_declarations
from worker.trainer.plugin_check.package import Package, find_package

Results = dict[str, tuple[str, str]]  # entry point -> its fault, empty if there is none, and what was trained


def main() -> int:
    """Check the declarations here, then train in a process that has the components in their families."""
    parser = argparse.ArgumentParser(prog="saddle plugin check")
    parser.add_argument("target", help="folder of a package, or the name of an installed one")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.add_argument("--data", type=Path, help="train on this file (CSV, Parquet, NPZ, ...) instead of bundled data")
    parser.add_argument("--predict", help="column of --data to predict; default: its last one")
    parser.add_argument("--results", type=Path, help=argparse.SUPPRESS)  # of the process that trains
    parser.add_argument("--components", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.results:
        from worker.trainer.plugin_check.trials import try_components  # noqa: PLC0415  loads torch

        found = try_components(given.components.split(","), given.data, given.predict)
        given.results.write_text(json.dumps(found))
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        try:
            package = find_package(given.target, Path(scratch))
            found = _check(package, Path(scratch), given.data, given.predict)
        except (SaddleError, OSError) as error:
            print(f"saddle: {error}", file=sys.stderr)
            return 2
    _show(package, found, given.json)
    return int(any(fault for fault, _ in found.values()))


def _check(package: Package, scratch: Path, data: Path | None, predict: str | None) -> Results:
    """Return what is found; raise SaddleError or OSError where `data` cannot be read."""
    sys.path[:0] = map(str, package.folders)
    declared = check_declarations(package.name)  # before anything loads the families
    if any(declared.values()):  # with such a package, no process of Saddle starts
        return {name: ("; ".join(faults), "") for name, faults in declared.items()}
    if data is not None:
        from service.ingest import inspect_file  # noqa: PLC0415  loads the families

        inspect_file(data, None)
    path = os.pathsep.join(filter(None, sys.path))
    results = scratch / "results.json"
    command = [sys.executable, "-P", "-m", str(__package__), package.name, "--results", str(results)]
    command += ["--components", ",".join(declared)]
    if data is not None:
        command += ["--data", str(data), *(["--predict", predict] if predict else [])]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, check=False, stdout=sys.stderr)
    if not results.exists():
        return dict.fromkeys(declared, (f"ended the process that trained (exit status {done.returncode})", ""))
    return {name: (fault, trained) for name, (fault, trained) in json.loads(results.read_text()).items()}


def _show(package: Package, found: Results, as_json: bool) -> None:
    """Print a line for each component."""
    if as_json:
        components = {
            name: {"fault": fault or None, "trained": trained or None} for name, (fault, trained) in found.items()
        }
        print(json.dumps({"package": package.name, "version": package.version, "components": components}, indent=2))
        return
    print(f"{package.name} {package.version}")
    for name, (fault, trained) in found.items():
        print(f"  FAULT  {name} {fault}." if fault else f"  ok     {name}: {trained or 'declared well'}")


if __name__ == "__main__":
    sys.exit(main())
