// Whether the server responds: checked in one place, shown on every view; requests are repeated when it is back.
import { html, useEffect, useRef, useState } from "./html.js";
import { t } from "./words.js";

const READY_URL = new URL("v1/readyz", document.baseURI).href;
const CHECK_AFTER_MS = 5000; // without a response
const RETRY_MS = 1000; // between two checks while the server is unreachable
const TIMEOUT_MS = 4000; // of a check
const MOST_REPEATS = 3; // of a request that fails although the server is ready

let unreachableSince = null; // ms since the epoch; null: reachable
let lastResponse = Date.now();
let check = null; // the one that is under way
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

// Call when a request or a stream broke: asks the server itself whether it is reachable, and returns that.
export function checkServer() {
  check ||= isReady().finally(() => { check = null; });
  return check;
}

async function isReady() {
  const ready = await fetch(READY_URL, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) }).then((answer) => answer.ok, () => false);
  if (ready) {
    recordResponse();
    setUnreachableSince(null);
  } else {
    setUnreachableSince(unreachableSince ?? lastResponse);
    clearTimeout(timer);
    timer = setTimeout(checkServer, RETRY_MS);
  }
  return ready;
}

// Until `wake(done)` calls done, or the signal aborts.
const waitFor = (wake, signal) => new Promise((done) => { wake(done); signal?.addEventListener("abort", done, { once: true }); });

// Waits for the server; returns whether it was there at once.
export async function untilReady(signal) {
  const ready = await checkServer();
  if (!ready) {
    await waitFor((done) => {
      const changed = (since) => { if (since === null) { listeners.delete(changed); done(); } };
      listeners.add(changed);
    }, signal);
  }
  return ready;
}

// What `send` returns. What fails because the server is gone (`isLost(error)`) is sent again when it is back, so nobody
// has to ask for it twice; a server that is ready and fails all the same is asked a few times more.
export async function persist(send, isLost, signal) {
  for (let repeats = 0; ;) {
    try {
      return await send();
    } catch (error) {
      if (!isLost(error) || signal?.aborted) throw error;
      if (await untilReady(signal)) {
        if (repeats === MOST_REPEATS) throw error;
        const pause = (error.retryAfter || repeats) * RETRY_MS;
        repeats += 1;
        await waitFor((done) => setTimeout(done, pause), signal);
      }
      signal?.throwIfAborted();
    }
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
