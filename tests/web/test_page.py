"""The page as a person uses it: signing in, looking, comparing, submitting, acting."""

import json
import re
import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Browser, Page, expect

from tests.fixtures.product import SPEC
from tests.harness.product import Product
from tests.harness.waiting import until

from .conftest import HOSTILE

See = Callable[[str], Page]
Trained = dict[str, Any]


def test_a_wrong_key_is_told_and_the_right_one_opens(stranger: Page, address: str, key: str, trained: Trained) -> None:
    stranger.goto(address)
    field = stranger.get_by_label("API key")
    field.fill("key_00000000000000000000000000.x")
    stranger.get_by_role("button", name="Use the key").click()
    expect(stranger.get_by_role("alert")).to_contain_text("mistyped")
    field.fill(key)
    stranger.get_by_role("button", name="Use the key").click()
    expect(stranger.get_by_role("link", name="fast", exact=True)).to_be_visible()
    assert stranger.evaluate("document.cookie") == ""
    stranger.get_by_role("button", name="Sign out").click()
    expect(stranger.get_by_label("API key")).to_be_visible()


def test_the_key_behind_the_address_is_taken_out_of_it(page: Page, key: str) -> None:
    assert key not in page.url


def test_the_table_shows_what_there_is_and_hostile_names_stay_text(see: See, trained: Trained) -> None:
    page = see("experiments")
    for name in HOSTILE:
        expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()
    assert page.locator("main img, main iframe, main script").count() == 0
    for name in HOSTILE[:3]:
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(name)
        page.go_back()


def test_the_list_has_figures_and_pictures_and_is_filtered_and_sorted(see: See, trained: Trained) -> None:
    page = see("experiments?curves=0")
    row = page.get_by_role("row", name=re.compile("slow"))
    expect(row.locator("svg.spark")).to_be_visible()
    assert float(row.locator("td").nth(6).inner_text().split("±")[0]) > 0
    box = page.get_by_role("combobox", name="Search experiments")
    box.fill("optimizer.lr < 0.001 AND name = slow")
    box.press("Enter")
    expect(page.get_by_role("link", name="fast", exact=True)).to_have_count(0)
    expect(page.get_by_role("link", name="slow", exact=True)).to_be_visible()
    box.fill("optimizer.lr << 3")
    box.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.locator("pre.place")).to_be_visible()
    box.fill("name IN (fast, slow)")
    box.press("Enter")
    page.get_by_role("link", name="fast", exact=True).wait_for()  # a heading of the table before sorts what that shows
    page.get_by_role("button", name="Best").click()
    expect(page.locator("tbody tr").first).to_contain_text("fast")
    page.get_by_role("button", name="Best").click()
    expect(page.locator("tbody tr").first).to_contain_text("slow")
    assert "sort=" in page.url


def test_the_keyboard_alone_finds_marks_compares_and_opens(see: See, trained: Trained) -> None:
    page = see("experiments")
    page.get_by_role("link", name="fast", exact=True).wait_for()
    page.keyboard.press("j")
    first = page.evaluate("document.activeElement.dataset.row")
    assert first.startswith("experiment/")
    page.keyboard.press("x")
    expect(page.get_by_text("1 selected")).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(re.escape(first)))
    page.keyboard.press("w")
    expect(page.get_by_role("heading", name="Workers")).to_be_visible()
    page.keyboard.press("e")
    page.get_by_role("link", name="fast", exact=True).wait_for()
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.type") == "search"


def test_the_chart_of_seeds_opens_on_the_series_that_is_ranked(see: See, trained: Trained) -> None:
    page = see(f"experiment/{trained['fast']['id']}")
    expect(page.locator("select#series")).to_have_value("val/loss")


def test_a_run_is_seen_live_and_paused_resumed_and_cancelled(see: See, stack: Product) -> None:
    run = stack.post("/v1/experiments", SPEC | {"name": "long", "epochs": 5000})["runs"][0]["id"]
    page = see(f"run/{run}")
    expect(page.get_by_role("status")).to_have_text("live")
    step = page.get_by_text(re.compile(r"step [\d,]+ of"))
    late = []
    for _ in range(5):
        reached = stack.run(run)["step"] + 1
        began = time.monotonic()
        until(lambda at=reached: shown(step) >= at, 10)
        late.append(time.monotonic() - began)
    assert sorted(late)[2] < 1.5, f"a point was seen {late} s after it was there"
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("paused").first).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("running").first).to_be_visible()
    stack.post(f"/v1/runs/{run}/cancel", {}, 202)
    expect(page.get_by_text("cancelled").first).to_be_visible()


def shown(step: Any) -> int:
    return int(re.sub(r"\D", "", step.inner_text().split("of")[0]))


def test_a_broken_run_says_why_and_the_axis_marks_what_is_not_finite(see: See, trained: Trained) -> None:
    page = see(f"run/{trained['broken']['runs'][0]['id']}")
    expect(page.get_by_role("alert")).to_contain_text("diverged")
    expect(page.get_by_role("img", name="Chart of loss")).to_be_visible()
    assert page.locator(".chart canvas").count() >= 2
    page.get_by_role("link", name="Spec", exact=True).click()
    page.get_by_role("button", name="YAML").click()
    expect(page.locator("pre.code")).to_contain_text("kind: digits")


def test_zooming_asks_for_the_window_and_the_address_keeps_it(see: See, trained: Trained) -> None:
    page = see(f"run/{trained['fast']['runs'][0]['id']}")
    chart = page.locator(".chart .u-over").first
    chart.wait_for()
    box = chart.bounding_box()
    assert box is not None
    with page.expect_request(re.compile(r"/series\?.*from=\d+&to=\d+")):
        page.mouse.move(box["x"] + 100, box["y"] + 50)
        page.mouse.down()
        page.mouse.move(box["x"] + 400, box["y"] + 60, steps=5)
        page.mouse.up()
    assert re.search(r"from=\d+&to=\d+", page.url)
    page.get_by_role("button", name="Whole run").click()
    assert "from=" not in page.url


def test_a_comparison_ranks_with_a_verdict_and_its_address_is_enough(
    see: See, trained: Trained, browser: Browser, address: str, key: str
) -> None:
    page = see(f"compare?experiments={trained['slow']['id']},{trained['fast']['id']}&series=val/loss,loss&share=0.5")
    verdict = page.locator("p.verdict").first
    expect(verdict).to_contain_text("better")
    first = page.locator("tbody tr").first.inner_text()
    assert "fast" in first
    expect(page.get_by_role("img", name="Chart of val/loss")).to_be_visible()
    expect(page.get_by_role("heading", name="Time to the target (step)")).to_be_visible()
    expect(page.get_by_role("columnheader", name="optimizer.lr")).to_be_visible()
    mean = page.get_by_role("img", name=re.compile(r"^0\.\d+, 0\.\d+ … 0\.\d+ \(95 % interval\)"))
    expect(mean.first).to_be_visible()
    expect(page.locator("tr.statistics")).to_have_count(0)
    page.get_by_role("button", name="Statistics of slow").click()
    expect(page.locator("tr.statistics")).to_contain_text("p-value (corrected)")
    page.get_by_label("Rank by").select_option("loss")
    expect(page.get_by_role("heading", level=2).first).to_have_text("Which is better, and how sure? (last loss)")
    page.go_back()
    expect(page.get_by_role("heading", level=2).first).to_have_text("Which is better, and how sure? (best val/loss)")
    page.get_by_label("Test against the value").fill("100")
    page.get_by_label("Test against the value").press("Enter")
    expect(page.get_by_text("The mean of fast is better than 100, over 3 seeds.")).to_be_visible()
    other = browser.new_page()
    other.goto(f"{address}/#key={key}")
    other.get_by_role("link", name="Saddle").wait_for()
    other.goto(page.url)
    expect(other.locator("p.verdict").first).to_have_text(verdict.inner_text())
    assert other.locator("tbody tr").first.inner_text() == first
    other.close()


def test_a_winner_is_confirmed_by_fresh_seeds_and_the_address_keeps_what_they_said(see: See, trained: Trained) -> None:
    page = see(f"compare?experiments={trained['slow']['id']},{trained['fast']['id']}&series=val/loss")
    page.get_by_label("seeds per group").fill("1")
    confirm = page.get_by_role("button", name="Confirm with fresh seeds")
    confirm.click()
    expect(page.get_by_role("alert")).to_contain_text("greater than or equal to 2")
    page.get_by_label("seeds per group").fill("3")
    confirm.click()
    result = page.locator("section", has=page.get_by_role("heading", name="Confirmation with fresh seeds"))
    confirmed = "Confirmed. On fresh seeds alone: fast is better than slow, paired over 3 seeds."
    expect(result).to_contain_text(confirmed, timeout=120_000)  # six runs are trained meanwhile
    expect(result).to_contain_text("Seeds 3–5")
    expect(result).to_contain_text("After 3 seeds, this test has not decided; the test of the planned seeds has")
    expect(result.get_by_role("button")).to_have_count(0)
    page.reload()
    expect(result.get_by_role("link", name="fast")).to_be_visible()
    page.get_by_label("Summarized by").select_option("last")  # another question, which nobody confirmed
    expect(confirm).to_be_visible()


def test_form_and_document_edit_each_other_and_a_mistake_is_told_at_its_field(see: See, trained: Trained) -> None:
    page = see("new?preset=digits-adam")
    document = page.get_by_label("Request body")
    rate = page.locator("fieldset", has_text="optimizer").get_by_label(re.compile(r"^lr"))
    rate.fill("0.02")
    rate.press("Tab")
    assert json.loads(document.input_value())["optimizer"]["lr"] == 0.02
    spec = json.loads(document.input_value())
    document.fill(json.dumps(spec | {"name": "by hand", "epochs": 1, "seeds": [7]}))
    expect(page.get_by_label(re.compile("^name"))).to_have_value("by hand")
    rate.fill("-1")
    rate.press("Tab")
    expect(page.locator("label.wrong", has_text="lr")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile(r"^Train \("))).to_be_disabled()
    rate.fill("0.001")
    rate.press("Tab")
    send = page.get_by_role("button", name=re.compile(r"^Train \("))
    expect(send).to_be_enabled()
    expect(send).to_have_text("Train (1 run)")
    send.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("by hand")


def test_every_field_of_a_spec_is_in_the_form_with_lists_of_parts(see: See, trained: Trained) -> None:
    page = see("new?preset=digits-adam")
    page.locator("summary", has_text="metrics").click()
    page.get_by_label("add to metrics").select_option(label="accuracy")
    expect(page.locator("label.wrong", has_text="number of highest scores")).to_be_visible()
    page.get_by_label("add to metrics").select_option(label="f1")
    page.get_by_role("button", name="remove metrics 1").click()
    within = page.locator(".inner")
    within.get_by_label(re.compile("^average")).select_option(label="micro")
    page.get_by_label(re.compile("^clip")).select_option(label="set")
    within.get_by_label(re.compile("^norm")).fill("1.5")
    page.keyboard.press("Tab")
    page.get_by_label(re.compile("^precision")).select_option(label="fp64")
    page.get_by_label(re.compile("^seeds")).fill("3, 4")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name=re.compile(r"^Train \("))).to_be_enabled()
    spec = json.loads(page.get_by_label("Request body").input_value())
    assert spec["metrics"] == [{"kind": "f1", "average": "micro"}]
    assert (spec["clip"], spec["precision"], spec["seeds"]) == ({"norm": 1.5}, "fp64", [3, 4])


def test_what_is_being_typed_stays_when_the_answer_to_something_else_arrives(see: See, trained: Trained) -> None:
    page = see("new?preset=digits-adam")
    expect(page.get_by_role("button", name=re.compile(r"^Train \("))).to_be_enabled()
    rate = page.locator("fieldset", has_text="optimizer").get_by_label(re.compile(r"^lr"))
    length = page.get_by_label(re.compile("^epochs"))
    with page.expect_response(lambda answer: "dry_run" in answer.url):
        length.fill("7")
        length.press("Tab")
        rate.fill("0.07")
    expect(page.get_by_text("Steps315")).to_be_visible()  # the answer is drawn: seven epochs of 45
    assert rate.input_value() == "0.07"
    rate.press("Tab")
    expect(page.get_by_label("Request body")).to_have_value(re.compile(r'"lr": 0\.07'))


def test_a_run_is_forked_with_an_edited_spec(see: See, trained: Trained, stack: Product) -> None:
    run = trained["fast"]["runs"][0]
    see("new?preset=digits-adam")  # what stands in the form is of this address
    page = see(f"new?fork={run['id']}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Fork from the latest checkpoint")
    expect(page.get_by_label(re.compile("^name"))).to_have_value("fast")
    see(f"run/{run['id']}")
    page.get_by_role("link", name="Fork").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Fork from step")
    expect(page.get_by_label(re.compile("^epochs"))).to_have_value("4")  # it has trained for two
    expect(page.get_by_role("button", name=re.compile(r"^Train \("))).to_be_enabled()
    rate = page.locator("fieldset", has_text="optimizer").get_by_label(re.compile(r"^lr"))
    rate.fill("0.005")
    rate.press("Tab")
    length = page.get_by_label(re.compile("^epochs"))
    length.fill("3")
    length.press("Tab")
    send = page.get_by_role("button", name=re.compile(r"^Train \("))
    expect(send).to_be_enabled()
    send.click()
    page.wait_for_url(re.compile("#/experiment/"))
    made = stack.get(f"/v1/experiments/{page.url.rpartition('/')[2]}")
    (forked,) = made["runs"]
    assert (forked["relation"], forked["parent_run_id"]) == ("fork", run["id"])
    see(f"run/{forked['id']}")
    expect(page.get_by_text("val/loss of the parent run")).to_be_visible()
    assert forked["origin_step"] == stack.run(run["id"])["checkpoint_step"]
    assert (made["spec"]["optimizer"]["lr"], made["spec"]["optimizer"]["momentum"], made["spec"]["epochs"]) == (
        0.005,
        0.9,
        3,
    )


def test_workers_are_listed_with_what_they_run_on(see: See, trained: Trained) -> None:
    page = see("workers")
    expect(page.get_by_role("cell", name="w1")).to_be_visible()
    expect(page.get_by_text("The queue is empty.")).to_be_visible()


def test_a_note_that_somebody_else_wrote_is_not_overwritten(see: See, stack: Product) -> None:
    at = f"/v1/experiments/{stack.post('/v1/experiments', SPEC | {'name': 'shared', 'steps': 1, 'epochs': None})['id']}"
    page = see(at.removeprefix("/v1/").replace("experiments", "experiment"))
    page.get_by_role("button", name="Name, tags, notes").click()
    page.get_by_role("dialog").get_by_label("Notes").fill("mine")
    assert stack.http.patch(at, json={"notes": "theirs"}).status_code == 200
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("changed since you read it")
    assert stack.get(at)["notes"] == "theirs"
    expect(page.get_by_role("dialog").get_by_label("Notes")).to_have_value("mine")
    page.get_by_role("button", name="Go back").click()
    expect(page.locator(".notes")).to_have_text("theirs")
    page.get_by_role("button", name="Name, tags, notes").click()
    page.get_by_role("dialog").get_by_label("Notes").fill("both")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".notes")).to_have_text("both")


def test_what_was_typed_and_not_sent_is_kept_until_it_is_sent_or_discarded(see: See) -> None:
    page = see("new?preset=digits-adam")
    entry = page.get_by_label(re.compile("^batch_size"))
    entry.fill("77")
    entry.press("Tab")
    expect(page.get_by_label("Request body")).to_have_value(re.compile('"batch_size": 77'))
    see("workers")
    see("new?preset=digits-sgd-momentum")
    expect(page.get_by_role("button", name="Start over")).to_have_count(0)
    see("new?preset=digits-adam")
    page.reload()
    expect(entry).to_have_value("77")
    page.get_by_role("button", name="Start over").click()
    expect(entry).to_have_value("32")
    expect(page.get_by_role("button", name="Start over")).to_have_count(0)
    page.reload()
    expect(entry).to_have_value("32")
