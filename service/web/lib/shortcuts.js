// Keyboard shortcuts: "/" filters, j and k move, Enter opens, x selects, c compares, n creates, ? lists them.
import { useEffect } from "./html.js";
import { navigate } from "./address.js";
import { t } from "./words.js";

const isTyping = (node) => node && (node.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(node.tagName));

function moveFocus(by) {
  const rows = [...document.querySelectorAll("[data-row]")];
  const at = rows.indexOf(document.activeElement);
  const next = rows[Math.min(Math.max(at + by, 0), rows.length - 1)];
  if (next) {
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  }
}

const clickNearest = (selector) => {
  const found = document.activeElement?.querySelector(selector) || document.querySelector(selector);
  if (found) found.click();
};

// Lists the shortcuts in a dialog that Escape closes.
function showHelp() {
  const dialog = document.createElement("dialog");
  const text = document.createElement("p");
  text.textContent = t("keys.help");
  dialog.append(text);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

const SHORTCUTS = {
  "/": () => document.querySelector("[data-search]")?.focus(),
  j: () => moveFocus(1),
  k: () => moveFocus(-1),
  x: () => clickNearest("[data-mark]"),
  c: () => clickNearest("[data-compare]"),
  n: () => navigate(["new"]),
  e: () => navigate(["experiments"]),
  w: () => navigate(["workers"]),
  "?": () => showHelp(),
};

export function useShortcuts(dependency) {
  useEffect(() => {
    const onKeyDown = (event) => {
      if (event.key === "Escape" && isTyping(event.target)) return event.target.blur();
      if (isTyping(event.target) || event.ctrlKey || event.metaKey || event.altKey) return undefined;
      if (event.key === "Enter" && event.target.dataset?.row) return navigate(event.target.dataset.row.split("/"));
      const action = SHORTCUTS[event.key];
      if (!action) return undefined;
      event.preventDefault();
      return action();
    };
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, [dependency]);
}
