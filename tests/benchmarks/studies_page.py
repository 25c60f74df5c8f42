"""Studies through HTTP, and how fast they give out trials: `python -m tests.benchmarks.studies_page`.

A study of 1,000 trials with 3 seeds each, of generated rows: GET of the study and of all its trials (goal 300 ms), and
one step of the function that moves it. Then trials an hour where training takes no time: from claim to claim, of a
worker that ends each run at once.
"""

import argparse
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright
from sqlalchemy import Engine, text

from service.db.access.principal import Principal
from service.db.access.projects import find_principal
from service.db.experiments import experiments
from service.db.experiments.experiments import NewExperiment
from service.db.metrics.codec import pack
from service.db.runs import claims, endings
from service.db.session import make_engine, transaction
from service.db.studies import studies
from service.lifecycle import State
from service.local.postgres import EmbeddedPostgres
from service.settings import Settings
from service.spec.studies.parse import parse_study
from service.studies.advance import advance
from tests.benchmarks.page import FLAGS, ROUNDS, opened, told
from tests.harness.databases import copy_database, create_key, create_template
from tests.harness.folders import server_folder
from tests.harness.product import Product

FRAME = """async () => {
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
    return performance.now();
}"""
ANSWERED = """() => Math.max(...performance.getEntriesByType("resource")
    .filter((each) => /trials|analysis/.test(each.name)).map((each) => each.responseEnd))"""
NODES = """() => Object.fromEntries([...document.querySelectorAll("main section, main table")].map((each) =>
    [each.querySelector("h2")?.textContent || "table", each.querySelectorAll("*").length]))"""
WHOLE = "document.querySelector('.panels:not(.growing)')"  # every chart has been drawn
STEPS = 100
DOCUMENT: dict[str, Any] = {
    "name": "benchmark",
    "base": {
        "dataset": {"kind": "iris"},
        "model": {"kind": "linear"},
        "loss": {"kind": "cross_entropy"},
        "optimizer": {"kind": "sgd"},
        "steps": STEPS,
    },
    "space": {
        "/optimizer/lr": {"kind": "log_uniform", "low": 1e-4, "high": 1.0},
        "/optimizer/momentum": {"kind": "uniform", "low": 0.0, "high": 0.99},
        "/batch_size": {"kind": "int", "low": 8, "high": 64, "log": True},
    },
    "seeds": [0, 1, 2],
    "pruner": {"kind": "asha", "first": 10},
    "budget": {"trials": 2000},
}
COPIES = """
    WITH made AS (
        INSERT INTO experiment (id, project_id, owner_id, name, spec, spec_hash, study_id, trial)
        SELECT 'exp_' || lpad(n::text, 26, '0'), project_id, owner_id, 'benchmark #' || n, spec, spec_hash, study_id, n
        FROM experiment, generate_series(1, :last) n WHERE study_id = :study_id AND trial = 0 RETURNING id, trial),
    runs AS (
        INSERT INTO run (id, experiment_id, project_id, owner_id, seed, total_steps, state, pool, step, trained_s)
        SELECT 'run_' || lpad((m.trial * 10 + r.seed)::text, 26, '0'), m.id, r.project_id, r.owner_id, r.seed,
            r.total_steps, CASE WHEN m.trial % 3 = 0 THEN 'succeeded' ELSE 'cancelled' END, 'none',
            CASE WHEN m.trial % 3 = 0 THEN 100 ELSE 10 END, 0.5
        FROM made m, run r WHERE r.experiment_id = :experiment_id)
    INSERT INTO study_trial (study_id, number, project_id, point, state, experiment_id, total_steps, rung_steps, rungs,
        value, seed_values, why, ended_at)
    SELECT :study_id, trial, :project_id, jsonb_build_object('/optimizer/lr', 1e-4 * (1 + trial),
            '/optimizer/momentum', (trial % 99) / 100.0, '/batch_size', 8 + trial % 57),
        CASE WHEN trial % 3 = 0 THEN 'finished' ELSE 'pruned' END, id, 100, '[10, 30, 90]',
        CASE WHEN trial % 3 = 0 THEN '[0.5, 0.4, 0.3]' ELSE '[0.7]' END::jsonb,
        CASE WHEN trial % 3 = 0 THEN 0.3 + 1.0 / (1 + trial) END,
        CASE WHEN trial % 3 = 0 THEN '[0.31, 0.3, 0.29]' ELSE '[]' END::jsonb,
        CASE WHEN trial % 3 = 0 THEN NULL ELSE 'place 12 of 20 at this rung, of which 6 go on' END, clock_timestamp()
    FROM made
"""


def fill(engine: Engine, principal: Principal, trials: int) -> str:
    """A study that has ended so many trials, and a pool that nobody serves; return its id."""
    document = parse_study(DOCUMENT).study
    with transaction(engine) as connection:
        study, _ = studies.add(connection, principal, "benchmark", document.normalised())
        spec = parse_study(DOCUMENT).spec.model_copy(update={"seeds": (0, 1, 2)})
        new = NewExperiment(spec, "none", study_id=study.id, trial=0)
        (first,) = experiments.add_many(connection, principal, [new])
        connection.execute(text("UPDATE run SET state = 'cancelled' WHERE experiment_id = :id"), {"id": first.id})
        connection.execute(
            text(
                "INSERT INTO study_trial (study_id, number, project_id, point, state, experiment_id, ended_at)"
                " VALUES (:study_id, 0, :project_id, '{}', 'pruned', :id, clock_timestamp())"
            ),
            {"study_id": study.id, "project_id": principal.project_id, "id": first.id},
        )
        values = {"study_id": study.id, "experiment_id": first.id, "project_id": principal.project_id}
        connection.execute(text(COPIES), values | {"last": trials - 1})
        studies.set_state(connection, study.id, "paused", None)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    return study.id


def timed(what: Callable[[], object], times: int = 20) -> tuple[float, float]:
    """Median and worst in ms, after one call that fills the caches."""
    what()
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        what()
        spent.append(1000 * (time.perf_counter() - began))
    return median(spent), max(spent)


def measure_page(product: Product, study_id: str) -> None:
    """The answers that the page of a study is made of."""
    for path in (
        f"/v1/studies/{study_id}",
        f"/v1/studies/{study_id}/trials",
        f"/v1/studies/{study_id}/analysis",
        "/v1/studies",
    ):
        size = len(product.http.get(path).raise_for_status().content)
        middle, worst = timed(lambda path=path: product.http.get(path).raise_for_status())  # type: ignore[misc]
        print(f"GET {path.replace(study_id, '...'):28} {middle:6.1f} ms, worst {worst:6.1f}, {size / 1000:.0f} kB")


def measure_browser(product: Product, study_id: str, trials: int) -> None:
    """From the address, with known scripts, to facts, first chart and the table of the best; then to all charts."""
    shown = f"document.querySelectorAll('table.list tbody tr').length >= {min(trials, 100)}"
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    first, whole, asked, parts = [], [], [], {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        for _ in range(ROUNDS):
            page = opened(browser, product, f"study/{study_id}", warm=True)
            page.wait_for_function(WHOLE, timeout=60_000)
            address = page.url
            page.goto("about:blank")
            page.goto(address)
            page.wait_for_function(shown, timeout=60_000)
            first.append(page.evaluate(FRAME))
            asked.append(page.evaluate(ANSWERED))
            page.wait_for_function(WHOLE, timeout=60_000)
            whole.append(page.evaluate(FRAME))
            parts = page.evaluate(NODES)
            page.context.close()
        browser.close()
    told(f"page of {trials} trials: facts, chart and table", first, 300)
    print(f"its answers were there after {median(asked):.0f} ms, all charts after {median(whole):.0f};", end=" ")
    print(f"nodes {json.dumps(parts)}")


def measure_step(engine: Engine, settings: Settings, study_id: str) -> None:
    """One step of a running study that gives out four points by TPE, then one that has nothing to do."""
    with transaction(engine) as connection:
        studies.set_state(connection, study_id, "running", None)
    began = time.perf_counter()
    queued = advance(engine, settings)
    print(
        f"step that gives out {len(queued)} points (first of its process) {1000 * (time.perf_counter() - began):.0f} ms"
    )
    middle, worst = timed(lambda: advance(engine, settings))
    print(f"step with nothing to do {middle:.1f} ms, worst {worst:.1f}")
    with transaction(engine) as connection:
        studies.set_state(connection, study_id, "paused", None)


def measure_rate(product: Product, engine: Engine, seconds: float, parallel: int) -> None:
    """Trials an hour of a study whose runs end as soon as they are claimed."""
    asked = DOCUMENT | {"pruner": "none", "seeds": [0], "parallel": parallel, "sampler": "random"}
    study_id = product.http.post("/v1/studies", json=asked).raise_for_status().json()["id"]
    steps = np.arange(1, STEPS + 1)
    chunks = {name: pack(steps, 1.0 / steps) for name in ("loss", "val/loss", "lr")}
    claimed: list[float] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with transaction(engine) as connection:
            held = claims.claim(connection, ["cpu"], "bench", uuid.uuid4().hex)
        if held is None:
            time.sleep(0.01)
            continue
        claimed.append(time.monotonic())
        with transaction(engine) as connection:
            endings.finish(connection, held, State.SUCCEEDED, chunks)
    product.http.post(f"/v1/studies/{study_id}/stop")
    rate = 3600 * (len(claimed) - 1) / (claimed[-1] - claimed[0])
    print(f"{rate:,.0f} trials an hour with {parallel} at once and no training, {len(claimed)} claims")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    with server_folder("saddle-bench-") as home, EmbeddedPostgres(home / "pg") as postgres:
        template = create_template(postgres)
        with copy_database(postgres, template) as url:
            product = Product(home, postgres, url, SADDLE_BROKER_URL="redis://127.0.0.1:1")
            product.key = create_key(url, "bench")
            engine = make_engine(url)
            with transaction(engine) as connection:
                principal = find_principal(connection, product.key)
            assert principal is not None
            study_id = fill(engine, principal, options.trials)
            print(json.dumps({"trials": options.trials, "seeds": 3}))
            measure_step(engine, Settings(database_url=url, broker_url=None), study_id)
            try:
                product.start_api()
                measure_page(product, study_id)
                measure_browser(product, study_id, options.trials)
                for parallel in (1, 4, 16):
                    measure_rate(product, engine, options.seconds, parallel)
            finally:
                product.end()
                engine.dispose()


if __name__ == "__main__":
    main()
