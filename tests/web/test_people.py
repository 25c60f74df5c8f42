"""People on the page: who is signed in, and how that changes."""

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.harness.product import Product


@pytest.fixture
def other_key(stack: Product) -> str:
    """A key of somebody in another project."""
    return stack.manage("key", "--project", "elsewhere", "--member", "eve").strip()


def test_a_link_asks_before_it_signs_over_to_another_account(page: Page, address: str, other_key: str) -> None:
    who = page.locator(".who").inner_text()
    for answer, expected in (("Go back", who), ("Switch", "eve · elsewhere")):
        page.goto("about:blank")
        page.goto(f"{address}/#key={other_key}")
        question = page.get_by_role("dialog", name="Sign in as somebody else?")
        expect(question).to_contain_text(who)
        assert other_key not in page.url
        expect(page.locator(".who")).to_have_text(who)
        question.get_by_role("button", name=answer).click()
        expect(page.locator(".who")).to_have_text(expected)
    page.reload()
    expect(page.locator(".who")).to_have_text("eve · elsewhere")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_link_in_a_tab_that_is_open_asks_too(page: Page, other_key: str) -> None:
    page.evaluate(f"window.location.hash = 'key={other_key}'")
    expect(page.get_by_role("dialog", name="Sign in as somebody else?")).to_be_visible()


def test_ones_own_link_asks_nothing(page: Page, address: str, key: str) -> None:
    page.goto("about:blank")
    page.goto(f"{address}/#key={key}")
    expect(page.get_by_role("link", name="Saddle")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)


@pytest.mark.parametrize("place", ["experiments/%", "run/%E0%A4%A", "%", "key=%"])
def test_an_address_that_is_none_leaves_the_page_with_a_sentence(page: Page, address: str, place: str) -> None:
    page.goto("about:blank")
    page.goto(f"{address}/#/{place}")
    expect(page.locator("main")).not_to_be_empty()
    expect(page.get_by_role("link", name="Saddle")).to_be_visible()


def test_signing_out_signs_the_other_tabs_out(page: Page, address: str) -> None:
    other = page.context.new_page()
    other.goto(address)
    expect(other.get_by_role("link", name="Saddle")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(other.get_by_label("API key")).to_be_visible()


def test_somebody_is_invited_joins_and_is_removed(page: Page, browser: Browser, address: str) -> None:
    page.goto(f"{address}/#/members")
    page.get_by_role("button", name="Invite").click()
    page.get_by_role("button", name="Make the link").click()
    link = page.locator("code.link").inner_text()
    context = browser.new_context()
    theirs = context.new_page()
    theirs.goto(link)
    expect(theirs.get_by_role("heading", level=1)).to_have_text("Join e2e")
    assert link not in theirs.url
    theirs.get_by_label("Your name").fill("grace")
    theirs.get_by_label("Password").first.fill("five small green apples")
    theirs.get_by_role("button", name="Join").click()
    expect(theirs.locator(".who")).to_have_text("grace · e2e")
    theirs.goto(f"{address}/#/members")
    expect(theirs.get_by_role("button", name="Remove")).to_have_count(0)
    theirs.goto(f"{address}/#/account")
    expect(theirs.get_by_text("this browser")).to_be_visible()
    theirs.get_by_role("button", name="Sign out").click()
    theirs.get_by_label("Name or e-mail address").fill("grace")
    theirs.get_by_label("Password").fill("five small green apples")
    theirs.get_by_role("button", name="Sign in").click()
    expect(theirs.locator(".who")).to_have_text("grace · e2e")
    page.reload()
    page.get_by_role("row", name="grace").get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_role("row", name="grace")).to_have_count(0)
    theirs.reload()
    expect(theirs.get_by_label("API key")).to_be_visible()
    context.close()
