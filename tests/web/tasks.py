"""What a newcomer wants first, done with a counted hand: `python -m tests.web.tasks --to FOLDER` keeps a trace of each.

A click is a press of the mouse button; choosing from a list is two. What is typed is not counted.
"""

import argparse
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect, sync_playwright

from tests.fixtures.product import QUICK, SPEC
from tests.harness.product import Product, install_product

from .conftest import FLAGS

TABLE = b"width,height,kind\n" + b"".join(
    f"{n % 7}.5,{n % 5},{'long' if n % 2 else 'short'}\n".encode() for n in range(60)
)


@dataclass
class Hand:
    """Somebody at the page, whose clicks are counted."""

    page: Page
    stack: Product
    clicks: int = 0

    def click(self, target: Locator, shift: bool = False) -> None:
        """Press once."""
        self.clicks += 1
        target.click(modifiers=["Shift"] if shift else None)

    def search(self, words: str) -> None:
        """Type words into the search box: the one that is meant may be far down the list."""
        box = self.page.get_by_role("combobox", name="Search experiments")
        box.fill(words)
        box.press("Enter")

    def button(self, name: str, exact: bool = False) -> Locator:
        return self.page.get_by_role("button", name=name, exact=exact)


def find_the_best(hand: Hand) -> None:
    """Sort by the best value, and open the first row."""
    known = hand.stack.get("/v1/experiments", sort="best(val/loss)", limit=1)["items"][0]
    hand.click(hand.page.get_by_role("columnheader", name="Best").get_by_role("button"))
    first = hand.page.locator("tr[data-row] td.name a").first
    expect(first).to_have_text(known["name"])
    hand.click(first)
    expect(hand.page.get_by_role("heading", name=known["name"])).to_be_visible()


def compare_five(hand: Hand) -> None:
    """Mark the first and the fifth with the shift key, and compare."""
    marks = hand.page.locator("[data-mark]")
    hand.click(marks.nth(0))
    hand.click(marks.nth(4), shift=True)
    hand.click(hand.button("Compare", exact=True))
    expect(hand.page.locator(".ranking tbody tr")).to_have_count(5)


def why_did_it_fail(hand: Hand) -> None:
    """Open the experiment that failed and its run: the reason stands at the top."""
    hand.search("broken")
    hand.click(hand.page.get_by_role("link", name="broken", exact=True).first)
    hand.click(hand.page.locator("tr[data-row] a[href^='#/run/']").first)
    expect(hand.page.locator(".refusal").first).to_contain_text("diverged")
    expect(hand.page.locator(".headline.fault")).to_be_visible()


def fork(hand: Hand) -> None:
    """Go on from a finished run, longer, by the row's menu."""
    hand.search("fast")
    hand.click(hand.button("Actions on fast", exact=True).first)
    hand.click(hand.page.get_by_role("menuitem", name="Fork"))
    hand.click(hand.button("Train (1 run)"))
    expect(hand.page).to_have_url(re.compile("#/experiment/exp_"))


def upload_and_train(hand: Hand) -> None:
    """Upload a table, predict its last column, train."""
    hand.click(hand.page.get_by_role("link", name="New", exact=True))
    with hand.page.expect_file_chooser() as chosen:
        hand.click(hand.page.get_by_text("Upload a data file"))
    hand.clicks += 2  # the file, and Open
    chosen.value.set_files({"name": "shapes.csv", "mimeType": "text/csv", "buffer": TABLE})
    hand.click(hand.button("Use it"))
    hand.click(hand.button("Train (3 runs)"))
    expect(hand.page.get_by_role("heading", name="shapes")).to_be_visible()


TASKS: dict[str, tuple[int, Callable[[Hand], None]]] = {  # name: the most clicks, and how it is done
    "find the best": (3, find_the_best),
    "compare five": (4, compare_five),
    "why did it fail": (2, why_did_it_fail),
    "fork": (4, fork),
    "upload and train": (8, upload_and_train),
}


def main() -> int:
    """Do every task before a new server, and keep what Playwright recorded."""
    parser = argparse.ArgumentParser(prog="python -m tests.web.tasks", description=__doc__)
    parser.add_argument("--to", type=Path, default=Path("traces"))
    asked = parser.parse_args()
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        sys.stderr.write("a Chromium is needed\n")
        return 1
    asked.to.mkdir(parents=True, exist_ok=True)
    with install_product(**QUICK) as stack, sync_playwright() as playwright:
        stack.start_api()
        stack.start_worker("worker-1")
        train(stack)
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        for name, (most, task) in TASKS.items():
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            context.tracing.start(screenshots=True, snapshots=True)
            hand = Hand(context.new_page(), stack)
            hand.page.goto(f"{stack.url}/#key={stack.key}")
            hand.page.locator("tr[data-row]").first.wait_for()
            task(hand)
            path = asked.to / f"{name.replace(' ', '-')}.zip"
            context.tracing.stop(path=path)
            context.close()
            sys.stdout.write(f"{name}: {hand.clicks} clicks of {most}; {path}\n")
    return 0


def train(stack: Product) -> dict[str, Any]:
    """What the tasks are about: experiments that learn, and one that diverges."""
    rates = {"fast": 0.05, "slow": 1e-4, "middle": 0.01, "careful": 1e-3, "broken": 10.0}
    short = SPEC | {"epochs": 2}
    made = {
        name: stack.post("/v1/experiments", short | {"name": name, "optimizer": {"kind": "sgd", "lr": rate}})
        for name, rate in rates.items()
    }
    for each in made.values():
        stack.wait_for_end(each["runs"][0]["id"], 200)
    return made


if __name__ == "__main__":
    sys.exit(main())
