// Whether the server responds: checked in one place, shown on every view; requests are repeated when it is back.
import { html, useEffect, useRef, useState } from "./html.js";
import { t } from "./words.js";

const READY_URL = new URL("v1/readyz", document.baseURI).href;
const CHECK_AFTER_MS = 5000; // without a response
const RETRY_MS = 1000; // between two checks while the server is unreachable
const TIMEOUT_MS = 4000; // of a check

let unreachableSince = null; // ms since the epoch; null: reachable
let lastResponse = Date.now();
let isChecking = false;
let timer = 0;
const listeners = new Set();

function setUnreachableSince(since) {
  const changed = (since === null) !== (unreachableSince === null);
  unreachableSince = since;
  if (changed) for (const listener of [...listeners]) listener(unreachableSince);
}

// Call on any response, error responses and stream messages included.
export function recordResponse() {
  lastResponse = Date.now();
}

// Call when a request or a stream broke: asks the server itself whether it is reachable.
export async function checkServer() {
  if (isChecking) return;
  isChecking = true;
  const isReady = await fetch(READY_URL, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) }).then((answer) => answer.ok, () => false);
  isChecking = false;
  if (isReady) {
    recordResponse();
    setUnreachableSince(null);
  } else {
    setUnreachableSince(unreachableSince ?? lastResponse);
    clearTimeout(timer);
    timer = setTimeout(checkServer, RETRY_MS);
  }
}

// The time (ms) since when the server is unreachable; null while it responds.
export function useUnreachableSince() {
  const [since, set] = useState(unreachableSince);
  useEffect(() => {
    set(unreachableSince);
    listeners.add(set);
    return () => listeners.delete(set);
  }, []);
  return since;
}

// Calls `callback` whenever the server is back.
export function useReconnect(callback) {
  const latest = useRef(callback);
  latest.current = callback;
  useEffect(() => {
    const changed = (since) => since === null && latest.current();
    listeners.add(changed);
    return () => listeners.delete(changed);
  }, []);
}

// The notice, and the check where nothing else sends requests.
export function ConnectionNotice() {
  const since = useUnreachableSince();
  useEffect(() => {
    const timer = setInterval(() => {
      if (unreachableSince === null && document.visibilityState === "visible" && Date.now() - lastResponse > CHECK_AFTER_MS) checkServer();
    }, RETRY_MS);
    return () => clearInterval(timer);
  }, []);
  if (since === null) return null;
  return html`<div class="notice" role="alert"><strong>${t("gone")}</strong><span>${t("gone.since", { time: new Date(since).toLocaleTimeString() })}</span></div>`;
}
