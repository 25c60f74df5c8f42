"""The README's own lines, run as they stand there."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.product import ROOT, Product

README = (ROOT / "README.md").read_text()


def test_the_readme_walks_from_post_to_comparison(stack: Product, tmp_path: Path) -> None:
    blocks = re.findall(r"^```bash\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 4
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env=stack.environment | {"SADDLE_URL": stack.url, "SADDLE_KEY": stack.key},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert "event: end" in done.stdout
    assert '"ranking"' in done.stdout
    comparison = json.loads((tmp_path / "comparison.json").read_text())
    assert comparison["difference"]["/optimizer/momentum"]["values"] == [0.9, 0.0]
    assert [group["label"] for group in comparison["groups"]] == ["momentum", "plain"]


def test_the_commands_and_the_python_of_the_readme_run(stack: Product, tmp_path: Path) -> None:
    (commands,) = re.findall(r"^```sh\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    (python,) = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    saddle = f'saddle() {{ "{sys.executable}" -m service.client "$@"; }}'
    server = {"SADDLE_URL": stack.url, "SADDLE_KEY": stack.key}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f'{saddle}\n{commands}\n"{sys.executable}" -c "$0"', python],
        cwd=tmp_path,
        env=stack.environment | server | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    assert "3 succeeded" in done.stdout
    assert "95 % interval" in done.stdout
    assert (tmp_path / "curves.parquet").stat().st_size > 10_000


def test_the_first_two_commands_are_those_of_run_py() -> None:
    commands = re.findall(r"^python3 run.py (\w+)", README, re.MULTILINE)
    assert commands[:2] == ["up", "test"]
    listed = subprocess.run(["python3", "run.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert all(word in listed.stdout + listed.stderr for word in ("up", "test", "down", "status"))


def test_the_map_names_only_what_is_there() -> None:
    tree = README.split("## The map")[1].split("```")[1]
    named, parent = [], ""
    for line in filter(str.strip, tree.splitlines()):
        names = re.split(r"\s{2,}", line.strip())[0].split()
        inner = line.startswith(" ")
        parent = parent if inner else names[0]
        named += [parent + name if inner else name for name in names]
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("guide", ["README.md", "CONTRIBUTING.md"])
def test_the_paths_in_a_guide_are_there(guide: str) -> None:
    paths = re.findall(r"`((?:service|worker|tests|docs|migrations)/[\w./]+)`", (ROOT / guide).read_text())
    assert len(paths) > 5
    assert [path for path in paths if not (ROOT / path).exists()] == []
