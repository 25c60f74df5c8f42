"""What people share on the page: keys, the bin, comments."""

import re
from typing import Any

from playwright.sync_api import Page, expect

from service.client import Client
from tests.fixtures.product import SPEC
from tests.harness.product import Product
from tests.web.conftest import HOSTILE


def ended(stack: Product, name: str) -> Any:
    with Client(stack.url, stack.key) as client:
        made = client.submit(SPEC | {"name": name, "epochs": 1})
        for _ in client.watch(made.runs[0].id):
            pass
        return made


def test_a_deletion_is_undone_by_its_notice_and_in_the_bin(page: Page, address: str, stack: Product) -> None:
    made = ended(stack, "thrown away")
    for way in ("notice", "bin"):
        page.goto(f"{address}/#/experiment/{made.id}")
        page.get_by_role("button", name="Delete", exact=True).click()
        page.get_by_role("button", name="Put into the bin").click()
        notice = page.get_by_role("status").filter(has_text="in the bin")
        if way == "notice":
            notice.get_by_role("button", name="Undo").click()
        else:
            notice.get_by_role("link", name="Bin").click()
            page.get_by_role("row", name="thrown away").get_by_role("button", name="Restore").click()
            expect(page.get_by_role("row", name="thrown away")).to_have_count(0)
            page.goto(f"{address}/#/experiment/{made.id}")
        expect(page.locator("h1")).to_contain_text("thrown away")


def test_a_comment_is_text_code_and_links_and_nothing_else(page: Page, address: str, stack: Product) -> None:
    made = ended(stack, "talked of")
    page.goto(f"{address}/#/experiment/{made.id}")
    words = "\n\n".join([*HOSTILE, "`code` [paper](https://example.org/a) [x](javascript:alert(1))"])
    page.get_by_label("Comment", exact=True).fill(words)
    page.get_by_role("button", name="Comment", exact=True).click()
    said = page.locator(".comments article")
    expect(said).to_contain_text("<script>alert(1)</script>")
    assert said.locator("script, img, svg, iframe").count() == 0
    assert [each.get_attribute("href") for each in said.locator("a").all()] == ["https://example.org/a"]
    expect(said.locator("code")).to_have_text("code")
    said.get_by_role("button", name="Delete").click()
    expect(page.locator(".comments article")).to_have_count(0)


def test_a_key_is_made_shown_once_and_revoked(page: Page, address: str) -> None:
    page.goto(f"{address}/#/keys")
    page.get_by_role("button", name="New key").click()
    dialog = page.get_by_role("dialog", name="New key")
    dialog.get_by_label("Name").fill("by the page")
    dialog.get_by_label("Runs a day at most").fill("200")
    dialog.get_by_label("Device seconds a day at most").fill("7200")
    dialog.get_by_role("button", name="Make key").click()
    expect(page.get_by_text(re.compile(r"^key_[0-9a-z]{26}\.\S{43}$"))).to_be_visible()
    row = page.get_by_role("row", name="by the page")
    expect(row).to_contain_text("200 runs a day")
    expect(row).to_contain_text("7,200 device seconds a day")
    row.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog", name="Revoke this key?").get_by_role("button", name="Revoke").click()
    expect(row).to_have_count(0)
