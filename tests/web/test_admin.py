"""Administration on the page: quotas edited in place, a worker drained, a run stopped, each after a question."""

from collections.abc import Iterator

import httpx2 as httpx
import pytest
from playwright.sync_api import Page, expect

from tests.fixtures.product import SPEC
from tests.harness.product import Product


@pytest.fixture
def admin(page: Page, stack: Product, address: str) -> Iterator[Page]:
    """Ada's browser while she is a server admin."""
    stack.sql("UPDATE account SET admin = true WHERE name = 'admin'")
    page.goto(f"{address}/#/admin")
    page.reload()
    yield page
    stack.sql("UPDATE account SET admin = false WHERE name = 'admin'")


def test_whoever_is_no_server_admin_is_offered_nothing(page: Page) -> None:
    expect(page.get_by_role("link", name="Project", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="Admin", exact=True)).to_have_count(0)


def test_a_quota_is_edited_where_it_is_shown(admin: Page) -> None:
    row = admin.locator("details", has_text="e2e").get_by_role("row", name="Hours of one run")
    row.get_by_role("button", name="Change").click()
    admin.get_by_role("dialog").get_by_role("spinbutton").fill("71")
    admin.wait_for_timeout(3500)  # what is typed stays while the page refreshes
    admin.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("71")
    row.get_by_role("button", name="Change").click()
    admin.get_by_label("use the default limit").check()
    admin.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("720")


def test_a_worker_is_drained_and_a_run_that_waits_is_stopped(admin: Page, stack: Product, address: str) -> None:
    admin.goto(f"{address}/#/admin/workers")
    admin.get_by_role("button", name="Drain").click()
    admin.get_by_role("dialog").get_by_role("button", name="Drain").click()
    try:
        expect(admin.get_by_text("drained by admin")).to_be_visible()
        run = stack.post("/v1/experiments", SPEC | {"name": "to be stopped"})["runs"][0]["id"]
        admin.goto(f"{address}/#/admin/queue")
        admin.get_by_role("row", name="to be stopped").get_by_role("button", name="Stop").click()
        admin.get_by_role("dialog").get_by_role("button", name="Stop").click()
        expect(admin.get_by_role("row", name="to be stopped")).to_have_count(0)
        assert stack.run(run)["state"] == "cancelled"
    finally:
        admin.goto(f"{address}/#/admin/workers")
        admin.get_by_role("button", name="Let it take runs").click()
    expect(admin.get_by_role("button", name="Drain")).to_be_visible()


def test_an_account_is_disabled_after_a_question_and_enabled_again(admin: Page, stack: Product, address: str) -> None:
    key = stack.manage("key", "--project", "e2e", "--member", "leaver")

    def status() -> int:
        return httpx.get(f"{stack.url}/v1/me", headers={"Authorization": f"Bearer {key}"}).status_code

    admin.goto(f"{address}/#/admin/accounts")
    row = admin.get_by_role("row", name="leaver")
    assert status() == 200
    row.get_by_role("button", name="Disable").click()
    assert status() == 200
    admin.get_by_role("dialog").get_by_role("button", name="Disable").click()
    expect(row.get_by_role("cell", name="disabled", exact=True)).to_be_visible()
    assert status() == 401
    row.get_by_role("button", name="Let in again").click()
    expect(row.get_by_role("button", name="Disable")).to_be_visible()
    assert status() == 200
    expect(admin.get_by_role("row", name="admin").get_by_role("button")).to_have_count(0)  # nobody locks themselves out
