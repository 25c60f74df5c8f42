"""The page below a path of a proxy's host."""

import re
from contextlib import suppress
from urllib.parse import urlsplit

import httpx2 as httpx
from playwright.sync_api import Browser, expect

from service.local.port import find_free_port
from tests.harness.product import Product
from tests.harness.waiting import until
from tests.proxy import proxied

PREFIX = "/lab/saddle"


def answers(url: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(url).status_code == 200
    return False


def test_the_page_works_below_a_path_of_a_proxy(browser: Browser, stack: Product, address: str, key: str) -> None:
    port = find_free_port()
    api = stack.start("service.api", "--port", str(port), SADDLE_ROOT_PATH=PREFIX)
    with proxied(port, PREFIX, strips=True) as below:
        until(lambda: answers(f"{below}/v1/livez"))
        context = browser.new_context()
        page = context.new_page()
        asked: list[str] = []
        page.on("request", lambda each: asked.append(each.url))
        page.goto(f"{below}/#key={key}")
        page.get_by_role("link", name="Saddle").wait_for()
        expect(page).to_have_url(re.compile(rf"^{re.escape(below)}/#"))
        with page.expect_request(
            lambda each: "/v1/events" in each.url
        ):  # of the view, whose scripts come after the head
            page.reload()
        page.get_by_role("link", name="Saddle").wait_for()  # the cookie is sent along
        context.close()
    stack.stop(api)
    assert f"{below}/v1/events?from=latest" in asked
    assert {urlsplit(each).path.startswith(f"{PREFIX}/") for each in asked} == {True}
