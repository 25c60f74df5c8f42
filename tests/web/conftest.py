"""A real Chromium before the real product: an API and a worker with experiments to look at."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.fixtures.product import SPEC
from tests.harness.product import Product

FOLDER = Path(__file__).parent
MISSING = "These tests need Chromium: install it (apt-get install chromium), or name one in CHROMIUM."
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "javascript:alert(1)",
    "{{constructor.constructor('alert(1)')()}}",
    "${alert(1)}",
    "</textarea><script>alert(1)</script>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "' onmouseover='alert(1)",
    "__proto__",
    "&lt;b&gt;",
    "שלום עולם",
    "名" * 100,
]
_browsers: list[Browser] = []  # the one that is open
_closing = ExitStack()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A server and a browser of several seconds: one after the other, however slow the machine."""
    for item in items:
        if "tests/web" in str(item.path):
            item.add_marker(pytest.mark.timeout(240))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser of all tests of this folder, each of which opens a context of its own: cookies, storage and cache."""
    if not (_browsers and _browsers[0].is_connected()):
        _browsers[:] = [launch()]
    yield _browsers[0]
    for context in _browsers[0].contexts:  # that a failed test left open
        context.close()


def launch() -> Browser:
    """Start a browser; `_closing` ends it."""
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(MISSING)
    _closing.close()
    playwright = _closing.enter_context(sync_playwright())
    made = playwright.chromium.launch(executable_path=program, args=FLAGS)
    _closing.callback(made.close)
    return made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> Iterator[None]:
    """Close the browser before a test that lies elsewhere: while it lives its event loop is this thread's."""
    try:
        return (yield)
    finally:
        if nextitem is None or FOLDER not in nextitem.path.parents:
            _browsers.clear()
            _closing.close()


@pytest.fixture(scope="session")
def address(stack: Product) -> str:
    return stack.url


@pytest.fixture(scope="session")
def key(stack: Product) -> str:
    return stack.key


@pytest.fixture
def stranger(browser: Browser, address: str) -> Iterator[Page]:
    """A browser that nobody signed in with. It asks nobody else, runs no foreign script and has no error."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(30_000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda asked: asked.url.startswith(address) or wrong.append(f"asked {asked.url}"))
    page.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
    yield page
    context.close()
    assert wrong == []


@pytest.fixture
def page(stranger: Page, address: str, key: str, request: pytest.FixtureRequest) -> Page:
    """A signed-in browser: at the table of experiments, or nowhere yet if the test says by `see` where it goes."""
    if "see" in request.fixturenames:
        session = stranger.context.request.post(f"{address}/v1/session", data={"key": key}, headers={"Origin": address})
        assert session.ok
        return stranger
    stranger.goto(f"{address}/#key={key}")
    stranger.get_by_role("link", name="Saddle").wait_for()
    return stranger


@pytest.fixture
def see(page: Page, address: str) -> Callable[[str], Page]:
    """Go to a place of the page."""

    def go(place: str) -> Page:
        page.goto(f"{address}/#/{place}")
        page.wait_for_load_state("networkidle")
        return page

    return go


@pytest.fixture(scope="session")
def trained(stack: Product) -> dict[str, Any]:
    """Experiments that have ended: two that compare, one that diverges, and one for each hostile name."""
    fast = {"kind": "sgd", "lr": 0.05, "momentum": 0.9}
    made = {
        "fast": stack.post(
            "/v1/experiments", SPEC | {"name": "fast", "epochs": 2, "seeds": [0, 1, 2], "optimizer": fast}
        ),
        "slow": stack.post(
            "/v1/experiments",
            SPEC | {"name": "slow", "epochs": 2, "seeds": [0, 1, 2], "optimizer": {"kind": "sgd", "lr": 1e-4}},
        ),
        "broken": stack.post(
            "/v1/experiments", SPEC | {"name": "broken", "epochs": 3, "optimizer": {"kind": "sgd", "lr": 10.0}}
        ),
    }
    short = SPEC | {"steps": 2, "epochs": None}
    for name in HOSTILE:
        made[name] = stack.post("/v1/experiments", short | {"name": name})
    for experiment in made.values():
        for run in experiment["runs"]:
            stack.wait_for_end(run["id"], 200)  # one worker trains them all
    return made
