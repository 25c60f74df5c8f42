// The keyboard. The palette: Ctrl-K, some letters, Enter; it goes to any page and experiment, and does what needs no page.
// Shortcuts: "/" filters, j and k move, Enter opens, x selects, c compares, n creates, ? lists them.
import { navigate } from "./address.js";
import { get, queryString } from "./api.js";
import { escapeInvisible, formatAge } from "./format.js";
import { html, useEffect, useRef, useState } from "./html.js";
import { CHOICES, choose as chooseLook, chosen as chosenLook, labelOf, optionsOf } from "./look.js";
import { LANGUAGES, setLanguage, t } from "./words.js";

const WAIT_MS = 120; // after a letter, until the server is asked
const MOST = 8; // experiments

const holds = (label, typed) => typed.toLowerCase().split(/\s+/).every((word) => label.toLowerCase().includes(word));

// The pages that this person sees, and what can be done anywhere: [{key, label, kind, act}].
function commands(places, redraw) {
  return [
    ...places.map((place) => ({ key: place, label: t(`place.${place}`), kind: t("palette.page"), act: () => navigate([place]) })),
    { key: "account", label: t("place.account"), kind: t("palette.page"), act: () => navigate(["account"]) },
    ...CHOICES.flatMap((name) => optionsOf(name).filter((each) => each !== chosenLook(name)).map((each) => ({ key: `${name}-${each}`, label: labelOf(name, each), kind: t(name), act: () => chooseLook(name, each) }))),
    ...Object.entries(LANGUAGES).map(([word, name]) => ({ key: word, label: name, kind: t("language"), act: async () => { await setLanguage(word); redraw(); } })),
  ];
}

function useExperiments(typed) {
  const [found, set] = useState([]);
  useEffect(() => {
    const control = new AbortController();
    const timer = setTimeout(async () => {
      const filter = typed.trim() ? `name ~ ${JSON.stringify(typed.trim())}` : undefined;
      try {
        set((await get(`/v1/experiments${queryString({ filter, limit: MOST })}`, { signal: control.signal })).items);
      } catch (error) {
        if (error.name !== "AbortError") set([]); // the pages and actions are still to be had
      }
    }, WAIT_MS);
    return () => { clearTimeout(timer); control.abort(); };
  }, [typed]);
  return found.map(({ id, name, created_at: at }) => ({ key: id, label: escapeInvisible(name), kind: t("ago", { age: formatAge(at) }), act: () => navigate(["experiment", id]) }));
}

function List({ places, close, redraw }) {
  const node = useRef(null);
  const [typed, setTyped] = useState("");
  const [at, setAt] = useState(0);
  const experiments = useExperiments(typed);
  useEffect(() => {
    const opener = document.activeElement;
    node.current.showModal();
    return () => opener?.focus?.();
  }, []);
  const known = commands(places, redraw).filter(({ label, kind }) => holds(`${label} ${kind}`, typed.trim()));
  const items = typed.trim() ? [...experiments, ...known] : [...known.slice(0, places.length), ...experiments];
  const chosen = Math.min(at, items.length - 1);
  const choose = (item) => { close(); item?.act(); };
  const onKeyDown = (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by) {
      event.preventDefault();
      setAt(Math.min(Math.max(chosen + by, 0), items.length - 1));
    } else if (event.key === "Enter") {
      event.preventDefault();
      choose(items[chosen]);
    } else if (event.key === "Escape") close(); // the field would only be emptied
  };
  return html`<dialog class="palette" ref=${node} onClose=${close} aria-label=${t("palette")}>
    <input type="search" role="combobox" aria-expanded="true" aria-controls="palette" aria-activedescendant=${items.length ? `palette-${chosen}` : undefined} aria-label=${t("palette")} placeholder=${t("palette.hint")} value=${typed}
      onInput=${(event) => { setTyped(event.target.value); setAt(0); }} onKeyDown=${onKeyDown}/>
    <ul id="palette" role="listbox" aria-label=${t("palette")}>${items.map((item, index) => html`<li key=${item.key} id=${`palette-${index}`} role="option" aria-selected=${String(index === chosen)} onClick=${() => choose(item)}>${item.label} <small>${item.kind}</small></li>`)}</ul>
    ${items.length ? null : html`<p class="hint">${t("palette.none")}</p>`}</dialog>`;
}

// Listens for Ctrl-K (on a Mac Command-K); `places` are the pages that the person sees.
export function Palette({ places, redraw }) {
  const [open, setOpen] = useState(false);
  useEffect(() => {
    const onKeyDown = (event) => {
      if (!(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey || event.key.toLowerCase() !== "k") return;
      event.preventDefault();
      setOpen(true);
    };
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, []);
  return html`<button type="button" class="sign" aria-label=${t("palette")} title=${`${t("palette")} (Ctrl-K)`} onClick=${() => setOpen(true)}>⌕</button>
    ${open ? html`<${List} places=${places} redraw=${redraw} close=${() => setOpen(false)}/>` : null}`;
}

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
