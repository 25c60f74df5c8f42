// What holds an exception: in its place stand a sentence and a way back, and everything else goes on.
import { html, useEffect, useErrorBoundary, useState } from "./html.js";
import { href } from "./address.js";
import { visible } from "./format.js";
import { t } from "./words.js";

const SHOWN = 3; // uncaught errors at once

function said(error) {
  return visible(error?.message || error);
}

// Around each view and each part that should not take its view along; another address tries again.
export function Boundary({ children }) {
  const [error, retry] = useErrorBoundary((thrown) => console.error(thrown));
  useEffect(() => {
    if (!error) return undefined;
    window.addEventListener("hashchange", retry);
    return () => window.removeEventListener("hashchange", retry);
  }, [error]);
  if (!error) return children;
  return html`<div class="refusal" role="alert"><p><strong>${t("broken")}</strong></p><p><code>${said(error)}</code></p>
    <div class="bar"><button type="button" onClick=${retry}>${t("broken.again")}</button> <a class="button" href=${href(["experiments"])}>${t("place.experiments")}</a></div></div>`;
}

// The connection has a line of its own, and a request that was given up is no error.
const elsewhere = (error) => !error || error.name === "AbortError" || error.gone || error.status === 401;

// Errors that nothing held, of handlers, timers and promises: over the foot of the page until they are closed.
export function Uncaught() {
  const [errors, set] = useState([]);
  useEffect(() => {
    const heard = (event) => {
      const error = event.type === "error" ? event.error : event.reason;
      if (!elsewhere(error)) set((before) => [...before.filter((text) => text !== said(error)), said(error)].slice(-SHOWN));
    };
    window.addEventListener("error", heard);
    window.addEventListener("unhandledrejection", heard);
    return () => {
      window.removeEventListener("error", heard);
      window.removeEventListener("unhandledrejection", heard);
    };
  }, []);
  if (!errors.length) return null;
  return html`<div class="notice uncaught" role="alert"><strong>${t("uncaught")}</strong>${errors.map((text) => html`<code key=${text}>${text}</code>`)}
    <button type="button" onClick=${() => set([])}>${t("close")}</button></div>`;
}
