"""A team's own files by the page alone: a table compared over folds, a fine-tune, predictions scored elsewhere."""

import hashlib
import json
import re
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.harness.product import Product

See = Callable[[str], Page]
SHADES = {"dark": 40, "grey": 120, "light": 200}
CITIES = ["Rome", "Oslo", "Lima", ""]
ROWS = [
    f"{'' if n % 11 == 0 else n % 60},{CITIES[n % 4]},{(n * 7) % 13}.5,{'yes' if n % 60 > 30 else 'no'}"
    for n in range(120)
]
TABLE = "\n".join(["age,city,income,churn", *ROWS]).encode()
PREPARE = [
    {"kind": "impute", "strategy": "median"},
    {"kind": "impute", "strategy": "most_frequent"},
    {"kind": "one_hot"},
]


@pytest.fixture(scope="module")
def weights() -> bytes:
    """A network of timm for 1,000 classes, as its owner saved it."""
    from safetensors.torch import save

    from worker.trainer.optional_imports import import_optional

    return save(import_optional("timm").create_model("test_resnet", pretrained=False).state_dict())


@pytest.fixture(scope="module")
def pictures() -> bytes:
    """A zip of class folders: 20 images of each shade."""
    noise = np.random.default_rng(0)
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, shade in SHADES.items():
            for number in range(20):
                file = BytesIO()
                image = np.clip(shade + noise.normal(0, 30, (32, 32, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(image).save(file, "PNG")
                archive.writestr(f"{name}/{number}.png", file.getvalue())
    return packed.getvalue()


def use(page: Page, name: str, content: bytes) -> None:
    """Upload a file and put it into the form."""
    page.set_input_files("input[type=file]", {"name": name, "mimeType": "application/octet-stream", "buffer": content})
    expect(page.locator(".report strong").first).to_have_text(name)
    page.get_by_role("button", name="Use it").click()


def part(page: Page, name: str) -> Locator:
    """The part of the form under a heading."""
    return page.locator("fieldset", has=page.locator("legend", has_text=re.compile(f"^{name}$")))


def field(box: Locator, name: str) -> Locator:
    """What is filled in under a name directly within a part of the form."""
    label = box.page.locator("span", has_text=re.compile(f"^{name}$"))
    return (
        box.locator(":scope > label.field, :scope > details > label.field").filter(has=label).locator("input, select")
    )


def fill(box: Locator, name: str, value: str) -> None:
    field(box, name).fill(value)
    field(box, name).blur()


def add_group(page: Page, number: int, pattern: str, **values: str) -> None:
    """Add a group of frozen layers."""
    more = part(page, "More settings")
    more.get_by_label("add to groups").select_option(index=1)
    group = more.locator(".inner").filter(has=page.get_by_text(f"groups {number}", exact=True)).last
    fill(group.locator(".inner").first, "name", pattern)
    field(group, "freeze").check()
    for name, value in values.items():
        fill(group, name, value)


def test_a_pretrained_network_is_fine_tuned_on_the_page(
    see: See, stack: Product, weights: bytes, pictures: bytes, tmp_path: Path
) -> None:
    page = see("new")
    use(page, "pictures.zip", pictures)
    use(page, "backbone.safetensors", weights)
    first = page.locator(".report tbody tr").first
    expect(first).to_contain_text("bn1.bias")  # by name, not the counters first
    expect(field(part(page, "dataset"), "kind")).to_have_value("images")
    field(part(page, "model"), "kind").select_option("timm")
    fill(part(page, "model"), "name", "test_resnet")
    expect(field(part(page, "More settings").locator(".inner").first, "head")).to_have_value('"new"')
    add_group(page, 1, "layer*", name="body", unfreeze_at="6", lr="0.0001")
    add_group(page, 2, "*1.*", name="stem")
    field(part(page, "More settings"), "predictions").check()
    part(page, "More settings").get_by_label("add to metrics").select_option('"f1"')
    part(page, "More settings").get_by_label("add to augment").select_option('"horizontal_flip"')
    fill(part(page, "run"), "epochs", "3")
    fill(part(page, "run"), "batch_size", "12")
    fill(part(page, "run"), "seeds", "0")
    page.get_by_role("button", name="Train (1 run)").click()
    page.locator("tr[data-row] a[href^='#/run/']").first.click()
    expect(page.locator(".facts")).to_contain_text("succeeded", timeout=120_000)
    run = page.url.split("#/run/")[1]

    expect(page.locator(".panel", has_text="lr/body")).to_contain_text("lr/default")
    assert stack.exact_series(run, "lr/body") == (list(range(1, 13)), [0.0] * 5 + [1e-4] * 7)
    page.get_by_role("link", name="Spec", exact=True).click()
    spec = page.locator("section.spec")
    expect(spec).to_contain_text(hashlib.sha256(weights).hexdigest())
    expect(spec.locator("div", has=page.locator("dt", has_text=re.compile("^unfreeze_at$"))).last).to_contain_text("6")
    expect(spec).not_to_contain_text("dim_lt")  # left at its default

    page.get_by_role("link", name="Diagnosis", exact=True).click()
    expect(page.get_by_text("Training images as they are (first row), and as drawn")).to_be_visible()

    page.get_by_role("link", name="Checkpoints", exact=True).click()
    with page.expect_download() as taken:
        page.get_by_role("link", name="Download all predictions").click()
    taken.value.save_as(tmp_path / "predictions.parquet")
    table = pq.read_table(tmp_path / "predictions.parquet")
    assert json.loads(table.schema.metadata[b"saddle"])["classes"] == sorted(SHADES)
    rows = table.to_pydict()
    from sklearn.metrics import accuracy_score, f1_score

    found = accuracy_score(rows["target"], rows["prediction"])
    assert found == pytest.approx(stack.exact_series(run, "val/accuracy")[1][-1], rel=1e-7)  # kept in single precision
    found = f1_score(rows["target"], rows["prediction"], average="macro")
    assert found == pytest.approx(stack.exact_series(run, "val/f1_macro")[1][-1], rel=1e-7)


def train(page: Page, name: str) -> str:
    """Start five runs; return the experiment's id."""
    page.get_by_role("button", name="Train (5 runs)").click()
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    return page.url.split("#/experiment/")[1]


def test_two_models_are_compared_by_f1_over_folds_of_an_own_table(see: See, stack: Product) -> None:
    page = see("new")
    use(page, "people.csv", TABLE)
    expect(field(part(page, "dataset"), "predict")).to_have_value("churn")
    fill(part(page, "dataset"), "folds", "5")
    expect(page.locator(".refusal")).to_contain_text("leave them out for one run of each fold")
    fill(part(page, "run"), "seeds", "")
    fill(part(page, "run"), "epochs", "3")
    page.get_by_text("inits, start").click()
    part(page, "More settings").get_by_label("add to metrics").select_option('"f1"')
    own = train(page, "people")
    spec = stack.get(f"/v1/experiments/{own}")["spec"]
    given = [
        {name: value for name, value in each.items() if name in ("kind", "strategy")}
        for each in spec["dataset"]["prepare"]
    ]
    assert given == PREPARE
    assert (spec["dataset"]["missing"], spec["seeds"]) == ("refuse", [0, 1, 2, 3, 4])

    page.get_by_text("Clone and edit").click()
    field(part(page, "model"), "kind").select_option("linear")
    fill(part(page, "run"), "name", "people-linear")
    other = train(page, "people-linear")
    for experiment in (own, other):
        for run in stack.get(f"/v1/experiments/{experiment}")["runs"]:
            stack.wait_for_end(run["id"], 120)
    page = see(f"compare?experiments={own},{other}")
    page.get_by_label("Rank by").select_option("val/f1_macro")
    expect(page.get_by_text("Which is better, and how sure? (best val/f1_macro)")).to_be_visible()
    expect(page.locator(".ranking tbody tr")).to_have_count(2)
    expect(page.locator("main")).to_contain_text("The runs validate on 5 folds of one dataset")
