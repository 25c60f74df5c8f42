"""What the two images hold, and who they run as."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILES = {"api": ROOT / "service" / "Dockerfile", "worker": ROOT / "worker" / "Dockerfile"}
EXTRAS = {"api": ["api", "telemetry"], "worker": ["worker", "vision", "optim", "telemetry"]}
TRAINING = {"torch", "torchvision", "scikit-learn", "safetensors", "psutil"}
WEB = {"fastapi", "uvicorn", "starlette", "python-multipart"}


def instructions(path: Path) -> list[str]:
    """A Dockerfile's instructions, one a line, comments left out."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    return [line.strip() for line in "\n".join(lines).replace("\\\n", " ").splitlines() if line.strip()]


def required(extra: str) -> set[str]:
    """The names of what `pip install .[extra]` asks for, other extras of ours followed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names: set[str] = set()
    for line in [*project["dependencies"], *project["optional-dependencies"][extra]]:
        if own := re.match(r"saddle\[([\w,]+)\]", line):
            names = names.union(*(required(further) for further in own[1].split(",")))
        else:
            names.add(re.split(r"[\[<>=!~ ;]", line, maxsplit=1)[0].lower())
    return names


def installed(image: str) -> set[str]:
    """What the Dockerfile asks pip for."""
    text = " ".join(line for line in instructions(DOCKERFILES[image]) if "pip install" in line)
    (extras,) = re.findall(r'"\.\[([\w,]+)\]"', text)
    assert extras.split(",") == EXTRAS[image]
    return set().union(*(required(extra) for extra in EXTRAS[image]))


def copied(image: str) -> set[str]:
    """What the Dockerfile copies out of the checkout."""
    words = [line.split() for line in instructions(DOCKERFILES[image]) if line.startswith("COPY")]
    return {source for line in words for source in line[1:-1] if not source.startswith("--")}


def test_the_api_image_holds_no_torch() -> None:
    assert not installed("api") & TRAINING
    assert not re.search("torch", " ".join(instructions(DOCKERFILES["api"])), re.IGNORECASE)
    assert copied("api") == {"pyproject.toml", "wheels/", "migrations/", "service/"}


def test_the_worker_image_holds_torch_and_no_web_framework() -> None:
    assert "torch" in installed("worker")
    assert not installed("worker") & WEB
    assert copied("worker") == {"pyproject.toml", "wheels/", "migrations/", "service/", "worker/"}


@pytest.mark.parametrize(("image", "first"), [("api", "--no-deps"), ("worker", "torch==2 torchvision==0")])
@pytest.mark.parametrize("wheels", [(), ("a-1-py3-none-any.whl", "b-2-py3-none-any.whl")])
def test_an_image_installs_the_wheels_of_plug_ins_if_there_are_any(
    image: str, first: str, wheels: tuple[str, ...], tmp_path: Path
) -> None:
    (line,) = (line for line in instructions(DOCKERFILES[image]) if "wheels/*.whl" in line)
    command = re.sub(r"^RUN( --mount=\S+)?\s+", "", line).replace("rm -rf /build/*", "true")
    (tmp_path / "wheels").mkdir()
    for name in ("README.md", *wheels):
        (tmp_path / "wheels" / name).touch()
    (tmp_path / "pip").write_text('#!/bin/sh\necho "$@" > called\n')
    (tmp_path / "pip").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TORCH": "torch==2", "TORCHVISION": "torchvision==0"}
    subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, env=environment, check=True)
    called = tmp_path / "called"
    assert called.exists() == bool(wheels)
    if wheels:
        assert called.read_text() == f"install {first} {' '.join(f'wheels/{name}' for name in wheels)}\n"


def test_the_torch_of_the_image_is_one_that_the_project_allows() -> None:
    (default,) = re.findall(r'ARG TORCH="torch==(\d+)\.(\d+)\.\d+"', DOCKERFILES["worker"].read_text())
    (bounds,) = (line for line in _worker_lines() if line.startswith("torch>="))
    low, high = ([int(part) for part in bound] for bound in re.findall(r"(\d+)\.(\d+)", bounds))
    assert low <= [int(part) for part in default] < high
    assert f"torch=={default[0]}.{default[1]}" in (ROOT / "docker-compose.yml").read_text()


def test_the_worker_image_holds_what_its_specs_and_gpus_need() -> None:
    assert {"timm", "torchvision", "schedulefree", "pytorch-optimizer", "nvidia-ml-py"} <= installed("worker")


def test_torch_and_torchvision_come_from_one_index_and_belong_together() -> None:
    (line,) = (line for line in instructions(DOCKERFILES["worker"]) if "TORCH_INDEX:+" in line)
    assert '"$TORCH" "$TORCHVISION"' in line
    pins = dict(re.findall(r'ARG \w+="(\w+)==([\d.]+)"', DOCKERFILES["worker"].read_text()))
    assert pins.keys() == {"torch", "torchvision"}
    assert pins == {name: version(name).partition("+")[0] for name in pins}  # those that the tests run with
    needed = [re.sub(r"[ ()]", "", line) for line in requires("torchvision") or []]
    assert f"torch=={pins['torch']}" in needed
    compose = (ROOT / "docker-compose.yml").read_text()
    assert all(f":-{name}=={number}}}" in compose for name, number in pins.items())


def test_what_the_worker_image_copies_lists_the_devices_and_trains(tmp_path: Path) -> None:
    """A folder with these files alone, run as the image runs them: nothing is missing."""
    for source in copied("worker"):
        copy = shutil.copytree if source.endswith("/") else shutil.copy
        copy(ROOT / source, tmp_path / source)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""}
    listed = python("-m", "worker.trainer.devices", cwd=tmp_path, env=environment)
    assert json.loads(listed.stdout) == ["cpu"], listed.stderr
    program = (
        "import service, worker.trainer.warm as warm; print(warm.__file__); warm.warm_up(warm.torch.device('cpu'))"
    )
    warm = python("-c", program, cwd=tmp_path, env=environment)
    assert warm.stdout.strip() == str(tmp_path / "worker" / "trainer" / "warm.py"), warm.stderr
    assert warm.returncode == 0, warm.stderr


def python(*arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, **options)


def _worker_lines() -> list[str]:
    lines: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"][
        "worker"
    ]
    return lines


@pytest.mark.parametrize("image", DOCKERFILES)
def test_an_image_does_not_run_as_root(image: str) -> None:
    users = [line.split()[1] for line in instructions(DOCKERFILES[image]) if line.startswith("USER")]
    assert users[-1] == "10001:10001"


@pytest.mark.parametrize("image", DOCKERFILES)
def test_an_image_starts_its_program_without_a_shell_in_between(image: str) -> None:
    (command,) = (line for line in instructions(DOCKERFILES[image]) if line.startswith(("CMD", "ENTRYPOINT")))
    assert command.startswith('CMD ["python", "-m", ')


@pytest.mark.parametrize("image", DOCKERFILES)
def test_a_change_of_code_reuses_the_layer_of_dependencies(image: str) -> None:
    lines = instructions(DOCKERFILES[image])
    last_install = max(place for place, line in enumerate(lines) if "pip install" in line)
    first_code = min(place for place, line in enumerate(lines) if re.match(r"COPY (service|worker|migrations)/", line))
    assert last_install < first_code


@pytest.mark.parametrize("image", DOCKERFILES)
def test_what_an_image_copies_is_what_the_ignore_file_lets_through(image: str) -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {source.rstrip("/") for source in copied(image)} <= allowed
    assert "*" in (ROOT / ".dockerignore").read_text().splitlines()


def test_the_databases_and_brokers_containers_do_not_run_as_root(services: dict[str, dict[str, str]]) -> None:
    assert services["db"]["user"] == "postgres"
    assert services["broker"]["user"] == "redis"
    assert "USER 101:101" in (ROOT / "proxy" / "Dockerfile").read_text()
    for name in ("migrate", "proxy", "api", "worker", "worker-gpu"):
        assert "user" not in services[name]  # the image's own


def test_celery_is_asked_for_with_what_its_redis_transport_imports() -> None:
    """kombu's Redis transport imports `packaging`, which only the extra brings; a development environment hides it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert any(line.startswith("celery[redis]") for line in project["optional-dependencies"]["server"])
    assert all("saddle[server]" in project["optional-dependencies"][side] for side in ("api", "worker"))
