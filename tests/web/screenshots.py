"""The pictures in docs/page, made anew: `python -m tests.web.screenshots`; its options show more."""

import argparse
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.fixtures.product import QUICK, SPEC
from tests.harness.product import Product, install_product

from .conftest import FLAGS

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "page"
OPTIMIZERS = {
    "sgd": {"kind": "sgd", "lr": 0.02},
    "momentum": {"kind": "sgd", "lr": 0.05, "momentum": 0.9},
    "adamw": {"kind": "adamw", "lr": 1e-3},
    "rate-too-high": {"kind": "sgd", "lr": 3.0},
}
SEEDS = [0, 1, 2, 3, 4]
SCREEN = 720  # px
SEASONED = """localStorage.setItem('saddle.first_steps', 'train,look,compare')"""
REPORT = """## Does momentum help?

On *digits*, with five seeds each:

{ranking}

Its curves are lower from the first epoch on.

{curves}
"""


def main() -> int:
    """Train, look, and keep the pictures."""
    parser = argparse.ArgumentParser(prog="python -m tests.web.screenshots", description=__doc__)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--phone", action="store_true")
    parser.add_argument("--language", choices=("en", "zh"), default="en")
    parser.add_argument("--every", action="store_true", help="every view, not only those that the texts show")
    parser.add_argument("--to", type=Path, default=FOLDER, help="another folder than docs/page")
    asked = parser.parse_args()
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        sys.stderr.write("a Chromium is needed\n")
        return 1
    asked.to.mkdir(exist_ok=True)
    with install_product(**QUICK) as stack, sync_playwright() as playwright:
        stack.start_api()
        stack.start_worker("worker-1")
        page = playwright.chromium.launch(executable_path=program, args=FLAGS).new_page(
            viewport={"width": 390 if asked.phone else 1280, "height": 860},
            color_scheme="dark" if asked.dark else "light",
        )
        page.add_init_script(f"localStorage.setItem('saddle.language', '{asked.language}')")
        page.add_init_script(SEASONED)
        pictures(stack, page, asked.to, asked.every)
    return 0


def pictures(stack: Product, page: Page, folder: Path, every: bool = False) -> None:
    """The table, a run, a run that does not learn with what was found, a comparison, the form."""
    address = stack.url
    about = {"epochs": 8, "seeds": SEEDS, "predictions": True}
    made = {
        name: stack.post("/v1/experiments", SPEC | about | {"name": name, "optimizer": each})
        for name, each in OPTIMIZERS.items()
    }
    for experiment in made.values():
        for run in experiment["runs"]:
            stack.wait_for_end(run["id"], 300)
    ill = made["rate-too-high"]["runs"][0]["id"]
    asked = [{"kind": "plane", "points": 21}, {"kind": "spectral_density"}]
    stack.wait_for_end(stack.post(f"/v1/runs/{ill}/probes", {"probes": asked, "step": 0})["id"], 300)
    key = stack.key
    page.goto(f"{address}/#key={key}")
    page.get_by_role("link", name="Saddle").wait_for()
    ids = ",".join(made[name]["id"] for name in ("sgd", "momentum", "adamw"))
    places = {
        "experiments": "experiments",
        "run": f"run/{made['momentum']['runs'][0]['id']}?smooth=0.8",
        "diagnosis": f"run/{ill}?tab=diagnosis",
        "compare": f"compare?experiments={ids}&series=val/loss,loss&share=0.9",
        "new": "new?preset=digits-adam",
    }
    question = {"place": "compare", "query": f"experiments={ids}&series=val/loss"}
    report = stack.post("/v1/views", question | {"name": "Does momentum help?", "text": REPORT})
    whole = ("run", "diagnosis", "report")
    if every:
        run = made["momentum"]["runs"][0]["id"]
        places |= {"report": f"report/{report['id']}", "experiment": f"experiment/{made['sgd']['id']}"}
        places |= {
            f"run-{tab}": f"run/{run}?tab={tab}" for tab in ("log", "checkpoints", "spec", "history", "diagnosis")
        }
        places |= {f"{place}-empty": place for place in ("studies", "compare")}
        places |= {
            place: place for place in ("workers", "project", "members", "keys", "notifications", "bin", "account")
        }
    for name, place in places.items():
        page.goto(f"{address}/#/{place}")
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(800)
        if name == "diagnosis":
            page.locator(".instruments > summary").click()
            page.locator(".contour canvas").wait_for()
        if name == "compare":
            on_one_screen(page, folder / "compare.png")
        else:
            page.screenshot(path=folder / f"{name}.png", full_page=name in whole)


def on_one_screen(page: Page, path: Path) -> None:
    """The first picture of the README: verdict, ranking and curves of a comparison, without scrolling."""
    size = page.viewport_size
    assert size is not None
    page.set_viewport_size(size | {"height": SCREEN})
    page.locator("section", has=page.locator(".ranking")).evaluate("node => window.scrollTo(0, node.offsetTop - 12)")
    page.wait_for_timeout(300)
    page.screenshot(path=path)
    page.set_viewport_size(size)


if __name__ == "__main__":
    sys.exit(main())
