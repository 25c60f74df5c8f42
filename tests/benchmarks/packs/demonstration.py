"""Two demonstrations, packed and alone, laid over each other: `python -m tests.benchmarks.packs.demonstration`.

The 20 restarts of |x| (preset `fit-abs-2`), and a sweep of 64 rates over an MLP on diabetes, from far too low to far
too high, so that some diverge. Of the packed sweep one run is cancelled on the way. Printed are the seconds from the
first claim to the last row, how the runs ended, and how far their losses are from those of the same runs alone, as a
share of the largest loss of each: real processes, a real Postgres, the default probes. `--diagnose auto`
trains beside the runs that learned little, as the default of a spec does.
"""

import argparse
from collections import Counter
from typing import Any

import numpy as np

from tests.harness.product import Product, install_product
from tests.harness.waiting import until

RUNS = """
    SELECT r.state, coalesce(r.failure->>'code', ''), r.step, a.pack_runs
    FROM run r JOIN attempt a ON (a.run_id, a.attempt) = (r.id, r.attempt) WHERE r.id = ANY(%s)
"""
SPAN = "SELECT extract(epoch FROM max(finished_at) - min(started_at)) FROM run WHERE id = ANY(%s)"
RUNNING = "SELECT 1 FROM run WHERE id = ANY(%s) AND finished_at IS NULL LIMIT 1"
RATES = np.geomspace(1e-3, 1e1, 64)
CANCELLED = 20  # of the sweep


def restarts(steps: int) -> list[dict[str, Any]]:
    """The preset of 2 rectified units on |x|, from 20 starts."""
    return [{"preset": "fit-abs-2", "restarts": 20, "steps": steps}]


def sweep(steps: int) -> list[dict[str, Any]]:
    """64 experiments that differ in their rate."""
    spec = {
        "dataset": {"kind": "diabetes"},
        "model": {"kind": "mlp", "hidden": [64]},
        "loss": {"kind": "mse"},
        "batch_size": 64,
        "steps": steps,
    }
    return [spec | {"optimizer": {"kind": "sgd", "lr": float(rate), "momentum": 0.9}} for rate in RATES]


def train(
    product: Product, specs: list[dict[str, Any]], how: dict[str, str], cancelled: int | None = None
) -> list[str]:
    """Post the specs, cancel one run after a tenth of its steps, wait for all, and return the runs in order."""
    posted = [product.post("/v1/experiments", spec | how) for spec in specs]
    ids = [run["id"] for each in posted for run in each["runs"]]
    product.start_worker(SADDLE_PACK_RUNS="64" if how["pack"] == "auto" else "1")
    if cancelled is not None:
        product.wait_for_step(ids[cancelled], specs[0]["steps"] // 10, 600)
        product.post(f"/v1/runs/{ids[cancelled]}/cancel", {}, 202)
    until(lambda: not product.sql(RUNNING, ids), 3600, 0.2)
    product.stop(product.processes[-1])
    return ids


def distance(product: Product, packed: str, alone: str) -> float:
    """The largest difference of two curves where both have finite points, as a share of the largest loss."""
    ours, theirs = (np.array(product.exact_series(run)[1], float) for run in (packed, alone))
    common = min(len(ours), len(theirs))
    finite = np.isfinite(ours[:common]) & np.isfinite(theirs[:common])
    assert finite.any(), (packed, alone)
    ours, theirs = ours[:common][finite], theirs[:common][finite]
    return float(np.max(np.abs(ours - theirs)) / np.max(np.abs(theirs)))


def tell(product: Product, name: str, packed: list[str], alone: list[str]) -> None:
    """Print times, ends and differences of the same runs, packed and alone."""
    seconds = [float(product.sql(SPAN, ids)[0][0]) for ids in (packed, alone)]
    print(f"{name}: packed {seconds[0]:.1f} s, alone {seconds[1]:.1f} s, {seconds[1] / seconds[0]:.1f} x")
    for how, ids in (("packed", packed), ("alone", alone)):
        rows = product.sql(RUNS, ids)
        ends = Counter(f"{state} {code}".strip() for state, code, _, _ in rows)
        print(f"  {how}, up to {max(row[-1] for row in rows)} at once: {dict(ends)}")
        early = sorted(step for state, _, step, _ in rows if state != "succeeded")
        print(f"    those that did not succeed ended at steps {early}")
    apart = np.array([distance(product, *pair) for pair in zip(packed, alone, strict=True)])
    for bound in (1e-6, 1e-4, 1e-2):
        print(f"  {np.count_nonzero(apart <= bound)} of {len(apart)} losses within {bound:g}")
    print(f"  median {np.median(apart):.1e}, largest {np.max(apart):.1e} (run {np.argmax(apart)})", flush=True)


def main() -> None:
    """Train both demonstrations in both ways and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--diagnose", choices=["auto", "never"], default="never")
    given = parser.parse_args()
    with install_product(SADDLE_SPARES="0") as product:
        product.start_api()
        for name, specs, one in (
            ("20 restarts", restarts(given.steps), None),
            ("64 rates", sweep(given.steps), CANCELLED),
        ):
            packed = train(product, specs, {"pack": "auto", "diagnose": given.diagnose}, one)
            tell(product, name, packed, train(product, specs, {"pack": "never", "diagnose": given.diagnose}))


if __name__ == "__main__":
    main()
