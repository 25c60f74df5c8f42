"""What may load what, seen in fresh interpreters: the lint reads imports, this runs them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def loaded_by(module: str) -> set[str]:
    """Names of all modules a fresh interpreter holds after importing `module`."""
    code = f"import sys, {module}; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module", ["service.api.app", "service.notifications", "worker.tasks", "worker.supervisor.claim_loop"]
)
def test_neither_the_api_nor_a_supervisor_loads_torch(module: str) -> None:
    assert not {"torch", "sklearn"} & loaded_by(module)


def test_importing_the_spec_loads_only_pydantic_and_the_standard_library() -> None:
    heavy = {"sqlalchemy", "fastapi", "celery", "numpy", "torch", "redis"}
    assert not heavy & loaded_by("service.spec.experiment")


def test_a_trainer_loads_neither_the_database_nor_the_broker() -> None:
    assert not {"sqlalchemy", "psycopg", "celery", "redis", "fastapi"} & loaded_by("worker.trainer")


@pytest.mark.parametrize("word", ["pickle", r"(?<!\.)\beval\(", r"shell=True", r"torch\.load"])
def test_no_code_of_ours_uses_what_turns_data_into_code(word: str) -> None:
    sources = [path for part in ("service", "worker") for path in (ROOT / part).rglob("*.py")]
    assert len(sources) > 30
    using = [
        path.name
        for path in sources
        if re.search(rf"^\s*(import|from)\s+{word}\b" if word == "pickle" else word, path.read_text(), re.MULTILINE)
    ]
    assert using == []


@pytest.mark.parametrize("module", ["claims.py", "leases.py", "endings.py", "reaper.py"])
def test_the_lease_never_asks_a_wall_clock_of_this_machine(module: str) -> None:
    source = (ROOT / "service" / "db" / "runs" / module).read_text()
    assert not re.search(r"time\.time\(|datetime\.now|utcnow", source)
