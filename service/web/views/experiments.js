// The table of experiments, live: filtered, sorted, with columns of any field, marked, compared and put in order.
import { html, useEffect, useLayoutEffect, useRef, useState } from "../lib/html.js";
import { href, updateParameters } from "../lib/address.js";
import { EmptyState, Problems, useInterval } from "../lib/components.js";
import { useExperimentList } from "../lib/experiment_list.js";
import { escapeInvisible } from "../lib/format.js";
import { useVisibleRange } from "../lib/virtual_list.js";
import { t } from "../lib/words.js";
import { Bulk } from "./bulk.js";
import { Columns } from "./columns.js";
import { Row, ROW_HEIGHT, useSparks } from "./row.js";

const WIDTHS = { name: "", state: "116px", progress: "128px", last: "136px", best: "136px", curve: "130px", owner: "96px", age: "76px" };
const LEAST = 1004; // px: these and 150 for the name
const BEFORE = ["name", "state", "progress", "last", "best", "curve"];
const AFTER = ["owner", "age"];

export function Experiments({ search }) {
  const asked = { filter: search.get("filter") || "", sort: search.get("sort") || "", columns: search.get("columns") || "", archived: search.get("archived") || "", shared: search.get("shared") || "" };
  const list = useExperimentList(asked);
  const [, grow] = useState(0);
  useInterval(30_000, () => grow((n) => n + 1)); // ages
  const marking = useMarks(list.items || []);
  const { items, error } = list;
  if (!items) return html`<p class="empty">${t("loading")}</p>`;
  if (!items.length && !asked.filter && !asked.archived && !asked.shared && !error && !list.stale) return html`<${First}/>`;
  const columns = asked.columns.split(",").map((name) => name.trim()).filter(Boolean);
  return html`<h1 class="quiet">${t("place.experiments")}</h1>
    <div class="bar"><${Filter} value=${asked.filter} error=${error}/>
      <label><input type="checkbox" checked=${Boolean(asked.archived)} onChange=${(event) => updateParameters({ archived: event.target.checked ? "true" : "" })}/> ${t("archived.too")}</label>
      <label><input type="checkbox" checked=${Boolean(asked.shared)} onChange=${(event) => updateParameters({ shared: event.target.checked ? "true" : "" })}/> ${t("shared.too")}</label>
      <${Columns} columns=${columns}/></div>
    <div class="bar"><${Bulk} chosen=${items.filter((item) => marking.marked.has(item.id))} list=${list} clear=${marking.clear}/>
      <span class="count" role="status">${t("listed", { n: items.length.toLocaleString("en") + (list.next ? "+" : "") })}</span></div>
    <${Problems} error=${error}/>
    <${Table} list=${list} columns=${columns} sort=${asked.sort} marking=${marking}/>
    ${items.length ? null : html`<p class="empty">${t("filter.nothing")}</p>`}`;
}

// By what each column is sorted: the figures by the first of these series that the rows show.
function sortsOf(items) {
  const shown = new Set(items.map((item) => item.main?.series));
  const series = ["val/loss", "val/accuracy", "loss"].find((name) => shown.has(name)) || "val/loss";
  return { name: "name", last: `last(${series})`, best: `best(${series})`, owner: "owner", age: "created" };
}

// What is marked; with the shift key everything from the last mark to this one.
function useMarks(items) {
  const [marked, set] = useState(new Set());
  const last = useRef(null);
  const mark = (id, ranged) => {
    const places = [last.current, id].map((each) => items.findIndex((item) => item.id === each)).sort((a, b) => a - b);
    const ids = ranged && places[0] >= 0 ? items.slice(places[0], places[1] + 1).map((item) => item.id) : [id];
    last.current = id;
    set((before) => {
      const after = new Set(before);
      if (ids.length > 1) ids.forEach((each) => after.add(each));
      else if (!after.delete(id)) after.add(id);
      return after;
    });
  };
  const all = () => set((before) => (before.size >= items.length ? new Set() : new Set(items.map((item) => item.id))));
  return { marked, mark, all, clear: () => set(new Set()) };
}

// Rows that come in front of what is looked at leave it where it is.
function useSteady(holder, items) {
  const before = useRef(items);
  useLayoutEffect(() => {
    const [node, old] = [holder.current, before.current];
    before.current = items;
    const top = Math.floor(node.scrollTop / ROW_HEIGHT);
    const more = items.length - old.length;
    if (top > 0 && more > 0 && items[top + more]?.id === old[top]?.id) node.scrollTop += more * ROW_HEIGHT;
  }, [items]);
}

function Table({ list, columns, sort, marking }) {
  const holder = useRef(null);
  const { items } = list;
  useSteady(holder, items);
  const { first, end } = useVisibleRange(holder, ROW_HEIGHT, items.length);
  const shown = items.slice(first, end);
  const sparks = useSparks(shown);
  useEffect(() => {
    if (list.next && items.length && end > items.length - 40 && items.length >= 10_000) list.more().catch(() => {});
  }, [end, items.length]);
  const width = LEAST + columns.length * 120;
  const sorts = sortsOf(items);
  const all = 1 + BEFORE.length + columns.length + AFTER.length; // one more would share what is left for the name
  return html`<div class=${`scroll tall${list.stale ? " stale" : ""}`} ref=${holder} tabindex="-1">
    <table class="list experiments" style=${{ minWidth: `${width}px` }} aria-rowcount=${items.length + 1}>
    <colgroup><col style=${{ width: "36px" }}/>${BEFORE.map((word) => html`<col key=${word} style=${{ width: WIDTHS[word] }}/>`)}
      ${columns.map((name) => html`<col key=${name} style=${{ width: "120px" }}/>`)}${AFTER.map((word) => html`<col key=${word} style=${{ width: WIDTHS[word] }}/>`)}</colgroup>
    <thead><tr aria-rowindex="1"><td><input type="checkbox" aria-label=${t("mark.all")} checked=${items.length > 0 && marking.marked.size >= items.length} onClick=${marking.all}/></td>
      ${BEFORE.map((word) => html`<${Head} key=${word} field=${sorts[word]} label=${t(`column.${word}`)} sort=${sort}/>`)}
      ${columns.map((name) => html`<${Head} key=${name} field=${name} label=${escapeInvisible(name)} sort=${sort}/>`)}
      ${AFTER.map((word) => html`<${Head} key=${word} field=${sorts[word]} label=${t(`column.${word}`)} sort=${sort}/>`)}</tr></thead>
    <tbody>${first ? html`<tr key="above" aria-hidden="true" class="space"><td colspan=${all} style=${{ height: `${first * ROW_HEIGHT}px` }}></td></tr>` : null}
      ${shown.map((item, index) => html`<${Row} key=${item.id} item=${item} index=${first + index} columns=${columns} spark=${sparks[item.main?.run_id]}
        marked=${marking.marked.has(item.id)} mark=${marking.mark}/>`)}
      ${end < items.length ? html`<tr key="below" aria-hidden="true" class="space"><td colspan=${all} style=${{ height: `${(items.length - end) * ROW_HEIGHT}px` }}></td></tr>` : null}</tbody></table></div>`;
}

// A second click turns the order around, a third one goes back to the newest first.
function Head({ field, label, sort }) {
  if (!field) return html`<th scope="col">${label}</th>`;
  const up = sort === field;
  const down = sort === `-${field}`;
  const next = up ? `-${field}` : down ? "" : field;
  return html`<th scope="col" aria-sort=${up ? "ascending" : down ? "descending" : "none"} title=${label}>
    <button type="button" class="plain" onClick=${() => updateParameters({ sort: next })}>${label} ${up ? "▲" : down ? "▼" : ""}</button></th>`;
}

function Filter({ value, error }) {
  const [text, setText] = useState(value);
  const column = error?.problems?.find((each) => each.column)?.column; // from 1: where the grammar stopped
  useEffect(() => setText(value), [value]);
  const submit = (event) => {
    event.preventDefault();
    updateParameters({ filter: text });
  };
  return html`<form class="filter" onSubmit=${submit} role="search">
    <input data-search type="search" value=${text} onInput=${(event) => setText(event.target.value)} spellcheck="false"
      aria-label=${t("filter")} aria-invalid=${Boolean(error)} placeholder='optimizer.kind = adamw AND best(val/loss) < 0.3'/>
    <button>${t("filter.apply")}</button>
    ${column ? html`<pre class="place" aria-hidden="true">${" ".repeat(column - 1)}↑</pre>` : null}
  </form>`;
}

function First() {
  return html`<${EmptyState} title=${t("first.title")}>
    <p>${t("first.text")}</p>
    <p><a class="button" href=${href(["new"], { preset: "digits-adam" })}>${t("first.try")}</a> <a href=${href(["new"])}>${t("place.new")}</a></p>
  </${EmptyState}>`;
}
