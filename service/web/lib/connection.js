// Whether the server answers: found out in one place, said on every view, and told to whoever asks anew when it is back.
import { html, useEffect, useRef, useState } from "./html.js";
import { t } from "./words.js";

const READY = new URL("../../v1/readyz", import.meta.url).href;
const QUIET_MS = 5000; // after so long without an answer the server is asked whether it is there
const AGAIN_MS = 1000; // between two looks while it is away
const PATIENCE_MS = 4000; // for the answer to such a look

let gone = null; // since when it does not answer; null: it does
let heard = Date.now();
let looking = false;
let timer = 0;
const listeners = new Set();

function became(found) {
  const changed = (found === null) !== (gone === null);
  gone = found;
  if (changed) for (const listener of [...listeners]) listener(gone);
}

// Any answer, also a refusal, also a message of a stream.
export function answered() {
  heard = Date.now();
}

// A request or a stream broke: whether the server is gone is decided by asking it.
export async function suspect() {
  if (looking) return;
  looking = true;
  const there = await fetch(READY, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) }).then((answer) => answer.ok, () => false);
  looking = false;
  if (there) {
    answered();
    became(null);
  } else {
    became(gone ?? heard);
    clearTimeout(timer);
    timer = setTimeout(suspect, AGAIN_MS);
  }
}

// Since when (ms) the server is gone; null while it answers.
export function useGone() {
  const [since, set] = useState(gone);
  useEffect(() => {
    set(gone);
    listeners.add(set);
    return () => listeners.delete(set);
  }, []);
  return since;
}

// Calls `again` whenever the server is back after it was gone.
export function useReturn(again) {
  const latest = useRef(again);
  latest.current = again;
  useEffect(() => {
    const changed = (since) => since === null && latest.current();
    listeners.add(changed);
    return () => listeners.delete(changed);
  }, []);
}

// The line that says so, and asks where nothing else does.
export function Connection() {
  const since = useGone();
  useEffect(() => {
    const beat = setInterval(() => {
      if (gone === null && document.visibilityState === "visible" && Date.now() - heard > QUIET_MS) suspect();
    }, AGAIN_MS);
    return () => clearInterval(beat);
  }, []);
  if (since === null) return null;
  return html`<div class="notice" role="alert"><strong>${t("gone")}</strong><span>${t("gone.since", { time: new Date(since).toLocaleTimeString() })}</span></div>`;
}
