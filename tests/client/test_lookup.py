"""What a name stands for, and that nothing is done where that is not clear."""

from collections.abc import Callable
from typing import Any

import pytest

from service.client import Client, lookup
from service.client.errors import Unusable
from service.schemas.experiments import PostedExperiment

Saddle = Callable[..., int]
Post = Callable[..., PostedExperiment]
QUICK = {"dataset": {"kind": "iris"}, "model": {"kind": "linear"}, "steps": 3, "batch_size": 32}


@pytest.fixture
def post(client: Client, spec: Callable[..., dict[str, Any]]) -> Post:
    return lambda name, **changes: client.submit(spec(**QUICK, name=name, **changes))


def test_an_exact_name_comes_before_a_seed_an_ending_and_the_newest(client: Client, post: Post) -> None:
    plain, colon, newest = post("exact", seeds=[32, 0]), post("exact:32"), post("latest")
    ending, run_of = (plain.id or "")[-8:], {run.seed: run.id for run in plain.runs}
    assert lookup.resolve(client, "exact:32") == [colon.id]
    assert lookup.resolve(client, "exact:0") == [run_of[0]]
    assert lookup.resolve(client, "exact:32:0") == [colon.runs[0].id]
    assert lookup.resolve(client, ending) == [plain.id]
    assert lookup.resolve(client, f"{ending}:32") == [run_of[32]]
    shadow = post(ending)
    assert lookup.resolve(client, ending) == [shadow.id]
    assert lookup.resolve(client, "latest") == [newest.id], "called so, though another is newer"
    client.label(newest.id or "", name="no longer")
    assert lookup.resolve(client, "latest") == [shadow.id]
    with pytest.raises(Unusable, match="exact has no run with seed 7; it has 0, 32"):
        lookup.resolve(client, "exact:7")


def test_an_ambiguous_name_is_refused_with_the_candidates_and_nothing_is_done(
    client: Client, post: Post, saddle: Saddle, capsys: pytest.CaptureFixture[str]
) -> None:
    other, twins = post("no twin"), [post("twin"), post("twin")]
    calls = [
        *(("show", "twin"), ("cancel", "no twin", "twin"), ("delete", "no twin", "twin", "--yes"), ("watch", "twin")),
        *(
            ("export", "twin:0"),
            ("compare", "no twin", "twin"),
            ("diagnose", "twin:0"),
            ("label", "twin", "--tag", "x"),
        ),
        *(("fork", "twin"), ("verify", "twin", "R1"), ("probe", "twin", "--kind", "curvature"), ("archive", "twin")),
        *(("retry", "twin"), ("replay", "twin"), ("checkpoints", "twin"), ("storage", "twin"), ("pause", "twin")),
    ]
    for call in calls:
        assert saddle(*call) == 2, call
        said = capsys.readouterr()
        assert "2 experiments are called 'twin', so nothing was done" in said.err, call
        for twin in twins:
            assert f"  {twin.id}  twin, by admin, " in said.err, call
        assert not said.out
    assert client.experiment(other.id or "").id, "what was clear was not deleted either"
    client.archive(twins[0].id or "")
    assert saddle("show", "twin", "--json") == 0
    assert twins[1].id in capsys.readouterr().out, "what was put away is not in the way"
    assert saddle("delete", "twin", "--yes") == 2, "unless something goes for good"
    client.archive(twins[1].id or "")
    assert saddle("show", "twin") == 2
    assert saddle("show", "no such name", "--json") == 2


@pytest.mark.parametrize(
    "name", ["it's 12\"", 'a "" b', "caf\u00e9", "\U0001f469\u200d\U0001f4bb run", "-dash", "%_\\", "a:b:c"]
)
def test_any_name_is_found_as_it_is(client: Client, post: Post, name: str) -> None:
    made = post(name)
    assert lookup.resolve(client, name) == [made.id]
    assert lookup.resolve(client, name.replace("\u00e9", "e\u0301")) == [made.id]


@pytest.mark.parametrize("name", ["", "x" * 129, "a\nb", "a\udcffb", "nothing:", ":3", "9" * 26], ids=ascii)
def test_what_nothing_can_be_called_is_not_found(client: Client, name: str) -> None:
    with pytest.raises(Unusable, match="no experiment is called"):
        lookup.resolve(client, name)
