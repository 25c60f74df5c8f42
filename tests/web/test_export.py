"""Charts and tables as files: a picture in lines, one in points, numbers, and tables for papers."""

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
from playwright.sync_api import Locator, Page, expect

See = Callable[[str], Page]
Trained = dict[str, Any]
WRITTEN = """async (table) => {
    const { tableCsv, tableLatex, tableMarkdown } = await import("/page/lib/tables.js");
    return [tableCsv(table), tableMarkdown(table), tableLatex(table)];
}"""
TABLE = {
    "head": ["Name", "Loss", "n"],
    "rows": [
        ["=evil(), 50%_a", {"mean": 0.1234567, "half": 0.01}, 3],
        ["a|b", {"mean": 12.5, "half": None}, 5],
        ["lost", {"mean": None, "half": None}, None],
    ],
}


def saved(page: Page, menu: Locator, kind: str) -> bytes:
    menu.locator("summary").click()
    with page.expect_download() as found:
        menu.get_by_role("button", name=kind, exact=True).click()
    return Path(found.value.path()).read_bytes()


@pytest.fixture
def compared(see: See, trained: Trained) -> Page:
    return see(f"compare?experiments={trained['slow']['id']},{trained['fast']['id']}&series=val/loss,loss")


def test_a_chart_is_saved_as_svg_png_and_csv(compared: Page) -> None:
    menu = compared.locator(".plot .export").first
    drawn = Xml.fromstring(saved(compared, menu, "SVG"))
    texts = [each.text for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"Chart of val/loss", "fast", "slow", "step"} <= set(texts)
    long = [each for each in drawn.iter("{http://www.w3.org/2000/svg}path") if each.get("d", "").count("L") >= 1]
    assert len(long) >= 4  # two lines and their bands
    assert "NaN" not in Xml.tostring(drawn, encoding="unicode")
    picture = saved(compared, menu, "PNG")
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(picture[16:20]) > 600
    rows = list(csv.reader(io.StringIO(saved(compared, menu, "CSV").decode())))
    assert rows[0][0] == "step"
    assert sorted(rows[0][1:]) == ["fast", "fast high", "fast low", "slow", "slow high", "slow low"]
    assert [row[0] for row in rows[1:]] == ["45", "90"]
    assert all(float(cell) > 0 for row in rows[1:] for cell in row)


def test_a_ranking_is_saved_as_a_table_for_papers(compared: Page) -> None:
    menu = compared.locator(".heading .export").first
    rows = list(csv.reader(io.StringIO(saved(compared, menu, "CSV").decode())))
    assert rows[0][:4] == ["Rank", "Name", "Mean", "Mean ±"]
    assert [row[1] for row in rows[1:]] == ["fast", "slow"]
    assert re.search(r"^\| 1 \| fast \| \d\.\d+ ± \d\.\d+ \|", saved(compared, menu, "Markdown").decode(), re.MULTILINE)
    latex = saved(compared, menu, "LaTeX").decode()
    assert re.search(r"^\$1\$ & fast & \$\d\.\d+ \\pm \d\.\d+\$ & .*\\\\$", latex, re.MULTILINE)
    for kind in ("CSV", "Markdown", "LaTeX"):
        differences = saved(compared, compared.locator("h2 .export").last, kind).decode()
        assert "optimizer.lr" in differences.replace("\\_", "_")


def test_the_intervals_over_seeds_are_a_ribbon_of_the_plot_against_a_field(see: See, trained: Trained) -> None:
    ids = ",".join(trained[name]["id"] for name in ("fast", "slow", "broken"))
    page = see(f"compare?experiments={ids}&series=loss")
    menu = page.locator("section.panel", has_text="Result against one field").locator(".export")
    rows = list(csv.DictReader(io.StringIO(saved(page, menu, "CSV").decode())))
    ends = {float(row["/optimizer/lr"]): (row["loss low"], row["loss"], row["loss high"]) for row in rows}
    assert set(ends) == {1e-4, 0.05}, "what diverged has no value"
    for rate in (1e-4, 0.05):
        low, mean, high = (float(each) for each in ends[rate])
        assert low < mean < high
    assert 'fill-opacity="0.18"' in saved(page, menu, "SVG").decode()


def test_the_table_of_experiments_is_saved_with_every_row(see: See, trained: Trained) -> None:
    page = see("experiments?filter=name%20IN%20(fast,%20slow,%20broken)&columns=optimizer.lr")
    page.get_by_role("link", name="slow", exact=True).wait_for()
    rows = list(csv.DictReader(io.StringIO(saved(page, page.locator(".bar > .export"), "CSV").decode())))
    assert {row["Name"]: float(row["optimizer.lr"]) for row in rows} == {"fast": 0.05, "slow": 0.0001, "broken": 10.0}
    known = {row["Name"]: row for row in rows}
    assert float(known["fast"]["Best val/loss"]) > 0
    assert float(known["fast"]["Best val/loss ±"]) > 0
    assert known["fast"]["id"] == trained["fast"]["id"]


def test_texts_of_cells_are_no_formulas_and_break_no_table(see: See) -> None:
    comma, marked, latex = see("workers").evaluate(WRITTEN, TABLE)
    assert list(csv.reader(io.StringIO(comma))) == [
        ["Name", "Loss", "Loss ±", "n"],
        ["'=evil(), 50%_a", "0.1234567", "0.01", "3"],
        ["a|b", "12.5", "", "5"],
        ["lost", "", "", ""],
    ]
    assert "| a\\|b | 12.5000 | 5 |" in marked
    assert "| =evil(), 50%\\_a | 0.1235 ± 0.0100 | 3 |" in marked
    assert "=evil(), 50\\%\\_a & $0.1235 \\pm 0.0100$ & $3$ \\\\" in latex
    assert "lost & -- & -- \\\\" in latex


def test_a_link_to_the_page_as_it_is_is_copied(compared: Page, address: str) -> None:
    compared.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
    menu = compared.locator(".plot .export").first
    menu.locator("summary").click()
    menu.get_by_role("button", name="Copy link").click()
    expect(menu.get_by_role("button", name="Copy link")).to_be_hidden()
    assert compared.evaluate("navigator.clipboard.readText()") == compared.url
