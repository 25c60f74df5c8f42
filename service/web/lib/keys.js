// The keyboard: "/" searches, j and k move, Enter opens, x marks, c compares, n makes a new one, ? tells all this.
import { useEffect } from "./html.js";
import { go } from "./address.js";
import { t } from "./words.js";

const typing = (node) => node && (node.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(node.tagName));

function move(by) {
  const rows = [...document.querySelectorAll("[data-row]")];
  const at = rows.indexOf(document.activeElement);
  const next = rows[Math.min(Math.max(at + by, 0), rows.length - 1)];
  if (next) {
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  }
}

const press = (selector) => {
  const found = document.activeElement?.querySelector(selector) || document.querySelector(selector);
  if (found) found.click();
};

// The keys as a dialog that Escape closes.
function help() {
  const dialog = document.createElement("dialog");
  const text = document.createElement("p");
  text.textContent = t("keys.help");
  dialog.append(text);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

const KEYS = {
  "/": () => document.querySelector("[data-search]")?.focus(),
  j: () => move(1),
  k: () => move(-1),
  x: () => press("[data-mark]"),
  c: () => press("[data-compare]"),
  n: () => go(["new"]),
  e: () => go(["experiments"]),
  w: () => go(["workers"]),
  "?": () => help(),
};

export function useKeys(needs) {
  useEffect(() => {
    const pressed = (event) => {
      if (event.key === "Escape" && typing(event.target)) return event.target.blur();
      if (typing(event.target) || event.ctrlKey || event.metaKey || event.altKey) return undefined;
      if (event.key === "Enter" && event.target.dataset?.row) return go(event.target.dataset.row.split("/"));
      const act = KEYS[event.key];
      if (!act) return undefined;
      event.preventDefault();
      return act();
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, [needs]);
}
