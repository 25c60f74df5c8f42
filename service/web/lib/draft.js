// What somebody types and has not sent: kept by the browser over navigation, the end of a session, and reload.
import { useEffect, useState } from "./html.js";
import { keep, kept } from "./kept.js";

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
