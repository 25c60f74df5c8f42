"""run.py: installs once, says one sentence where it cannot, and hands over."""

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from service.local.folder import PROJECT

RUN = PROJECT / "run.py"
Environment = dict[str, str]
Run = Callable[..., subprocess.CompletedProcess[str]]

# A project without dependencies and with a build backend of its own: it installs without any network.
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "tiny"
version = "1"
optional-dependencies = {local = [], dev = []}
"""
BACKEND = """
import pathlib, time, zipfile
def build_editable(folder, config_settings=None, metadata_directory=None):
    here = pathlib.Path(__file__).parent
    with open(here / "builds", "a") as file:
        file.write("begin ")
    time.sleep(0.3)
    with zipfile.ZipFile(pathlib.Path(folder) / "tiny-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny.pth", str(here))
        extras = "Provides-Extra: local\\nProvides-Extra: dev\\n"
        wheel.writestr("tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1\\n" + extras)
        wheel.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("tiny-1.dist-info/RECORD", "")
    with open(here / "builds", "a") as file:
        file.write("end ")
    return "tiny-1-py3-none-any.whl"
def build_wheel(*arguments): raise NotImplementedError
def build_sdist(*arguments): raise NotImplementedError
"""


@pytest.fixture
def run_py() -> ModuleType:
    specification = importlib.util.spec_from_file_location("run_py", RUN)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def project(folder: Path) -> Path:
    """A folder with run.py and the tiny project, which says how it was started."""
    project = folder / "a project"
    package = project / "service" / "local"
    package.mkdir(parents=True)
    project.chmod(0o755)
    shutil.copy(RUN, project)
    (project / "pyproject.toml").write_text(PYPROJECT)
    (project / "backend.py").write_text(BACKEND)
    (package / "__main__.py").write_text("import os, sys; print('started', os.getcwd(), *sys.argv[1:])")
    return project


@pytest.fixture(scope="session")
def fresh_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `python -m venv` makes in some seconds, made once for the tests that are about what comes after."""
    made = tmp_path_factory.mktemp("fresh") / ".venv"
    subprocess.run([sys.executable, "-m", "venv", made], check=True)
    return made


@pytest.fixture
def with_environment(project: Path, fresh_environment: Path) -> Path:
    """The project with an environment that holds pip alone."""
    shutil.copytree(fresh_environment, project / ".venv", symlinks=True)
    return project


def clean(**more: str) -> Environment:
    """An environment in which pip and uv know nothing but what a test says, and no index."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_", "PYTHON"))}
    return {**kept, "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", **more}


def run(project: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, project / "run.py", *arguments],
        cwd=project.parent,
        env=clean(**environment),
        capture_output=True,
        text=True,
        timeout=120,
    )


def only_sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The refusal: after the lines of progress one sentence, and no traceback."""
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def test_it_installs_once_by_pip_where_uv_is_not_to_be_had_and_hands_over(project: Path) -> None:
    first = run(project, "up", "--port", "1")
    assert first.returncode == 0, first.stderr
    assert first.stdout == f"started {project.parent} up --port 1\n"
    assert "saddle: installing with pip" in first.stderr
    again = run(project, "status")
    assert (again.stdout, again.stderr) == (f"started {project.parent} status\n", "")
    run(project, "test", "--version")
    assert (project / "builds").read_text() == "begin end begin end "  # dev adds to local
    assert run(project, "up").stderr == ""  # dev holds local
    (project / "pyproject.toml").write_text(PYPROJECT.replace('"1"', '"2"'))
    assert "saddle: installed in" in run(project, "up").stderr


def test_two_at_once_install_one_after_the_other(with_environment: Path) -> None:
    project = with_environment
    both = [
        subprocess.Popen(
            [sys.executable, project / "run.py", "up"],
            env=clean(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    answers = [each.communicate(timeout=120) for each in both]
    assert [each.returncode for each in both] == [0, 0], answers
    assert (project / "builds").read_text() == "begin end "
    assert sum("another run.py is installing; waiting for it" in complaints for _, complaints in answers) == 1


def test_an_environment_that_is_broken_is_made_again(with_environment: Path) -> None:
    project = with_environment
    python = project / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nonexistent/python")
    done = run(project, "up")
    assert done.returncode == 0, done.stderr
    assert "saddle: creating .venv" in done.stderr


def test_without_an_environment_down_and_status_install_nothing(project: Path) -> None:
    assert run(project, "down").returncode == 0
    assert run(project, "status").returncode == 1
    assert not (project / ".venv").exists()


def test_without_a_command_it_says_what_there_is(project: Path) -> None:
    done = run(project)
    assert done.returncode == 2
    assert "python3 run.py up" in done.stderr
    assert run(project, "--help").returncode == 0


def test_an_older_python_reads_it_and_is_told_which_one_is_needed(project: Path) -> None:
    source = RUN.read_text()
    ast.parse(source, feature_version=(3, 6))
    (project / "run.py").write_text(source.replace("(3, 11)", "(4, 11)"))
    done = run(project, "up")
    assert only_sentence(done).startswith("saddle: Python 3.11 or newer is needed, and this is 3.")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("output", "sentence"), [
    ("The virtual environment was not created successfully because ensurepip is not available.",
     f"apt install python3.{sys.version_info.minor}-venv"),
    ("Error: [Errno 28] No space left on device", "no space left on the disk of"),
    ("Error: [Errno 13] Permission denied: '/x/.venv'", "Permission denied: '/x/.venv'"),
    ("it rained", "creating .venv failed: it rained"),
])  # fmt: skip
def test_a_venv_that_cannot_be_made_is_one_sentence(project: Path, output: str, sentence: str) -> None:
    stub = project.parent / "stub"
    stub.mkdir()
    (stub / "venv.py").write_text(f"import sys; sys.exit({output!r})")
    assert sentence in only_sentence(run(project, "up", PYTHONPATH=str(stub)))


def test_no_network_is_one_sentence(with_environment: Path) -> None:
    project = with_environment
    environment = {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1"}
    sentence = only_sentence(run(project, "up", **environment))
    assert "no package index can be reached; check the network" in sentence
    assert not (project / "builds").exists()


def test_a_missing_package_is_one_sentence_with_the_log(with_environment: Path) -> None:
    project = with_environment
    (project / "pyproject.toml").write_text(PYPROJECT.replace("requires = []", 'requires = ["no-such-package-here"]'))
    sentence = only_sentence(run(project, "up"))
    assert "No matching distribution found for no-such-package-here" in sentence
    assert "no-such-package-here" in (project / ".venv" / "saddle-install.log").read_text()


def test_a_folder_that_cannot_be_written_is_one_sentence(project: Path, as_ordinary_user: Run) -> None:
    project.chmod(0o555)
    done = as_ordinary_user(str(project / "run.py"), "up")
    project.chmod(0o755)
    assert f"{project} cannot be used (Permission denied)" in only_sentence(done)
    assert len(done.stderr.splitlines()) == 1


def test_pips_settings_are_told_to_uv_and_a_persons_own_stay(run_py: ModuleType) -> None:
    settings = {
        "find-links": "/a\n/b",
        "index-url": "https://i",
        "extra-index-url": "https://e https://f",
        "cert": "/c",
    }
    told = run_py.uv_environment(settings, {"SSL_CERT_FILE": "/mine"})
    assert told == {
        "UV_FIND_LINKS": "/a,/b",
        "UV_DEFAULT_INDEX": "https://i",
        "UV_INDEX": "https://e https://f",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "SSL_CERT_FILE": "/mine",
    }
    assert run_py.uv_environment({}, {}) == {"UV_TORCH_BACKEND": "auto"}
    assert run_py.uv_environment({"find-links": "/a"}, {}) == {"UV_FIND_LINKS": "/a"}


def test_pips_settings_are_read_with_the_environment_first(
    run_py: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    configuration = tmp_path / "pip.conf"
    configuration.write_text(
        "[global]\nfind-links = /file\n    /more\ncert = /c\n[install]\nindex-url = https://x/'y'\n"
    )
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(configuration))
    monkeypatch.setattr(run_py, "PYTHON", Path(sys.executable))
    read = run_py.pip_settings()
    assert read["find-links"].split() == ["/file", "/more"]
    assert read["index-url"] == "https://x/'y'"
    monkeypatch.setenv("PIP_FIND_LINKS", "/environment")
    assert run_py.pip_settings()["find-links"] == "/environment"


def test_a_long_step_shows_signs_of_life(
    run_py: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_py, "PROGRESS_S", 0.2)
    code = "import time; print('fetching torch', flush=True); time.sleep(1)"
    assert run_py.run("installing", [sys.executable, "-c", code]) == (0, "fetching torch\n")
    assert re.search(r"saddle: installing: \d+ s  fetching torch", capsys.readouterr().err)


def test_the_stamp_keeps_what_else_was_installed(
    run_py: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(run_py, "STAMP", tmp_path / "stamp.json")
    monkeypatch.setattr(run_py, "PYTHON", Path(sys.executable))
    run_py.write_stamp("local")
    assert (run_py.installed("local"), run_py.installed("dev")) == (True, False)
    run_py.write_stamp("dev")
    assert set(json.loads((tmp_path / "stamp.json").read_text())) == {"local", "dev"}
