// What this browser keeps for the page; one that keeps nothing answers null.
import { useEffect, useState } from "./html.js";

const PREFIX = "saddle.";

export function kept(name) {
  try {
    return window.localStorage.getItem(PREFIX + name);
  } catch {
    return null;
  }
}

// Null forgets it.
export function keep(name, value) {
  try {
    if (value === null) window.localStorage.removeItem(PREFIX + name);
    else window.localStorage.setItem(PREFIX + name, value);
  } catch {
    // full, or not allowed: it holds until the page is left
  }
}

// What somebody types and has not sent: kept by the browser over navigation, the end of a session, and reload.
const MAX_AGE_MS = 7 * 24 * 3600 * 1000;

function read(name) {
  try {
    const { text, at } = JSON.parse(kept(`draft.${name}`)) || {};
    return typeof text === "string" && Date.now() - at < MAX_AGE_MS ? text : null;
  } catch {
    return null; // not ours
  }
}

const write = (name, text) => keep(`draft.${name}`, text === null ? null : JSON.stringify({ text, at: Date.now() }));

// {text, setText, isKept, discard, forget}: the text, beginning with the draft of this name if there is one, else with `first`.
export function useDraft(name, first) {
  const [text, setText] = useState(() => read(name) ?? first);
  const [isKept, setKept] = useState(text !== first);
  const forget = () => write(name, null);
  useEffect(() => write(name, text === first ? null : text), [text]);
  const discard = () => { setText(first); setKept(false); };
  return { text, setText, isKept, discard, forget };
}
