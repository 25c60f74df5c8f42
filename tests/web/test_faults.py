"""What goes wrong stays where it is, is told in plain words, and is taken back when it is over."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.fixtures.product import SPEC
from tests.harness.product import Product
from tests.harness.tokenizers import byte_level

See = Callable[[str], Page]
Trained = dict[str, Any]
FEW = b"x,y,label\n" + b"".join(b"%d,%d,%d\n" % (n, n * n % 7, n % 2) for n in range(12))
SHAPES = """async () => {
    const { valuesOf } = await import("/page/views/upload.js");
    return [{a: 3, b: 1200}, [["7", 2], [8, 1]], [{value: "x", rows: 4}], ["u", "v"], [], null, undefined, "odd",
        Object.fromEntries([..."0123456789"].map((each) => [each, 1]))].map(valuesOf);
}"""
TEXTS = """async () => {
    const { escapeInvisible, escapeProse } = await import("/page/lib/format.js");
    const joined = escapeInvisible("\\u0645\\u06cc\\u200c\\u062e \\ud83d\\udc68\\u200d\\ud83d\\udc69");
    return {joined, line: escapeInvisible("a\\nb\\u200dc"), turned: escapeProse("one\\r\\n\\u202etwo\\n\\tthree")};
}"""


def test_a_view_that_throws_is_replaced_and_the_rest_goes_on(see: See, page: Page, trained: Trained) -> None:
    page.route("**/v1/workers", lambda route: route.fulfill(json={"items": None}))
    see("workers")
    failed = page.get_by_role("alert").filter(has_text="This part of the page failed")
    expect(failed).to_be_visible()
    page.get_by_role("navigation").get_by_role("link", name="Experiments").click()
    expect(page.get_by_role("link", name="fast", exact=True)).to_be_visible()
    expect(failed).to_have_count(0)
    see("workers")
    expect(failed).to_be_visible()
    page.unroute("**/v1/workers")
    page.get_by_role("button", name="Reload this part").click()
    expect(page.get_by_role("cell", name="w1")).to_be_visible()
    see("run/%E0%A4%A")  # no encoding of anything
    expect(page.get_by_role("alert")).to_be_visible()


def test_an_error_that_nothing_holds_is_told_until_it_is_closed(browser: Browser, address: str, key: str) -> None:
    page = browser.new_page()
    page.goto(f"{address}/#key={key}")
    page.get_by_role("link", name="Saddle").wait_for()
    page.evaluate("void Promise.reject(new Error('a promise broke'))")
    page.evaluate("void setTimeout(() => { throw new Error('a timer broke'); })")
    page.evaluate("void Promise.reject(new DOMException('given up', 'AbortError'))")
    told = page.get_by_role("alert")
    expect(told).to_contain_text("a promise broke")
    expect(told).to_contain_text("a timer broke")
    expect(told).not_to_contain_text("given up")
    page.get_by_role("button", name="Close").click()
    expect(told).to_have_count(0)
    page.close()


def test_a_file_of_few_values_is_reported_and_the_form_lives_on(see: See) -> None:
    page = see("new?preset=digits-adam")
    page.locator("input[type=file]").set_input_files({"name": "few.csv", "mimeType": "text/csv", "buffer": FEW})
    row = page.locator(".report tbody tr", has_text="label")
    expect(row).to_contain_text("0 (6), 1 (6)")
    page.get_by_label(re.compile("^epochs")).fill("3")
    expect(page.get_by_label("Request body")).to_be_visible()
    told = page.evaluate(SHAPES)
    assert told[:8] == ["a (3), b (1,200)", "7 (2), 8 (1)", "x (4)", "u, v", "", "", "", ""]
    assert told[8].endswith("7 (1) … and 2 more")


def test_a_tokenizer_is_uploaded_and_picked_in_the_form_of_a_text(see: See) -> None:
    page = see("new?preset=digits-adam")
    document = byte_level("the cat sat on the mat. " * 9).to_str().encode()
    page.set_input_files("input[type=file]", {"name": "mine.json", "mimeType": "text/plain", "buffer": document})
    expect(page.locator(".report")).to_contain_text("A tokenizer (BPE) of ")
    expect(page.locator(".report table")).to_have_count(0)
    made = page.locator(".report code").inner_text()
    dataset = page.locator("fieldset", has=page.locator("legend", has_text=re.compile("^dataset$")))
    dataset.get_by_label("kind").first.select_option("text")
    dataset.locator("select[aria-label=tokens]").select_option('"file"')
    field = dataset.locator(".inner").get_by_label(re.compile("^upload"))
    field.focus()
    offered = page.locator(f"datalist#{field.get_attribute('list')} option")
    expect(offered.first).to_have_attribute("value", made)
    expect(offered.first).to_have_text("mine.json (tokenizer)")
    field.fill(made)
    field.blur()
    expect(page.get_by_label("Request body")).to_have_value(re.compile(f'"kind": "file",\\s+"upload": "{made}"'))


def test_what_was_written_in_lines_is_shown_in_lines(see: See, stack: Product) -> None:
    notes = "first line\nsecond line\n\ttabbed"
    made = stack.post("/v1/experiments", SPEC | {"name": "noted", "notes": notes, "steps": 1, "epochs": None})
    assert see(f"experiment/{made['id']}").locator(".notes").inner_text() == notes
    told = see("workers").evaluate(TEXTS)
    assert told["line"] == "a\\u000ab\\u200dc"
    assert told["joined"] == "\u0645\u06cc\u200c\u062e \U0001f468\u200d\U0001f469"
    assert told["turned"] == "one\n\\u202etwo\n\tthree"


def test_differences_stand_under_the_names_of_their_experiments(see: See, trained: Trained) -> None:
    ids = f"{trained['slow']['id']},{trained['fast']['id']}"
    for group in ("experiment", "optimizer.kind"):
        page = see(f"compare?experiments={ids}&group={group}")
        table = page.locator("section", has_text="Differences").locator("table")
        assert table.get_by_role("columnheader").all_inner_texts() == ["Name", "optimizer.lr", "optimizer.momentum"]
        assert [each.strip() for each in table.get_by_role("rowheader").all_inner_texts()] == ["slow", "fast"]
        assert [json.loads(each) for each in table.get_by_role("cell").all_inner_texts()] == [1e-4, 0, 0.05, 0.9]


@pytest.mark.parametrize(
    ("name", "text", "choice", "shown"),
    [
        ("iris.data", "5.1,setosa\n4.9,setosa\n", "The first line holds data", "column_2"),
        ("savetxt.txt", "# a b\n1.5 2.5\n", "Read as a table", "number"),
    ],
)
def test_a_file_that_is_refused_or_taken_for_another_kind_is_sent_anew_by_a_button(
    see: See, name: str, text: str, choice: str, shown: str
) -> None:
    page = see("new")
    page.set_input_files("input[type=file]", {"name": name, "mimeType": "text/plain", "buffer": text.encode()})
    page.get_by_role("button", name=choice).click()
    expect(page.locator(".report tbody").get_by_role("cell", name=shown).first).to_be_visible()
    expect(page.get_by_role("button", name=choice)).to_have_count(0)
