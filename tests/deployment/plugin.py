#!/usr/bin/env python3
"""A team's plug-in in a deployment that is up: checked and trained in its images, compared with what Saddle brings.

    saddle plugin new acme && pip wheel --no-deps -w wheels ./acme
    docker compose up -d --build && tests/deployment/plugin.py acme

The argument is the folder that `saddle plugin new` wrote. Standard library only.
"""

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from smoke import Api, docker, wait_until_ready

BUILT_IN = {"model": {"kind": "mlp", "hidden": [32]}, "loss": {"kind": "cross_entropy"}}
INSTALLED = """
import importlib.metadata, importlib.util, json, sys
print(json.dumps([importlib.metadata.version(sys.argv[1]), importlib.util.find_spec("torch") is not None]))
"""


def fail(sentence: str) -> None:
    """End with a sentence."""
    sys.exit(f"plugin: {sentence}")


def check_images(name: str, version: str) -> None:
    """Both images hold the wheel, only the workers' torch; there each component passes the check of plug-ins."""
    for service, has_torch in (("api", False), ("worker", True)):
        found = json.loads(docker("exec", "-T", service, "python", "-c", INSTALLED, name).splitlines()[-1])
        if found != [version, has_torch]:
            fail(f"the image of {service} has {name} {found[0]}, {'with' if found[1] else 'without'} torch")
    told = docker("exec", "-T", "worker", "python", "-m", "worker.trainer.plugin_check", name)
    if f"{name} {version}" not in told or "ok " not in told:
        fail(f"the check in the workers' image said: {told}")
    print(told)


def check_catalog(api: Api, components: dict[str, str]) -> None:
    """The catalogue offers each component, and a worker can build it."""
    families = api.ask("/v1/catalog")["items"]
    pools = {each["kind"]: each["pools"] for family in families for each in family["items"]}
    for entry in components:
        found = pools.get(entry.split(".", 1)[1], {})
        if not any(found.values()):
            fail(f"no worker of the catalogue's pools can build {entry}: {found}")


def train(api: Api, spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs of a spec, which must all succeed."""
    return [api.ended(run["id"]) for run in api.ask("/v1/experiments", spec)["runs"]]


def main() -> int:
    """Check, train, compare."""
    folder = Path(sys.argv[1])
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    name, version = project["name"], project["version"]
    wait_until_ready()
    check_images(name, version)
    api = Api(docker("run", "--rm", "-T", "migrate", "python", "-m", "service.db", "key", "--project", "plugin"))
    check_catalog(api, project["entry-points"]["saddle.components"])
    spec = json.loads((folder / "spec.json").read_text())
    own = train(api, spec)
    plain = train(api, spec | BUILT_IN | {"name": "built-in", "dataset": {"kind": spec["dataset"]["kind"]}})
    for run in own:
        (attempt,) = api.ask(f"/v1/runs/{run['id']}/attempts")["items"]
        if attempt["environment"]["packages"].get(name) != version or name not in attempt["environment"]["code"]:
            fail(f"{run['id']} does not record {name} {version}: {attempt['environment']}")
    compared = api.ask("/v1/comparisons", {"experiments": [runs[0]["experiment_id"] for runs in (own, plain)]})
    if len(compared["groups"]) != 2:
        fail(f"the comparison is not one of two experiments: {json.dumps(compared)[:2000]}")
    print(f"plugin: {name} {version} trained {len(own)} runs and was compared with what Saddle brings")
    return 0


if __name__ == "__main__":
    sys.exit(main())
