"""`saddle plugin`: the package that it writes passes its own tests and the check; none of it asks a server."""

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from service.client.__main__ import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _in_a_folder_without_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SADDLE_URL", "http://127.0.0.1:1")


def test_the_template_passes_its_own_tests_and_the_check(tmp_path: Path) -> None:
    assert main(["plugin", "new", "acme-nets"]) == 0
    folder = tmp_path / "acme-nets"
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["dependencies"] == []
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        **{"cwd": folder, "env": environment, "capture_output": True, "text": True, "check": False},
    )
    assert "2 passed" in done.stdout, done.stdout


def test_a_component_is_at_most_twenty_lines(tmp_path: Path) -> None:
    main(["plugin", "new", "acme"])
    for name, module in (("Net", "models"), ("Loss", "losses")):
        sources = [(tmp_path / "acme" / "acme" / f"{each}.py").read_text() for each in (module, "modules")]
        trees = [node for text in sources for node in ast.parse(text).body]
        classes = [node for node in trees if isinstance(node, ast.ClassDef) and node.name == name]
        lines = [line for each in classes for line in ast.unparse(each).splitlines() if line.strip()]
        assert len(classes) == 2
        assert len(lines) <= 20


def test_a_fault_is_told_and_fails_the_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    main(["plugin", "new", "acme"])
    models = tmp_path / "acme" / "acme" / "models.py"
    models.write_text(models.read_text().replace("def leaves(", "def layers("))
    capfd.readouterr()
    assert main(["plugin", "check", "acme"]) == 1
    told = capfd.readouterr().out
    assert "FAULT  model.acme_net lacks the method leaves(self, shape: tuple[int, ...], outputs: int)" in told
    assert main(["plugin", "check", "acme", "--json"]) == 1
    assert '"fault": "lacks the method leaves' in capfd.readouterr().out


@pytest.mark.parametrize(
    "name", ["Acme", "../acme", "acme/x", "torch", "json", "service", "9nets", "a" * 41, "-x-", ""]
)
def test_a_name_that_python_or_pip_cannot_take_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plugin", "new", "--", name]) == 2
    assert "name" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "acme").mkdir()
    assert main(["plugin", "new", "acme"]) == 2
    assert "acme is already there" in capsys.readouterr().err
    assert list((tmp_path / "acme").iterdir()) == []
