"""The tools of an assistant over standard input and output: from the catalogue to a verdict."""

import re
from collections.abc import Callable
from typing import Any

from service.client import Client
from tests.client.mcp.conftest import Assist, Session
from tests.harness.databases import create_key
from tests.harness.product import Product

Spec = Callable[..., dict[str, Any]]
READING = {
    *("find_parts", "show_part", "check_spec", "estimate_cost"),
    *("list_experiments", "status", "wait", "compare", "diagnose", "check_study"),
}
ADDING, ENDING = {"submit", "confirm", "extend_confirmation", "start_study", "confirm_study"}, {"cancel"}


def id_in(text: str, prefix: str) -> str:
    """The first id of a kind in an answer."""
    found = re.search(rf"\b{prefix}_[0-9a-z]{{26}}\b", text)
    assert found, text
    return found[0]


def test_an_assistant_comes_from_the_catalogue_to_a_verdict(assist: Assist, spec: Spec) -> None:
    async def work(session: Session) -> None:
        assert "| optimizers | nadam | Adam with Nesterov momentum. |" in await session.call(
            "find_parts", query="nesterov"
        )
        assert "| momentum | 0.0 | number \\>= 0, \\< 1 |" in await session.call(
            "show_part", family="optimizers", kind="sgd"
        )
        wrong = {"kind": "sgd", "lr": -1, "momentums": 0.9}
        refusal = await session.refused("check_spec", spec=spec(optimizer=wrong))
        assert "/optimizer/lr: should be greater than or equal to 0. Allowed: >= 0.0." in refusal
        assert "/optimizer/momentums: there is no such field. Did you mean 'momentum'?" in refusal
        right = spec(name="right | rate", optimizer={"kind": "sgd", "lr": 0.05, "momentum": 0.9}, seeds=[0, 1, 2])
        assert "Valid; nothing was stored" in await session.call("check_spec", spec=right)
        assert "- 3 runs, 120 steps together" in await session.call("estimate_cost", spec=right)
        good = id_in(await session.call("submit", spec=right), "exp")
        slow = id_in(
            await session.call(
                "submit", spec=spec(optimizer={"kind": "sgd", "lr": 1e-5}), name="slow", seeds=[0, 1, 2]
            ),
            "exp",
        )
        assert "All runs have ended." in await session.call("wait", what=[good, "slow"])
        compared = await session.call("compare", what=[good, slow])
        assert '"right \\| rate" is better than "slow", paired over 3 seeds.' in compared
        comparison = id_in(compared, "cmp")
        assert await session.call("status", what=comparison) == compared
        found = await session.call("diagnose", run="slow:0")
        assert "lr_too_small" in found
        assert '"path": "/optimizer/lr"' in found
        assert f'| {slow} | "slow" | 3 succeeded |' in await session.call("list_experiments", filter="name = slow")
        assert '"right \\| rate"' in await session.call("status", what="right | rate")
        confirmed = await session.call("confirm", comparison=comparison, seeds=2)
        assert "0 of 4 runs have ended" in confirmed
        assert "All runs have ended." in await session.call("wait", what=[comparison])
        told = await session.call("status", what=comparison)
        assert "**confirmed**: On fresh seeds alone" in told
        assert "Looked at any time: After 2 seeds, this test has not decided; the test of the planned" in told
        extended = await session.call("extend_confirmation", comparison=comparison, seeds=10)
        assert "On fresh seeds alone, which were extended" in extended
        await session.call("wait", what=[comparison])
        assert 'After 12 seeds, "right \\| rate" is better than "slow"' in await session.call("status", what=comparison)

    assert assist(work) == ""


def test_an_assistant_finds_a_good_rate_within_a_budget(assist: Assist, client: Client, spec: Spec) -> None:
    rate = {"kind": "log_uniform", "low": 1e-6, "high": 0.5}
    study = {"name": "rate | study", "base": spec(probes=[]), "space": {"/optimizer/lr": rate}, "seeds": [0]}
    study |= {"sampler": {"kind": "sobol"}, "budget": {"trials": 6}, "parallel": 2}

    async def search(session: Session) -> None:
        refusal = await session.refused("check_study", study=study | {"space": {"/optimizer/rate": rate}})
        assert "/space/~1optimizer~1rate" in refusal
        assert "- 6 trials of 40 steps, all seeds together" in await session.call("check_study", study=study)
        started = await session.call("start_study", study=study)
        assert '- name "rate \\| study"' in started
        found = id_in(started, "std")
        ended = await session.call("wait", what=[found], deadline_s=55)
        assert "- finished" in ended
        assert "| trials | 6 | 6 |" in ended
        best = client.http.get(f"/v1/studies/{found}")["best"]
        assert f"Trial {best['number']}, experiment {best['experiment_id']}" in ended
        assert f"| {best['number']} | {best['experiment_id']} |" in ended
        assert best["point"]["/optimizer/lr"] > 1e-3
        values = [each["value"] for each in client.http.get(f"/v1/studies/{found}/trials")["items"]]
        assert best["value"] == min(values) < max(values) - 0.2
        confirming = await session.call("confirm_study", study=found, seeds=2)
        comparison = id_in(confirming, "cmp")
        assert "All runs have ended." in await session.call("wait", what=[comparison])
        assert f"done, comparison {comparison}: " in await session.call("status", what=found)

    assist(search)


def test_a_study_is_stopped_like_a_run(assist: Assist, spec: Spec) -> None:
    async def stop(session: Session) -> None:
        base = spec(probes=[], steps=1_000_000)
        space = {"/optimizer/lr": {"kind": "uniform", "low": 0.01, "high": 0.1}}
        made = await session.call(
            "start_study", study={"base": base, "space": space, "budget": {"trials": 3}, "seeds": [0]}
        )
        found = id_in(made, "std")
        assert "- running" in await session.call("wait", what=[found], deadline_s=1)
        assert await session.call("cancel", what=found) == f"{found}: stopped\n"
        assert "- stopped" in await session.call("status", what=found)

    assist(stop)


def test_a_deadline_tells_what_is_known_and_what_goes_on(assist: Assist, spec: Spec) -> None:
    async def work(session: Session) -> None:
        made = await session.call("submit", spec=spec(name="long", steps=1_000_000))
        text = await session.call("wait", what=[id_in(made, "exp"), id_in(made, "run")], deadline_s=0.5)
        assert text.startswith("1 of 1 runs have not ended after 0.5 s: call wait again.\n")
        assert "cancel" in await session.call("cancel", what="long")
        assert "All runs have ended." in await session.call("wait", what=["long"])

    assist(work)


def test_what_is_not_there_and_what_makes_no_sense_is_an_error_of_the_tool(assist: Assist, spec: Spec) -> None:
    async def work(session: Session) -> None:
        assert "Families are: datasets" in await session.call("find_parts", query="no such thing")
        assert "there are: sgd" in await session.refused("show_part", family="optimizers", kind="sgdd")
        assert "no experiment is called 'nobody'" in await session.refused("status", what="nobody")
        assert "column 1" in await session.refused("list_experiments", filter="optimizer.kin = sgd")
        assert "not both and not neither" in await session.refused("compare")
        assert "no id or name" in await session.refused("confirm", comparison="../../admin")
        assert "less than or equal to 600" in await session.refused("wait", what=["x"], deadline_s=601)

    assist(work)


def test_the_tools_say_what_they_do_to_the_server(assist: Assist) -> None:
    async def work(session: Session) -> None:
        tools = {each.name: each for each in (await session.assistant.list_tools()).tools}
        assert set(tools) == READING | ADDING | ENDING
        for name, tool in tools.items():
            hints = tool.annotations
            assert hints is not None
            assert (hints.read_only_hint, hints.destructive_hint) == (name in READING, name in ENDING)
            assert 80 < len(tool.description or "") < 600
            assert "client" not in tool.input_schema["properties"]
            assert all("description" in each for each in tool.input_schema["properties"].values()), name
        assert "never an instruction" in (session.assistant.instructions or "")

    assist(work)


def test_scopes_and_quotas_hold_because_it_is_the_persons_key(
    server: Product, client: Client, assist: Assist, spec: Spec
) -> None:
    reader = client.create_key("assistant", scope="read")

    async def read(session: Session) -> None:
        await session.call("list_experiments")
        assert "scope" in await session.refused("submit", spec=spec(name="not to be"))
        assert "No experiment matches." in await session.call("list_experiments", filter='name = "not to be"')

    said = assist(read, reader.key)
    assert reader.key.partition(".")[2] not in said

    async def submit_too_much(session: Session) -> None:
        assert "| waiting runs | 0 | 1 | runs | yours |" in await session.call("estimate_cost", spec=spec())
        refusal = await session.refused("submit", spec=spec(seeds=[0, 1]))
        assert "has a quota of 1 for waiting runs" in refusal

    key = create_key(server.database_url, "small")
    with Client(server.url, key) as admin:
        admin.http.put("/v1/quotas/queued_runs", {"value": 1})
    assist(submit_too_much, key)
