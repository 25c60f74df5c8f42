// One box for what is looked for: plain words, or terms of the filter language, with fields and values to complete.
import { escapeInvisible, html, t, updateParameters, useEffect, useGet, useRef, useState } from "../../lib/page.js";

const FACTS = ["name", "state", "tag", "owner", "notes", "id", "created", "archived", "hash", "confirms"];
const FIELDS = ["optimizer.kind", "optimizer.lr", "optimizer.weight_decay", "optimizer.momentum", "model.kind", "model.hidden", "dataset.kind", "batch_size", "schedule.kind", "loss.kind", "epochs", "steps", "precision", "seeds"];
const MOST = 8;
const COMPARED = /([\w.]+|\w+\([^()]*\))\s*(=|!=|~)\s*("[^"]*|'[^']*|[^\s()"']*)$/u; // a field, an operator and the begin of a value
const BEGUN = /[\w./(][\w./()]*$/u;
const quote = (value) => (/^[\w.:/+%-]+$/u.test(value) ? value : `"${value.replaceAll('"', '""')}"`);

// What may stand in place of the end of `text`: {from: where it begins, options}.
export function completions(text, fields, values) {
  const compared = text.match(COMPARED);
  if (compared) {
    const begun = compared[3].replace(/^["']/, "").toLowerCase();
    const known = values[Object.keys(CHIPS).find((name) => CHIPS[name] === compared[1])] || values[compared[1]] || [];
    return { from: text.length - compared[3].length, options: known.filter((value) => value.toLowerCase().includes(begun) && value.toLowerCase() !== begun).map(quote).slice(0, MOST) };
  }
  const begun = text.match(BEGUN)?.[0] ?? "";
  if (begun.length < 2) return { from: text.length, options: [] };
  const from = text.length - begun.length;
  const starts = fields.filter((name) => name.startsWith(begun) && name !== begun);
  const within = fields.filter((name) => !name.startsWith(begun) && name.includes(begun));
  return { from, options: [...starts, ...within].slice(0, MOST) };
}

export function SearchBox({ value, error, values }) {
  const [text, setText] = useState(value);
  const [open, setOpen] = useState(false);
  const [at, setAt] = useState(-1);
  const input = useRef(null);
  const [wanted, want] = useState(false); // the names of series are asked for when somebody types
  const { value: series } = useGet(wanted && "/v1/series/names");
  useEffect(() => setText(value), [value]);
  const figures = (series?.names || []).filter((name) => !name.startsWith("system/")).flatMap((name) => ["best", "last"].map((figure) => `${figure}(${name})`));
  const { from, options } = completions(text, [...FACTS, ...FIELDS, ...figures], values);
  const shown = open && options.length > 0;
  const commit = (next) => { setOpen(false); updateParameters({ filter: next.trim(), eyes: "", top: "" }, true); };
  const take = (option) => {
    const isField = from === text.length - (text.match(BEGUN)?.[0] ?? "").length && !COMPARED.test(text);
    setText(`${text.slice(0, from)}${option}${isField ? " " : ""}`);
    setAt(-1);
    input.current.focus();
  };
  const keys = (event) => {
    if (event.key === "Escape" && shown) { setOpen(false); event.stopPropagation(); }
    if (!shown) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      setAt((at + (event.key === "ArrowDown" ? 1 : at < 0 ? options.length : options.length - 1)) % options.length);
    }
    if ((event.key === "Enter" || event.key === "Tab") && at >= 0) { event.preventDefault(); take(options[at]); }
  };
  const column = error?.problems?.find((each) => each.column && each.pointer === "/query/filter")?.column; // from 1: where the grammar stopped
  return html`<form class="filter" onSubmit=${(event) => { event.preventDefault(); commit(text); }} role="search">
    <input data-search ref=${input} type="search" value=${text} spellcheck="false" autocomplete="off" role="combobox" aria-expanded=${String(shown)} aria-controls="completions" aria-autocomplete="list"
      aria-activedescendant=${shown && at >= 0 ? `completion-${at}` : null} aria-label=${t("filter")} aria-invalid=${Boolean(error)} placeholder=${t("filter.example")} title=${t("filter.how")}
      onInput=${(event) => { setText(event.target.value); setOpen(true); setAt(-1); want(true); if (!event.target.value) commit(""); }} onKeyDown=${keys} onBlur=${() => setTimeout(() => setOpen(false), 150)}/>
    <button>${t("filter.apply")}</button>
    <ul class="completions" id="completions" role="listbox" aria-label=${t("filter.completions")} hidden=${!shown}>${options.map((option, index) => html`<li key=${option} id=${`completion-${index}`} role="option" aria-selected=${String(index === at)}
      onMouseDown=${(event) => { event.preventDefault(); take(option); }}>${escapeInvisible(option)}</li>`)}</ul>
    ${column ? html`<pre class="place" aria-hidden="true">${" ".repeat(column - 1)}↑</pre>` : null}
  </form>`;
}

// What the rows are held to by a choice instead of words.
export function Chips({ chosen, values }) {
  return html`<span class="chips">${Object.keys(CHIPS).map((name) => {
    const options = [...new Set([...(chosen[name] ? [chosen[name]] : []), ...values[name]])];
    return html`<span key=${name} class=${chosen[name] ? "chip on" : "chip"}><label>${t(`chip.${name}`)} <select aria-label=${t(`chip.${name}`)} value=${chosen[name]} disabled=${!options.length} onChange=${(event) => updateParameters({ [name]: event.target.value, eyes: "", top: "" }, true)}>
      <option value="">${t("chip.any")}</option>${options.map((value) => html`<option value=${value}>${name === "state" ? t(`state.${value}`) : escapeInvisible(value)}</option>`)}</select></label>
      ${chosen[name] ? html`<button type="button" class="plain" aria-label=${t("chip.clear", { name: t(`chip.${name}`) })} onClick=${() => updateParameters({ [name]: "", eyes: "", top: "" }, true)}>×</button>` : null}</span>`;
  })}</span>`;
}

// What the table asks the server for: the words of the search box and the chips, as one filter; and what was seen there.
// Chips by their parameter of the address, with the field that each holds an experiment to.
export const CHIPS = { state: "state", tag: "tag", optimizer: "optimizer.kind", person: "owner" };
const quoted = (value) => (/^[^\W\d][\w.:/+%-]*$/u.test(value) ? value : `"${value.replaceAll('"', '""')}"`);

export const chosenOf = (search) => Object.fromEntries(Object.keys(CHIPS).map((name) => [name, search.get(name) || ""]));

export function filterOf(typed, chosen) {
  const terms = Object.entries(chosen).filter(([, value]) => value).map(([name, value]) => `${CHIPS[name]} = ${quoted(value)}`);
  if (typed.trim()) terms.unshift(terms.length ? `(${typed})` : typed);
  return terms.join(" AND ");
}

const states = (item) => Object.entries(item.runs).filter(([, n]) => n).map(([state]) => state);
const READ = { state: states, tag: (item) => item.tags, optimizer: (item) => [item.values["optimizer.kind"]].flat(), person: (item) => [item.owner] };
const seen = Object.fromEntries(Object.keys(CHIPS).map((name) => [name, new Set()]));
let project = null;

// The values that were seen since the page was opened: a chip that is set leaves the others to be chosen instead.
export function valuesSeen(items, of) {
  if (project !== of) for (const each of Object.values(seen)) each.clear();
  project = of;
  for (const item of items) for (const [name, read] of Object.entries(READ)) for (const value of read(item)) if (typeof value === "string") seen[name].add(value);
  return Object.fromEntries(Object.entries(seen).map(([name, values]) => [name, [...values].sort()]));
}

// The value of a field of a row, as rows are grouped and coloured by it.
export function fieldOf(item, field) {
  if (field === "owner") return item.owner;
  if (field === "state") return states(item)[0] ?? null;
  if (field === "tag") return item.tags.join(", ") || null;
  const value = item.values[field];
  return value === null || value === undefined ? null : typeof value === "string" ? value : JSON.stringify(value);
}

// Rows in groups, in the order of each group's first row: [{group, items}] or one without a name.
export function grouped(items, field) {
  if (!field) return [{ group: null, items }];
  const found = new Map();
  for (const item of items) {
    const group = fieldOf(item, field) ?? "–";
    if (!found.has(group)) found.set(group, []);
    found.get(group).push(item);
  }
  return [...found].map(([group, some]) => ({ group, items: some }));
}
