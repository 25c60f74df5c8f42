"""Measures of the code itself: `python -m tests.house [TREE] [--collect]`.

Sizes of files and functions, files in one folder, what knows FastAPI, `Any` in signatures, import contracts; with
`--collect` also how long pytest takes to collect the cases and how many there are. It reads any tree of this project,
so that two releases can be held side by side.
"""

import argparse
import ast
import os
import re
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

PRODUCT = ("service", "worker")
FASTAPI = ("fastapi", "starlette", "uvicorn")
LONG = 60  # lines of a function
FULL = 25  # files directly in one folder
REPEATS = 3  # collections; the quickest counts


@dataclass(frozen=True)
class Module:
    """A source file, read once."""

    path: Path  # within the tree
    lines: int
    tree: ast.Module

    @property
    def functions(self) -> list[int]:
        """Lines of each function, nested ones too."""
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        return [(node.end_lineno or 0) - node.lineno + 1 for node in ast.walk(self.tree) if isinstance(node, kinds)]

    @property
    def imports(self) -> set[str]:
        """Top-level packages that it imports, inside functions too."""
        found = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add((node.module or "").partition(".")[0])
        return found

    @property
    def anys(self) -> int:
        """Parameters and results whose annotation mentions `Any`."""
        return sum(_mentions_any(each) for node in ast.walk(self.tree) for each in _annotations(node))


def _annotations(node: ast.AST) -> Iterator[ast.expr | None]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        given = node.args
        every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        yield from (each.annotation for each in every if each is not None)
        yield node.returns


def _mentions_any(annotation: ast.expr | None) -> bool:
    names = [] if annotation is None else ast.walk(annotation)
    return any(isinstance(node, ast.Name) and node.id == "Any" for node in names)


def modules(tree: Path, package: str) -> list[Module]:
    """The modules of a package, without caches."""
    found = []
    for path in sorted((tree / package).rglob("*.py")):
        text = path.read_text()
        found.append(Module(path.relative_to(tree), text.count("\n"), ast.parse(text)))
    return found


def crowded(found: Sequence[Module]) -> dict[str, int]:
    """Folders with more than `FULL` modules directly in them, `__init__` aside."""
    counts = Counter(str(each.path.parent) for each in found if each.path.name != "__init__.py")
    return {folder: count for folder, count in counts.most_common() if count > FULL}


def without_fastapi(found: Sequence[Module]) -> list[str]:
    """Modules of the API that know nothing of HTTP."""
    api = [each for each in found if each.path.parts[:2] == ("service", "api") and each.path.name != "__init__.py"]
    return [str(each.path) for each in api if not each.imports & set(FASTAPI) and each.path.name != "__main__.py"]


def percentile(values: Sequence[int], share: float) -> int:
    """The least value that `share` of the values do not exceed."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def subpackage(module: Module) -> str:
    """Its package, to the second level."""
    return "/".join(module.path.parts[:2]) if len(module.path.parts) > 2 else module.path.parts[0]


def collected(tree: Path) -> tuple[float, float, int]:
    """Seconds that pytest takes to collect, seconds of processor time, and the number of cases."""
    python = tree / ".venv" / "bin" / "python"
    command = [str(python) if python.exists() else sys.executable, "-m", "pytest", "-q", "--collect-only"]
    began, before = time.monotonic(), os.times()
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=True)
    seconds, after = time.monotonic() - began, os.times()
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    cases = re.search(r"(\d+) tests collected", done.stdout)
    return seconds, processor, int(cases[1]) if cases else 0


def report(tree: Path, collect: bool) -> Iterator[str]:
    """The lines of the report."""
    found = [module for package in PRODUCT for module in modules(tree, package)]
    tests = modules(tree, "tests")
    yield f"{'package':<24}{'files':>6}{'lines':>8}"
    for name, count in sorted(Counter(map(subpackage, found)).items()):
        yield f"{name:<24}{count:>6}{sum(each.lines for each in found if subpackage(each) == name):>8}"
    yield f"{'service + worker':<24}{len(found):>6}{sum(each.lines for each in found):>8}"
    yield f"{'tests':<24}{len(tests):>6}{sum(each.lines for each in tests):>8}"
    sizes = [each.lines for each in found]
    functions = [lines for each in found for lines in each.functions]
    yield f"lines of a file: median {median(sizes):.0f}, p90 {percentile(sizes, 0.9)}, max {max(sizes)}"
    yield f"lines of a function: median {median(functions):.0f}, p90 {percentile(functions, 0.9)}, max {max(functions)}"
    yield f"functions: {len(functions)}, longer than {LONG} lines: {sum(lines > LONG for lines in functions)}"
    yield f"folders with more than {FULL} modules: {crowded([*found, *tests]) or 'none'}"
    yield f"modules without FastAPI under service/api: {len(without_fastapi(found))}"
    yield f"`Any` in signatures: {sum(each.anys for each in found)}"
    contracts = tomllib.loads((tree / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    yield f"import contracts: {len(contracts)}"
    if collect:
        seconds, processor, cases = min(collected(tree) for _ in range(REPEATS))
        yield f"pytest --collect-only: {cases} cases in {seconds:.1f} s, {processor:.1f} s of a processor"


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tree", nargs="?", type=Path, default=Path.cwd())
    parser.add_argument("--collect", action="store_true", help="also time pytest --collect-only")
    asked = parser.parse_args()
    print("\n".join(report(asked.tree, asked.collect)))


if __name__ == "__main__":
    main()
