"""The recipe of examples/plugin_model, whole: check, wheel, install, train by the product, compare, and plain PyTorch.

    python -m tests.recipes.plugin_model

Takes a minute. The package is installed into a folder of its own, not into this environment.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from service.local.postgres import EmbeddedPostgres
from tests.fixtures.database import FAST
from tests.harness.databases import copy_database, create_key, create_template
from tests.harness.folders import server_folder
from tests.harness.product import ENDED, ROOT, Product
from tests.harness.waiting import until

RECIPE = ROOT / "examples" / "plugin_model"
PACKAGE = RECIPE / "fourier-features"
PAIRS = 5  # of timed runs


def run(*arguments: object, **settings: str) -> str:
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | settings, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def install(folder: Path) -> str:
    """Build the wheel and install it into `folder`; return the PYTHONPATH of the server and its workers."""
    copy = folder / "source"
    subprocess.run(["cp", "-r", PACKAGE, copy], check=True)  # building leaves files beside the sources
    pip = ("-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, copy)
    (wheel,) = folder.glob("*.whl")
    run(*pip, "install", "--no-deps", "--target", folder / "site", wheel)
    return os.pathsep.join([str(ROOT), str(folder / "site")])


@contextmanager
def product(path: str) -> Iterator[Product]:
    """The product with one worker on the CPU, of one thread."""
    with (
        server_folder("saddle-example-") as home,
        EmbeddedPostgres(home / "pg", conf=FAST) as postgres,
        copy_database(postgres, create_template(postgres)) as url,
    ):
        quick = {"SADDLE_BROKER_URL": "redis://127.0.0.1:1", "SADDLE_POLL_S": "0.2"}
        made = Product(home, postgres, url, PYTHONPATH=path, **quick)
        made.key = create_key(url, "example")
        try:
            made.start_worker()
            made.start_api()
            yield made
        finally:
            made.end()


def trained(made: Product, recipe: str, **changes: Any) -> str:
    """Post a spec of the recipe and wait for its runs; return the experiment's id."""
    spec = json.loads((RECIPE / f"{recipe}.json").read_text())
    answer = made.http.post("/v1/experiments", json=spec | changes)
    assert answer.status_code == 201, answer.text
    path = f"/v1/experiments/{answer.json()['id']}"
    until(lambda: all(each["state"] in ENDED for each in made.http.get(path).json()["runs"]), 300)
    assert {each["state"] for each in made.http.get(path).json()["runs"]} == {"succeeded"}
    return str(answer.json()["id"])


def last_values(made: Product, experiment: str) -> list[float]:
    """The last validation loss of each run."""
    runs = made.http.get(f"/v1/experiments/{experiment}").json()["runs"]
    found = [made.http.get(f"/v1/runs/{each['id']}/series?names=val/loss&points=all").json() for each in runs]
    return [each["series"]["val/loss"]["value"][-1] for each in found]


def plain(*seeds: int) -> list[dict[str, float]]:
    """What the plain training prints."""
    return [json.loads(line) for line in run(RECIPE / "plain.py", *seeds).splitlines()]


def time_side_by_side(made: Product) -> list[tuple[float, float]]:
    """Seconds of a run by Saddle and of the plain one, one after the other."""
    found = []
    for seed in range(PAIRS):
        experiment = trained(made, "fourier", name=f"timed {seed}", seeds=[seed])
        (one,) = made.http.get(f"/v1/experiments/{experiment}").json()["runs"]
        found.append((one["trained_s"], plain(seed)[0]["seconds"]))
    return found


def main() -> int:
    """Print what came out; 0 where it is as the recipe says."""
    with tempfile.TemporaryDirectory() as folder:
        path = install(Path(folder))
        print(run("-m", "worker.trainer.plugin_check", PACKAGE), end="")
        with product(path) as made:
            began = trained(made, "fourier"), trained(made, "mlp")
            asked = {"experiments": list(began), "series": ["val/loss"]}
            compared: dict[str, Any] = made.http.post("/v1/comparisons", json=asked).json()
            ours, others = (last_values(made, each) for each in began)
            needs = made.http.get(f"/v1/experiments/{began[0]}").json()["runs"][0]["needs"]
            pairs = time_side_by_side(made)
        theirs = [each["val/loss"] for each in plain(0, 1, 2)]
    ratio = median(one / other for one, other in pairs)
    contrast = compared["ranking"]["items"][1]["contrast"]
    noise = 3 * (stdev(ours) ** 2 / 3 + stdev(theirs) ** 2 / 3) ** 0.5
    for name, values in (("fourier_features by Saddle", ours), ("the same in plain PyTorch", theirs), ("mlp", others)):
        print(f"{name:<28} val/loss {mean(values):.5f} +- {stdev(values):.5f}")
    print(f"difference from plain {mean(ours) - mean(theirs):+.5f}, three standard errors {noise:.5f}")
    told = ", ".join(f"{one:.2f} / {other:.2f}" for one, other in pairs)
    print(f"seconds of Saddle / plain: {told}; median ratio {ratio:.2f}")
    print(f"needs {needs}; mlp is {contrast['verdict']}")
    right = (
        needs == ["fourier-features==1.0.0"],
        compared["ranking"]["items"][0]["label"] == "fourier-features",
        contrast["verdict"] == "worse",
        abs(mean(ours) - mean(theirs)) <= noise,
        ratio <= 1,
    )
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
