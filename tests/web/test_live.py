"""Following: from the last step loaded, whenever one comes; and over a server that goes away and returns."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.fixtures.product import SPEC
from tests.harness.product import Product

See = Callable[[str], Page]
Trained = dict[str, Any]
ROUNDS, AT_ONCE = 5, 4  # a browser has six connections to a server
FOLLOWED = """async ([id, many, ahead]) => { // losses as the page has them, some messages after it began to look
    const { html, render } = await import("/page/lib/html.js");
    const { useRun } = await import("/page/lib/run.js");
    const later = (ms) => new Promise((go) => setTimeout(go, ms));
    const followed = async (after) => {
        await later(after);
        const [node, end] = [document.createElement("div"), Date.now() + 20000];
        let seen = null;
        const Probe = () => {
            const { curves } = useRun(id);
            const loss = curves.loss;
            if (!loss?.x.length) return null;
            const last = loss.x[loss.x.length - 1];
            seen = {loaded: seen?.loaded ?? last, last, x: [...loss.x], y: [...loss.y], reduced: Boolean(loss.lo)};
            return null;
        };
        render(html`<${Probe}/>`, node);
        while (Date.now() < end && !(seen && seen.last > seen.loaded + ahead)) await later(10);
        render(null, node);
        return seen;
    };
    return Promise.all([...Array(many).keys()].map((each) => followed(70 * each)));
}"""


def test_whenever_one_begins_to_look_no_step_is_missing_or_doubled(see: See, stack: Product) -> None:
    page = see("workers")
    run = stack.post("/v1/experiments", SPEC | {"name": "followed", "epochs": 5000})["runs"][0]["id"]
    stack.wait_for_step(run, 1)
    found = [seen for _ in range(ROUNDS) for seen in page.evaluate(FOLLOWED, [run, AT_ONCE, 20])]
    stack.post(f"/v1/runs/{run}/cancel", {}, 202)
    stack.wait_for_end(run)
    steps, values = stack.exact_series(run)
    assert steps == list(range(1, len(steps) + 1))
    for seen in found:
        x, begin = seen["x"], seen["x"].index(seen["loaded"]) if seen["reduced"] else 0  # before it are buckets
        assert x[begin] == (seen["loaded"] if seen["reduced"] else 1)
        assert x[begin:] == list(range(x[begin], x[-1] + 1))
        assert x[-1] > seen["loaded"]
        follow = begin + 1 if seen["reduced"] else 0
        assert seen["y"][follow:] == pytest.approx(values[x[follow] - 1 : x[-1]], rel=1e-6)


HIDDEN = """() => { // as a browser tells a tab in front of which another one lies
    let state = "visible";
    Object.defineProperty(document, "visibilityState", {get: () => state});
    window.turn = (now) => { state = now; document.dispatchEvent(new Event("visibilitychange")); };
}"""


def test_any_number_of_tabs_is_open_and_one_that_is_seen_again_catches_up(
    browser: Browser, stack: Product, address: str, key: str
) -> None:
    run = stack.post("/v1/experiments", SPEC | {"name": "in many tabs", "epochs": 5000})["runs"][0]["id"]
    context = browser.new_context()
    context.add_init_script(f"({HIDDEN})()")
    first = context.new_page()
    first.goto(f"{address}/#key={key}")
    first.get_by_role("link", name="Saddle").wait_for()
    first.goto(f"{address}/#/run/{run}")
    status, step = first.locator(".facts [role=status]"), first.get_by_text(re.compile(r"step [\d,]+ of"))
    expect(status).to_have_text("live")
    first.evaluate("turn('hidden')")
    for _ in range(8):
        page = context.new_page()
        page.goto(f"{address}/#/experiments")
        page.locator("tr[data-row]").first.wait_for()
        page.evaluate("turn('hidden')")
    before = step.inner_text()
    first.evaluate("turn('visible')")
    expect(step).not_to_have_text(before)
    expect(status).to_have_text("live")
    stack.post(f"/v1/runs/{run}/cancel", {}, 202)
    stack.wait_for_end(run)
    expect(first.get_by_text("cancelled").first).to_be_visible()
    context.close()


class Line:
    """A line to the server that can be cut and mended."""

    def __init__(self, port: int) -> None:
        self._to, self._open = port, True
        self._fatal: bytes | None = None
        self.has_broken = threading.Event()
        self._ends: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Whoever is connected is cut off; whoever connects is too."""
        self._open = False
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut_at(self, request: str) -> None:
        """Cut when somebody sends this: the request never arrives."""
        self._fatal = request.encode()

    def mend(self) -> None:
        self._open, self._ends, self._fatal = True, [], None

    def close(self) -> None:
        self.cut()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                if not self._open:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self._to))
                self._ends += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError), one:
            while data := one.recv(65536):
                if self._fatal and self._fatal in data:
                    self.cut()
                    self.has_broken.set()
                    break
                other.sendall(data)
            other.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def line(address: str) -> Iterator[Line]:
    made = Line(int(address.rpartition(":")[2]))
    yield made
    made.close()


def test_a_server_that_is_gone_is_told_on_every_view_and_taken_back(
    browser: Browser, stack: Product, line: Line, key: str, trained: Trained
) -> None:
    run = stack.post("/v1/experiments", SPEC | {"name": "outlives", "epochs": 5000})["runs"][0]["id"]
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{line.port}/#key={key}")
    page.get_by_role("link", name="Saddle").wait_for()
    home, fast = page.url, trained["fast"]["id"]
    page.close()  # a browser has six connections to a server, of which each view that is seen takes one for news
    places = {}
    for place in (f"run/{run}", "experiments", f"experiment/{fast}", f"compare?experiments={fast}", "new", "workers"):
        places[place] = context.new_page()
        places[place].goto(home.replace("#/", f"#/{place}"))
        places[place].get_by_role("link", name="Saddle").wait_for()
    live = places[f"run/{run}"]
    status, step = live.locator(".facts [role=status]"), live.get_by_text(re.compile(r"step [\d,]+ of"))
    expect(status).to_have_text("live")
    line.cut()
    for page in places.values():
        page.bring_to_front()
        expect(page.locator(".notice")).to_contain_text("The server does not respond.", timeout=15_000)
    expect(status).to_have_text("disconnected", timeout=15_000)
    before = step.inner_text()
    line.mend()
    for page in places.values():
        expect(page.get_by_text("The server does not respond.")).to_have_count(0)
        expect(page.get_by_role("alert")).to_have_count(0)
    expect(status).to_have_text("live")
    expect(step).not_to_have_text(before)
    stack.post(f"/v1/runs/{run}/cancel", {}, 202)
    stack.wait_for_end(run)
    expect(live.get_by_text("cancelled").first).to_be_visible()
    context.close()


LOADED = {  # what each view asks for, and what it shows once that has come
    "/v1/me": ("experiments", "main table.experiments tbody a"),
    "/views/workers.js": ("workers", "main table.list"),
    "/views/evidence.js": ("run/{run}", ".headline strong"),  # one that another one needs
    "/v1/runs?state=queued": ("workers", "main table.list"),
    "/v1/experiments?columns": ("experiments", "main table.experiments tbody a"),
    "/v1/series?": ("experiments", ".curves .chart canvas"),
    "/v1/experiments/exp_": ("experiment/{experiment}", "h1"),
    "/v1/series?runs": ("experiment/{experiment}", ".chart canvas"),
    "/v1/catalog/experiment": ("experiment/{experiment}", "section.spec"),
    "/v1/runs/run_": ("run/{run}", ".facts progress"),
    "/series?points": ("run/{run}", ".chart canvas"),
    "/planned?": ("run/{run}", ".chart canvas"),
    "/diagnosis HTTP": ("run/{run}", ".headline strong"),
    "/log?": ("run/{run}?tab=log", "pre .line"),
    "POST /v1/comparisons": ("compare?experiments={experiment}", ".chart canvas"),
    "/v1/presets/digits-adam": ("new", ".document textarea"),
    "/v1/catalog/optimizers/adam": ("new", "fieldset input"),
    "/v1/schedules/preview": ("new", ".chart canvas"),
    "dry_run=true": ("new", ".estimate"),
}


@pytest.mark.parametrize("request_sent", LOADED)
@pytest.mark.parametrize("is_long", [True, False], ids=["gone", "blinked"])
def test_what_was_asked_for_while_the_server_went_comes_when_it_is_back(
    browser: Browser, line: Line, key: str, trained: Trained, request_sent: str, is_long: bool
) -> None:
    fast = trained["fast"]
    place, sought = LOADED[request_sent]
    context, address = browser.new_context(), f"http://127.0.0.1:{line.port}"
    context.request.post(f"{address}/v1/session", data={"key": key}, headers={"Origin": address})
    page = context.new_page()  # which has no script yet: browsers keep them for good
    line.cut_at(request_sent)
    page.goto(f"{address}/#/{place.format(experiment=fast['id'], run=fast['runs'][0]['id'])}")
    assert line.has_broken.wait(15)
    if is_long:
        expect(page.locator(".notice")).to_contain_text("The server does not respond.", timeout=15_000)
    line.mend()
    expect(page.locator(sought).first).to_be_visible(timeout=15_000)
    expect(page.get_by_text("The server does not respond.")).to_have_count(0)
    expect(page.get_by_role("alert")).to_have_count(0)
    context.close()
