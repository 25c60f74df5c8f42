"""Channels and the audit on the page."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

See = Callable[[str], Page]


def test_a_channel_is_made_tested_and_deleted_and_the_audit_tells(see: See) -> None:
    page = see("notifications")
    page.get_by_role("button", name="New channel").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Address").fill("https://10.0.0.1/")
    dialog.get_by_role("button", name="Create channel").click()
    expect(dialog.get_by_role("alert")).to_contain_text("SADDLE_WEBHOOK_NETWORKS")
    dialog.get_by_label("Address").fill("https://0x7f.1/hook")
    dialog.get_by_label("Name").fill("<b>ops</b>")
    dialog.get_by_label("run succeeded").check()
    dialog.get_by_role("button", name="Create channel").click()
    expect(page.get_by_text("whsec_")).to_be_visible()
    channel = page.locator(".channel", has_text="<b>ops</b>")
    expect(channel).to_contain_text("run succeeded")
    channel.get_by_role("button", name="Send a test").click()
    expect(channel.get_by_role("status")).to_contain_text("did not accept it")
    channel.get_by_role("button", name="Last messages").click()
    expect(channel.get_by_role("table")).to_contain_text("not delivered")
    channel.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(channel).to_have_count(0)

    page = see("audit?action=channel")
    rows = page.get_by_role("table").locator("tbody tr")
    expect(rows.first).to_contain_text("channel.delete")
    page.get_by_label("Action").fill("channel.test")
    page.get_by_role("button", name="Filter").click()
    expect(rows).to_have_count(1)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download CSV").click()
    assert "channel.test" in download.value.path().read_text()
