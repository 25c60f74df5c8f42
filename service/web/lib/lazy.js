// A view whose scripts are loaded when it is first shown, or before, when the browser has nothing else to do.
import { untilReady } from "./api.js";
import { html, useEffect, useState } from "./html.js";
import { t } from "./words.js";

const IDLE_MS = 2000;
const ONCE_MS = 30_000; // within this time the page is not loaded again for the same reason
const loaders = [];

// A browser never fetches a script again that failed, so the whole page is loaded anew once the server is there: the
// address says what it shows. Scripts that fail again are broken: that is thrown.
async function startOver(error) {
  await untilReady();
  if (Date.now() - (window.history.state?.startedOver || 0) < ONCE_MS) throw error;
  window.history.replaceState({ startedOver: Date.now() }, "");
  window.location.reload();
  return new Promise(() => {});
}

// `load` imports the module that exports the view by this name.
export function lazy(load, name) {
  let asked = null;
  let View = null;
  const ready = () => {
    asked ||= load().then((module) => { View = module[name]; }, (error) => { asked = null; throw error; });
    return asked;
  };
  loaders.push(ready);
  const Lazy = (props) => {
    const [failure, fail] = useState(null);
    const [waits, redraw] = useState(!View); // at the first drawing: the scripts may arrive between that and the effect
    useEffect(() => {
      let isShown = true;
      if (waits) ready().catch(startOver).then(() => isShown && redraw(false), (error) => isShown && fail(error));
      return () => { isShown = false; };
    }, []);
    if (failure) throw failure; // the boundary around it says so, and tries again
    return View ? html`<${View} ...${props}/>` : html`<p class="empty">${t("loading")}</p>`;
  };
  return Object.assign(Lazy, { ready });
}

// The scripts of the other views, while nobody waits for anything.
export function loadTheRest() {
  const idle = window.requestIdleCallback || ((act) => setTimeout(act, 1));
  setTimeout(() => idle(async () => {
    for (const ready of loaders) await ready().catch(() => {}); // one after the other; what fails is tried again when it is shown
  }), IDLE_MS);
}
