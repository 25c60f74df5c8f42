"""Views whose scripts are loaded when they are shown, whenever these arrive."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

See = Callable[[str], Page]
SHOWN = """async (when) => { // the text of a view whose scripts arrive before, between drawing and effect, or after
    const { html, render } = await import("/page/lib/html.js");
    const { lazy } = await import("/page/lib/lazy.js");
    let arrive;
    const arrived = new Promise((go) => { arrive = go; });
    const View = lazy(() => arrived.then(() => ({It: () => html`<b>here</b>`})), "It");
    const node = document.createElement("div");
    document.body.append(node);
    const asked = View.ready();
    if (when === "before") {
        arrive();
        await asked;
    }
    render(html`<${View}/>`, node);
    if (when === "between") {
        arrive();
        await asked; // microtasks alone: the effect comes after the next frame
    }
    await new Promise((go) => setTimeout(go, 200));
    arrive();
    await new Promise((go) => setTimeout(go, 200));
    return node.textContent;
}"""


@pytest.mark.parametrize("when", ["before", "between", "after"])
def test_a_view_is_shown_whenever_its_scripts_arrive(see: See, when: str) -> None:
    assert see("workers").evaluate(SHOWN, when) == "here"
