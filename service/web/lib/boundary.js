// Error boundaries: a part that throws is replaced by a message and a retry button; the rest of the page goes on.
import { html, useEffect, useErrorBoundary, useState } from "./html.js";
import { href } from "./address.js";
import { escapeInvisible } from "./format.js";
import { t } from "./words.js";

const MAX_SHOWN = 3; // uncaught errors at once

function messageOf(error) {
  return escapeInvisible(error?.message || error);
}

// Wraps each view, and each part whose failure should not take its view along; a change of the address retries.
export function Boundary({ children }) {
  const [error, retry] = useErrorBoundary((caught) => console.error(caught));
  useEffect(() => {
    if (!error) return undefined;
    window.addEventListener("hashchange", retry);
    return () => window.removeEventListener("hashchange", retry);
  }, [error]);
  if (!error) return children;
  return html`<div class="refusal" role="alert"><p><strong>${t("broken")}</strong></p><p><code>${messageOf(error)}</code></p>
    <div class="bar"><button type="button" onClick=${retry}>${t("broken.again")}</button> <a class="button" href=${href(["experiments"])}>${t("place.experiments")}</a></div></div>`;
}

// A lost connection has its own notice, and an aborted request is no error.
const isReportedElsewhere = (error) => !error || error.name === "AbortError" || error.unavailable || error.status === 401;

// Errors that no boundary caught (handlers, timers, promises): shown at the bottom until they are closed.
export function UncaughtErrors() {
  const [errors, set] = useState([]);
  useEffect(() => {
    const onError = (event) => {
      const error = event.type === "error" ? event.error : event.reason;
      if (!isReportedElsewhere(error)) set((before) => [...before.filter((text) => text !== messageOf(error)), messageOf(error)].slice(-MAX_SHOWN));
    };
    window.addEventListener("error", onError);
    window.addEventListener("unhandledrejection", onError);
    return () => {
      window.removeEventListener("error", onError);
      window.removeEventListener("unhandledrejection", onError);
    };
  }, []);
  if (!errors.length) return null;
  return html`<div class="notice uncaught" role="alert"><strong>${t("uncaught")}</strong>${errors.map((text) => html`<code key=${text}>${text}</code>`)}
    <button type="button" onClick=${() => set([])}>${t("close")}</button></div>`;
}
