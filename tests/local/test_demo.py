"""The demo's lines, from documents as the API sends them."""

from typing import Any

from service.local.demo import PAIR, progress, table
from service.spec.preset_loader import presets


def run(state: str, step: int, **last: Any) -> dict[str, Any]:
    series = {name.replace("__", "/"): {"last": value, "min": value} for name, value in last.items()}
    return {"id": "run_1", "state": state, "step": step, "total_steps": 900, "series": series}


def test_the_pair_are_presets_that_differ_in_the_optimizer_alone() -> None:
    first, second = (presets()[name].model_dump(exclude={"name", "notes", "optimizer"}) for name in PAIR)
    assert first == second
    assert presets()[PAIR[0]].optimizer != presets()[PAIR[1]].optimizer


def test_progress_adds_up_the_runs_and_leaves_out_what_is_not_finite() -> None:
    runs = [run("running", 450, loss=0.5), run("queued", 0), run("failed", 3, loss="NaN")]
    assert progress({"runs": runs}) == "failed, queued, running 453/2700, loss 0.5"
    assert progress({"runs": [run("queued", 0)]}) == "queued 0/900, loss -"


def test_the_table_has_a_line_for_each_experiment_in_even_columns() -> None:
    done = {"runs": [run("succeeded", 900, loss=0.2, val__loss=0.3, val__accuracy=0.9)] * 2}
    head, first, second = table([done, done])
    assert first.split() == [PAIR[0], "2", "succeeded", "0.2", "0.3", "0.9"]
    assert second.split()[0] == PAIR[1]
    assert head.index("validation accuracy") == first.index("0.9")
