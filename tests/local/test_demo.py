"""The demo's lines, from documents as the API sends them."""

from typing import Any

from service.local.demo import PRESETS, describe_progress, format_comparison
from service.spec.parse.presets import presets


def experiment(*runs: tuple[str, int], main: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"runs": [{"state": state, "step": step, "total_steps": 900} for state, step in runs], "main": main}


def test_the_pair_are_presets_that_differ_in_the_optimizer_alone() -> None:
    first, second = (presets()[name].model_dump(exclude={"name", "notes", "optimizer"}) for name in PRESETS)
    assert first == second
    assert presets()[PRESETS[0]].optimizer != presets()[PRESETS[1]].optimizer


def test_progress_adds_up_the_runs_and_tells_the_servers_result() -> None:
    one = experiment(("running", 450), ("queued", 0), ("failed", 3), main={"series": "val/loss", "last": 0.5})
    assert describe_progress(one) == "failed, queued, running 453/2700, val/loss 0.5"
    assert describe_progress(experiment(("queued", 0))) == "queued 0/900"
    assert describe_progress(experiment(("failed", 3), main={"series": "val/loss", "last": None})).endswith(
        "val/loss -"
    )


def test_the_table_has_a_line_for_each_group_in_even_columns() -> None:
    figures = {"val/loss": 0.3, "val/accuracy": 0.9, "loss": 0.2}
    series = {name: {"last": {"mean": mean}} for name, mean in figures.items()}
    groups = [{"label": name, "runs": ["run_1", "run_2"], "series": series} for name in PRESETS]
    head, first, second = format_comparison({"groups": groups})
    assert first.split() == [PRESETS[0], "2", "0.3", "0.9", "0.2"]
    assert second.split()[0] == PRESETS[1]
    assert head.index("validation accuracy") == first.index("0.9")
