"""A study on the page: found in the list, watched, and its winner confirmed on fresh seeds."""

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.fixtures.product import SPEC
from tests.harness.product import Product
from tests.harness.waiting import until

See = Callable[[str], Page]
SPACE = {
    "/optimizer/lr": {"kind": "log_uniform", "low": 1e-3, "high": 1.0},
    "/model/hidden": {"kind": "choice", "options": [[8], [16]]},
}
STUDY = {
    "name": "searched",
    "space": SPACE,
    "sampler": "random",
    "pruner": {"kind": "asha", "eta": 2, "first": 0.5},
    "budget": {"trials": 10},
    "seeds": [0, 1],
}


@pytest.fixture(scope="module")
def study(stack: Product) -> dict[str, Any]:
    base = {**SPEC, "model": {"kind": "mlp"}, "optimizer": {"kind": "sgd"}, "epochs": 2, "evaluate": {"every_steps": 5}}
    made = stack.post("/v1/studies", STUDY | {"base": base})

    def ended() -> dict[str, Any] | None:
        found = stack.get(f"/v1/studies/{made['id']}")
        return found if found["state"] == "finished" else None

    return dict(until(ended, 120))


def test_a_study_is_listed_with_its_outcomes(see: See, study: dict[str, Any]) -> None:
    page = see("studies")
    page.get_by_role("link", name="searched").click()
    expect(page).to_have_url(re.compile(f"#/study/{study['id']}$"))
    expect(page.get_by_role("heading", level=1)).to_have_text("searched")


def test_the_list_of_experiments_says_whose_trial_each_is(see: See, study: dict[str, Any]) -> None:
    page = see(f"experiments?filter=study = {study['id']}")
    expect(page.get_by_role("columnheader", name="Trial")).to_be_visible()
    expect(page.locator("tr[data-row]")).to_have_count(10)
    widths = page.locator(".scroll.tall").evaluate("node => [node.scrollWidth, node.clientWidth, window.innerWidth]")
    assert widths[0] <= widths[1], "beside its curves the table cuts no column that it shows by itself"
    assert widths[2] == 1280
    expect(page.get_by_role("columnheader", name="Best")).to_be_visible()
    expect(page.get_by_role("columnheader", name="Owner")).to_have_count(0)
    page.get_by_text("Columns").click()
    page.get_by_role("button", name=re.compile("Owner")).click()
    expect(page.get_by_role("columnheader", name="Owner")).to_be_visible()
    page.get_by_text("Columns").click()
    page.locator("tr[data-row]", has_text="searched #3").get_by_role("link", name="#3", exact=True).click()
    expect(page).to_have_url(re.compile(f"#/study/{study['id']}$"))


def test_trials_are_drawn_by_outcome_and_open_their_experiments(see: See, study: dict[str, Any]) -> None:
    page = see(f"study/{study['id']}")
    progress = page.get_by_role("group", name="Trials in the order of the search")
    expect(progress.locator(".point")).to_have_count(10)
    assert progress.locator(".point.finished").count() == study["trials"]["finished"]
    expect(page.get_by_role("group", name="optimizer lr against the objective")).to_be_visible()
    expect(page.locator("tbody tr", has_text="stopped early")).to_have_count(study["trials"].get("pruned", 0))
    found = Axe().run(page).response["violations"]
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
    progress.locator(".point.finished").first.click()
    expect(page).to_have_url(re.compile("#/experiment/exp_"))


def test_the_trials_of_a_study_are_cards_on_a_phone_and_a_file_of_all(see: See, study: dict[str, Any]) -> None:
    page = see(f"study/{study['id']}")
    page.set_viewport_size({"width": 390, "height": 800})
    cells = page.locator("table.list td:not(:empty)")
    cells.first.wait_for()
    labels = cells.evaluate_all("all => all.map((each) => getComputedStyle(each, '::before').content)")
    assert all(re.fullmatch(r'"[^"]+"', label) for label in labels), labels
    assert max(cells.evaluate_all("all => all.map((each) => each.getBoundingClientRect().right)")) <= 390
    menu = page.locator(".listed > .export").last
    menu.locator("summary").click()
    with page.expect_download() as found:
        menu.get_by_role("button", name="CSV", exact=True).click()
    rows = list(csv.DictReader(io.StringIO(Path(found.value.path()).read_text())))
    assert len(rows) == 10
    assert all(1e-3 <= float(row["optimizer lr"]) <= 1.0 for row in rows)
    assert {row["State"] for row in rows} <= {"finished", "stopped early"}


def test_the_winner_is_confirmed_on_fresh_seeds_from_the_page(see: See, study: dict[str, Any], stack: Product) -> None:
    page = see(f"study/{study['id']}")
    page.get_by_role("button", name="Confirm on fresh seeds").click()
    page.get_by_label("Seeds each").fill("2")
    page.get_by_role("dialog").get_by_role("button", name="Confirm on fresh seeds").click()
    expect(page.get_by_role("heading", name="What fresh seeds say")).to_be_visible()
    until(lambda: stack.get(f"/v1/studies/{study['id']}")["confirmation"]["state"] == "done", 120)
    section = page.locator("section", has_text="What fresh seeds say")
    rows = section.locator("tbody tr")
    expect(rows.first.locator("td").last).to_have_text("2")
    expect(section).to_contain_text("After 2 seeds, nothing is decided")
    section.get_by_label("seeds per group").fill("1")
    section.get_by_role("button", name="Train 1 more seeds").click()
    expect(rows.first.locator("td").last).to_have_text("3", timeout=60_000)
    expect(page.get_by_role("button", name="Confirm on fresh seeds")).to_have_count(0)


def test_a_search_starts_from_an_experiment_and_ends_as_a_duel(see: See, stack: Product) -> None:
    base = {**SPEC, "name": "searched from", "model": {"kind": "mlp"}, "optimizer": {"kind": "sgd"}, "epochs": 1}
    made = stack.post("/v1/experiments", base)
    page = see(f"experiment/{made['id']}")
    page.get_by_role("button", name="Search…").click()
    page.get_by_role("radio", name=re.compile("Does SGD with a schedule beat Adam")).check()
    page.get_by_label("Trials", exact=True).fill("6")
    expect(page.get_by_text("Tree-structured Parzen estimator")).to_be_visible()
    page.get_by_label("Sampler").select_option("random")
    expect(page.get_by_text("Independent random points")).to_be_visible()
    page.get_by_role("button", name="Start the study").click()
    expect(page).to_have_url(re.compile("#/study/std_"))
    study = page.url.rpartition("/")[2]
    until(lambda: stack.get(f"/v1/studies/{study}")["state"] == "finished", 120)
    document = stack.get(f"/v1/studies/{study}")["document"]
    assert (document["sampler"]["kind"], document["pruner"]["kind"]) == ("random", "none")
    duel = page.locator("section", has_text="Which is better when each is tuned").locator("tbody tr")
    expect(duel).to_have_count(2)
    analysis = stack.get(f"/v1/studies/{study}/analysis")
    for at, row in enumerate(duel.all()):
        expect(row.locator("td").nth(1)).to_have_text("3")
        steps = [each[at] for each in analysis["steps_to_target"]]
        expect(row.locator("td").last).to_have_text(" | ".join("–" if each is None else str(each) for each in steps))
    profile = page.locator("section", has_text="Which is better when each is tuned").get_by_role(
        "img", name="Performance profile"
    )
    expect(profile).to_have_count(0)  # without rungs all took the same steps: there is nothing to draw
    steps = [{"ratio": 1.0, "shares": [0.25, 0.75]}, {"ratio": 3.0, "shares": [1.0, 0.75]}]
    page.route("**/analysis", lambda route: route.fulfill(json=analysis | {"profile": steps}))
    page.reload()
    expect(profile).to_be_visible()
    profile.hover()
    expect(page.locator(".hover:visible")).to_contain_text("0.75")


def test_the_range_of_a_question_is_changed_before_it_is_searched(see: See, stack: Product) -> None:
    base = {**SPEC, "name": "in a range", "model": {"kind": "mlp"}, "optimizer": {"kind": "sgd"}, "epochs": 1}
    made = stack.post("/v1/experiments", base)
    page = see(f"experiment/{made['id']}")
    page.get_by_role("button", name="Search…").click()
    page.get_by_label("Trials", exact=True).fill("1")
    low = page.get_by_label("/optimizer/lr low")
    expect(low).to_have_value("0.00001")
    low.fill("0.01")
    page.get_by_label("/optimizer/lr kind").select_option("uniform")
    page.get_by_role("button", name="Start the study").click()
    expect(page).to_have_url(re.compile("#/study/std_"))
    found = stack.get(f"/v1/studies/{page.url.rpartition('/')[2]}")["document"]["space"]["/optimizer/lr"]
    assert (found["kind"], found["low"], found["high"]) == ("uniform", 0.01, 0.1)


def test_what_trains_in_a_study_is_read_again_though_no_trial_ends(see: See, stack: Product) -> None:
    base = {**SPEC, "model": {"kind": "mlp"}, "optimizer": {"kind": "sgd"}, "pool": "nobody"}
    made = stack.post("/v1/studies", STUDY | {"base": base, "name": "waits"})
    until(lambda: stack.get(f"/v1/studies/{made['id']}")["trials"], 60)
    page = see("studies")
    page.clock.install()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.partition("?")[0]))
    page.get_by_role("link", name="waits").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("waits")
    for _ in range(9):
        with page.expect_response(f"**/v1/studies/{made['id']}"):
            page.clock.run_for(2500)
    assert sum(each.endswith("/trials") for each in asked) == 2, "at first, and at the eighth look"
    stack.http.post(f"/v1/studies/{made['id']}/stop").raise_for_status()


def test_a_study_goes_into_the_bin_and_comes_back(see: See, stack: Product) -> None:
    base = {**SPEC, "model": {"kind": "mlp"}, "optimizer": {"kind": "sgd"}, "epochs": 1}
    made = stack.post("/v1/studies", STUDY | {"base": base, "name": "unwanted", "budget": {"trials": 2}})
    until(lambda: stack.get(f"/v1/studies/{made['id']}")["state"] == "finished", 120)
    page = see(f"study/{made['id']}")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Put into the bin").click()
    expect(page.get_by_text("The study is in the bin.")).to_be_visible()
    expect(page.get_by_role("link", name="unwanted")).to_have_count(0)
    page = see("bin")
    page.locator("tr", has_text="unwanted").get_by_role("button", name="Restore").click()
    expect(page.get_by_text("unwanted")).to_have_count(0)
    assert stack.get(f"/v1/studies/{made['id']}")["trials"]


def test_two_dimensions_are_drawn_with_nothing_outside_of_the_trials(see: See, stack: Product) -> None:
    base = {**SPEC, "model": {"kind": "mlp"}, "optimizer": {"kind": "sgd"}, "epochs": 1}
    space = SPACE | {"/optimizer/momentum": {"kind": "uniform", "low": 0.0, "high": 0.9}}
    asked = STUDY | {"base": base, "space": space, "name": "a plane", "budget": {"trials": 6}, "pruner": "none"}
    made = stack.post("/v1/studies", asked)
    until(lambda: stack.get(f"/v1/studies/{made['id']}")["state"] == "finished", 120)
    page = see(f"study/{made['id']}")
    panel = page.locator("section", has=page.get_by_role("heading", name="Two dimensions at once"))
    panel.get_by_label("x", exact=True).select_option("/optimizer/lr")
    panel.get_by_label("y", exact=True).select_option("/optimizer/momentum")
    plane = panel.get_by_role("group", name="optimizer lr and optimizer momentum by the objective")
    expect(plane.locator("a.point")).to_have_count(6)
    cells = plane.locator("path.cells").evaluate_all(
        "all => all.reduce((sum, each) => sum + Number(each.dataset.cells), 0)"
    )
    assert 0 < cells < 30 * 40, "the hull of six points, and no corner beyond"
    panel.get_by_label("y", exact=True).select_option("/model/hidden")
    expect(panel.get_by_text("only the trials are drawn")).to_be_visible()
    expect(panel.locator("path.cells")).to_have_count(0)
    curves = page.locator("section", has_text="newest trials").get_by_role("heading", name="val/loss")
    expect(curves).to_be_visible()
