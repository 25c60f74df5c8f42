"""The recipe examples/table against scikit-learn and a plain PyTorch loop: `python -m tests.recipes.table`, a minute.

Both train in turn, seed by seed, on an idle machine. It fails unless macro F1 agrees within the noise of the seeds
(Welch's t below 3) and the median of the ratios of their times is at most `SLOWEST`.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from examples.table.table import customers
from tests.harness.product import ROOT, Product, product

FOLDER = ROOT / "examples" / "table"
SLOWEST = 1.1  # the aim is 1.0; a shared machine is noisy
Result = dict[str, float]


def trained(running: Product, dataset_id: str, seed: int) -> tuple[Result, int]:
    """The result of the recipe with one seed, and the threads that it had."""
    spec: dict[str, Any] = json.loads((FOLDER / "spec.json").read_text())
    spec["dataset"]["upload"], spec["seeds"] = dataset_id, [seed]
    run_id = running.post("/v1/experiments", spec)["runs"][0]["id"]
    run = running.wait_for_end(run_id, 300)
    assert run["state"] == "succeeded", run
    (attempt,) = running.get(f"/v1/runs/{run_id}/attempts")["items"]
    (f1,) = running.exact_series(run_id, "val/f1_macro")[1][-1:]
    return {"f1": f1, "seconds": run["trained_s"]}, attempt["environment"]["threads"]


def plain(path: Path, seed: int, threads: int) -> Result:
    """The result of the plain loop."""
    command = [sys.executable, str(FOLDER / "plain.py"), str(path), str(seed), str(threads)]
    found: Result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def welch_t(ours: list[float], theirs: list[float]) -> float:
    """The difference of the means in standard errors."""
    error = (statistics.variance(ours) / len(ours) + statistics.variance(theirs) / len(theirs)) ** 0.5
    return (statistics.mean(ours) - statistics.mean(theirs)) / error


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, product() as running:
        customers().to_csv(path := Path(folder) / "customers.csv", index=False)
        answer = running.http.post("/v1/datasets?name=customers.csv", content=path.read_bytes())
        assert answer.status_code == 201, answer.text
        trained(running, answer.json()["id"], 99)  # the first run of a worker loads scikit-learn
        ours, theirs = list[Result](), list[Result]()
        for seed in range(3):
            found, threads = trained(running, answer.json()["id"], seed)
            ours.append(found)
            theirs.append(plain(path, seed, threads))
            print(f"seed {seed}: Saddle {ours[-1]}, plain {theirs[-1]}, {threads} threads", flush=True)
    f1 = [[each["f1"] for each in results] for results in (ours, theirs)]
    ratio = statistics.median(one["seconds"] / other["seconds"] for one, other in zip(ours, theirs, strict=True))
    for name, values in zip(("Saddle", "plain"), f1, strict=True):
        print(f"{name}: macro F1 {statistics.mean(values):.4f} +- {statistics.stdev(values):.4f}")
    print(f"difference {welch_t(*f1):+.2f} standard errors; time {ratio:.3f} of the plain loop's")
    assert abs(welch_t(*f1)) < 3
    assert ratio <= SLOWEST


if __name__ == "__main__":
    main()
