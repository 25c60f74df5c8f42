"""The table: long lists, columns of any field, many at once, alive without asking again and again."""

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.fixtures.product import SPEC
from tests.harness.databases import create_key
from tests.harness.product import Product
from tests.harness.waiting import until

See = Callable[[str], Page]
Trained = dict[str, Any]
MANY = 1_000


@pytest.fixture
def crowded(browser: Browser, stack: Product, trained: Trained) -> Iterator[Page]:
    """The table of another project that has a thousand experiments."""
    key = create_key(stack.database_url, "crowded")
    stack.sql(
        """INSERT INTO experiment (id, project_id, owner_id, name, spec, spec_hash)
        SELECT 'exp_' || lpad(i::text, 26, '0'), p.id, m.id, 'trial ' || i, e.spec, md5(i::text)
        FROM project p JOIN member m ON m.project_id = p.id, generate_series(1, %s) i,
            (SELECT spec FROM experiment WHERE id = %s) e WHERE p.name = 'crowded'""",
        MANY,
        trained["fast"]["id"],
    )
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{stack.url}/#key={key}")
    yield page
    page.close()
    stack.sql("DELETE FROM experiment WHERE project_id = (SELECT id FROM project WHERE name = 'crowded')")


def test_of_a_long_list_the_document_holds_what_is_seen_and_every_row_is_reached(crowded: Page) -> None:
    crowded.get_by_text("1,000 shown").wait_for()
    assert crowded.locator("tr[data-row]").count() < 80
    expect(crowded.get_by_role("link", name="trial 1000", exact=True)).to_be_visible()
    name = crowded.get_by_role("columnheader", name="Name").bounding_box()
    assert name is not None
    assert name["width"] >= 150  # rows that are not in the document take no width from it
    crowded.locator(".scroll.tall").evaluate("node => { node.scrollTop = node.scrollHeight; }")
    expect(crowded.get_by_role("link", name="trial 1", exact=True)).to_be_visible()
    assert crowded.locator("tr[data-row]").count() < 80
    for _ in range(30):
        crowded.keyboard.press("k")
    assert crowded.evaluate("document.activeElement.dataset.row") is not None
    asked: list[str] = []
    crowded.on("request", lambda request: asked.append(request.url))
    crowded.get_by_label("Select all").click()
    told = "At most 500 experiments can be compared; you selected 1,000."
    expect(crowded.get_by_text(told)).to_be_visible()
    expect(crowded.get_by_role("button", name="Compare")).to_be_disabled()
    ids = ",".join(f"exp_{n:026d}" for n in range(1, 1_001))
    crowded.goto(f"{crowded.url.partition('#')[0]}#/compare?experiments={ids}")
    expect(crowded.get_by_text(told)).to_be_visible()
    assert [url for url in asked if "/v1/comparisons" in url] == []
    with crowded.expect_request(lambda request: 'points":400' in (request.post_data or "")) as drawn:
        crowded.goto(f"{crowded.url.partition('#')[0]}#/compare?experiments={ids[: 31 * 500 - 1]}")
    assert drawn.value.post_data_json
    assert len(drawn.value.post_data_json["experiments"]) == 12  # the best ones alone have curves
    expect(crowded.get_by_role("button", name="Show all 500").first).to_be_visible()
    crowded.get_by_label("Find").fill("trial 49 49")
    expect(crowded.get_by_text("1 of 500")).to_have_count(0)
    crowded.get_by_label("Find").fill("trial 499")
    expect(crowded.get_by_text("1 of 500")).to_be_visible()
    expect(crowded.locator(".ranking tbody tr")).to_have_count(1)
    expect(crowded.locator(".difference-table tbody tr")).to_have_count(0)  # they differ in nothing
    with crowded.expect_request(lambda request: f"exp_{499:026d}" in (request.post_data or "")) as drawn:
        crowded.get_by_role("button", name="Curve of trial 499").click()
    assert drawn.value.post_data_json
    assert len(drawn.value.post_data_json["experiments"]) == 12


def test_columns_of_any_field_stand_in_the_table_and_in_the_address(see: See, trained: Trained) -> None:
    page = see("experiments?filter=name%20IN%20(fast,%20slow)")
    page.get_by_text("Columns").click()
    field = page.get_by_label("A field of the spec, or a metric")
    for name in ("optimizer.lr", "best(loss)"):
        field.fill(name)
        field.press("Enter")
        expect(page.get_by_role("columnheader", name=name)).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("slow")).get_by_role("cell", name="0.0001")).to_be_visible()
    page.get_by_role("columnheader", name="optimizer.lr").get_by_role("button").click()
    expect(page.locator("tr[data-row]").first).to_contain_text("slow")
    assert "columns=optimizer.lr" in page.url
    field.fill("optimizer.learning_rte")
    field.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("/query/columns")


def test_an_interval_over_seeds_stands_beside_last_and_best(see: See, trained: Trained) -> None:
    page = see("experiments?filter=name%20=%20fast")
    row = page.get_by_role("row", name=re.compile("fast"))
    expect(row.get_by_text("±")).to_have_count(2)
    assert re.search(r"95 %, 3 seeds", row.locator("td").nth(5).get_attribute("title") or "")


def test_what_is_marked_is_tagged_put_away_brought_back_and_deleted_after_a_question(see: See, stack: Product) -> None:
    ids = [
        stack.post("/v1/experiments", SPEC | {"name": f"bulk {n}", "steps": 2, "epochs": None})["id"] for n in range(3)
    ]
    for each in ids:
        for run in stack.get(f"/v1/experiments/{each}")["runs"]:
            stack.wait_for_end(run["id"])
    page = see("experiments?filter=name%20~%20bulk")
    boxes = page.locator("[data-mark]")
    boxes.nth(0).click()
    boxes.nth(2).click(modifiers=["Shift"])
    expect(page.get_by_text("3 selected")).to_be_visible()
    page.get_by_role("button", name="Tags").click()
    page.get_by_label("add").fill("first, second")
    page.get_by_role("dialog").get_by_role("button", name="Tags").click()
    expect(page.locator("tr[data-row]").first).to_contain_text("second")
    assert stack.get(f"/v1/experiments/{ids[1]}")["tags"] == ["first", "second"]
    page.get_by_role("button", name="Archive", exact=True).click()
    expect(page.locator("tr[data-row]")).to_have_count(0)
    page.get_by_label("include archived").check()
    expect(page.locator("tr[data-row]")).to_have_count(3)
    page.get_by_label("Select all").click()
    page.get_by_role("button", name="Restore").click()
    deadline = time.monotonic() + 20
    while len(stack.get("/v1/experiments", filter="name ~ bulk")["items"]) < 3:
        assert time.monotonic() < deadline, "not all three were brought back"
        time.sleep(0.05)
    page.get_by_label("include archived").uncheck()
    expect(page.locator("tr[data-row]")).to_have_count(3)
    page.get_by_role("button", name="Delete").click()
    question = page.get_by_role("dialog")
    expect(question).to_contain_text("Delete 3 experiments?")
    question.get_by_role("button", name="Go back").click()
    assert stack.get(f"/v1/experiments/{ids[0]}")["name"] == "bulk 0"
    page.get_by_role("button", name="Delete").click()
    question.get_by_role("button", name="Put 3 into the bin").click()
    expect(page.locator("tr[data-row]")).to_have_count(0)
    assert stack.http.get(f"/v1/experiments/{ids[0]}").status_code == 404


def test_the_table_follows_the_stream_and_asks_nothing_while_nothing_happens(see: See, stack: Product) -> None:
    page = see("experiments?filter=name%20=%20'seen%20live'")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(2_500)
    assert [url for url in asked if "/v1/experiments" in url] == []
    made = stack.post("/v1/experiments", SPEC | {"name": "seen live", "steps": 200, "epochs": None})
    row = page.get_by_role("row", name=re.compile("seen live"))
    expect(row).to_be_visible()
    stack.wait_for_end(made["runs"][0]["id"])
    expect(row).to_contain_text("succeeded")


def test_a_click_opens_the_row_that_was_pressed_though_another_comes_in_between(
    see: See, stack: Product, trained: Trained
) -> None:
    page = see("experiments?filter=name%20IN%20(slow,%20between)")
    link = page.get_by_role("link", name="slow", exact=True)
    link.hover()
    page.mouse.down()
    with page.expect_response(re.compile(r"/v1/experiments\?.*limit=100")):
        made = stack.post("/v1/experiments", SPEC | {"name": "between", "steps": 2, "epochs": None})
    page.wait_for_timeout(300)
    page.mouse.up()
    expect(page).to_have_url(re.compile(f"#/experiment/{trained['slow']['id']}"))
    page.go_back()
    expect(page.get_by_role("link", name="between", exact=True).first).to_be_visible()
    stack.wait_for_end(made["runs"][0]["id"])


def test_back_shows_the_rows_at_their_place_from_the_first_frame_on(see: See, trained: Trained) -> None:
    page = see("experiments")
    page.set_viewport_size({"width": 1280, "height": 420})
    page.locator(".scroll.tall").evaluate("node => { node.scrollTop = 180; }")
    expect(page).to_have_url(re.compile("top=5"))
    page.get_by_role("link", name="Workers").click()
    expect(page.get_by_role("heading", name="Workers")).to_be_visible()
    page.evaluate(
        """() => { window.tops = []; const look = () => { const node = document.querySelector('.scroll.tall');
            if (node) window.tops.push(node.scrollTop); if (window.tops.length < 9) requestAnimationFrame(look); };
            look(); }"""
    )
    page.go_back()
    until(lambda: page.evaluate("window.tops.length") == 9, 20)
    assert set(page.evaluate("window.tops")) == {180}


def test_a_new_experiment_leaves_the_row_that_is_looked_at_where_it_is(
    see: See, stack: Product, trained: Trained
) -> None:
    page = see("experiments")
    page.set_viewport_size({"width": 1280, "height": 420})
    page.locator(".scroll.tall").evaluate("node => { node.scrollTop = node.scrollHeight; }")
    page.wait_for_timeout(300)
    oldest = page.locator("tbody tr[data-row] a[href^='#/experiment/']").last.inner_text()
    row = page.get_by_role("link", name=oldest, exact=True)  # whatever was trained first in this session
    before = row.bounding_box()
    made = stack.post("/v1/experiments", SPEC | {"name": "newcomer", "steps": 1, "epochs": None})
    count = page.locator(".count", has_text="shown")
    listed = len(stack.get("/v1/experiments", limit=200)["items"])
    expect(count).to_have_text(f"{listed} shown")
    after = row.bounding_box()
    assert before is not None
    assert after is not None
    assert after["y"] == pytest.approx(before["y"], abs=0.6)
    stack.wait_for_end(made["runs"][0]["id"])
