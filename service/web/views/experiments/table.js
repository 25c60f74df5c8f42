// The table itself: the rows that are seen, in groups if asked, with an eye, figures of one width and sorted headings.
import { html, useEffect, useLayoutEffect, useMemo, useRef } from "../../lib/html.js";
import { parseAddress, updateParameters } from "../../lib/address.js";
import { parseNumber } from "../../lib/api.js";
import { decimalsOf, escapeInvisible, formatFixed } from "../../lib/format.js";
import { useVisibleRange } from "../../lib/virtual_list.js";
import { t } from "../../lib/words.js";
import { Row, ROW_HEIGHT, standing, useSparks } from "../row.js";
import { grouped } from "./question.js";

const WIDTHS = { name: "", state: "106px", progress: "112px", last: "132px", best: "132px", curve: "120px", owner: "76px", age: "62px" };
const FIGURE = /^(last|best|min|max)\(/;
const AFTER = ["owner", "age"];
const LEAST = 842; // px: these without the curve, the mark and the eye, and 150 for the name
const NUMBERS = new Set(["progress", "last", "best", "age"]);
const SCROLL_MS = 250;

// The series that most rows' figures are of; the headings name it, and other rows say theirs.
export function usualSeries(items) {
  const counts = new Map();
  for (const { main } of items) if (main) counts.set(main.series, (counts.get(main.series) || 0) + 1);
  return [...counts].sort(([, one], [, other]) => other - one)[0]?.[0];
}

// Digits after the point of each column of numbers.
function useDecimals(items, columns) {
  return useMemo(() => {
    const some = items.slice(0, 200);
    const figures = (name) => decimalsOf(some.map(({ main }) => parseNumber(main?.[name])));
    const values = columns.filter((name) => FIGURE.test(name)).map((name) => [name, decimalsOf(some.map((item) => item.values[name]).filter((value) => typeof value === "number" && !Number.isInteger(value)))]);
    return { last: figures("last"), best: figures("best"), ...Object.fromEntries(values) };
  }, [items, columns.join()]);
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

// The row at the top stands in the address, put there quietly: Back finds the place again.
function useKeptScroll(holder, length) {
  const done = useRef(false);
  useEffect(() => {
    const node = holder.current;
    if (!done.current && length) {
      done.current = true;
      const top = Number(parseAddress().search.get("top")) || 0;
      if (top) node.scrollTop = top * ROW_HEIGHT;
    }
    let timer = 0;
    const keep = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        const row = Math.round(node.scrollTop / ROW_HEIGHT);
        if (row !== (Number(parseAddress().search.get("top")) || 0)) updateParameters({ top: row ? String(row) : "" }, "quietly");
      }, SCROLL_MS);
    };
    node.addEventListener("scroll", keep, { passive: true });
    return () => { node.removeEventListener("scroll", keep); clearTimeout(timer); };
  }, [length > 0]);
}

export function Table({ list, columns, sort, marking, eyes, looks, toggle, group, closed, sparkly }) {
  const holder = useRef(null);
  const { items } = list;
  const before = ["name", "state", "progress", "last", "best", ...(sparkly ? ["curve"] : [])];
  useSteady(holder, items);
  useKeptScroll(holder, items.length);
  const rows = useMemo(() => grouped(items, group).flatMap(({ group: name, items: some }) => (name === null ? some : [{ group: name, items: some }, ...(closed.has(name) ? [] : some)])), [items, group, [...closed].join("|")]);
  const { first, end } = useVisibleRange(holder, ROW_HEIGHT, rows.length);
  const shown = rows.slice(first, end);
  const sparks = useSparks(sparkly ? shown.filter((row) => row.id) : []);
  const decimals = useDecimals(items, columns);
  useEffect(() => {
    if (list.next && items.length && end > items.length - 40 && items.length >= 10_000) list.more().catch(() => {});
  }, [end, items.length]);
  const series = usualSeries(items);
  const sorts = { name: "name", last: `last(${series || "val/loss"})`, best: `best(${series || "val/loss"})`, owner: "owner", age: "created" };
  const all = 2 + before.length + columns.length + AFTER.length; // one more would share what is left for the name
  const head = (word) => html`<${Head} key=${word} field=${sorts[word]} label=${t(`column.${word}`)} of=${word === "last" || word === "best" ? series : null} number=${NUMBERS.has(word)} sort=${sort}/>`;
  const isNumber = (name) => shown.some((item) => typeof item.values?.[name] === "number");
  return html`<div class=${`scroll tall${list.stale ? " stale" : ""}`} ref=${holder} tabindex="-1">
    <table class="list experiments" style=${{ minWidth: `${LEAST + (columns.length + (sparkly ? 1 : 0)) * 120}px` }} aria-rowcount=${rows.length + 1}>
    <colgroup><col style=${{ width: "36px" }}/><col style=${{ width: "36px" }}/>${before.map((word) => html`<col key=${word} style=${{ width: WIDTHS[word] }}/>`)}
      ${columns.map((name) => html`<col key=${name} style=${{ width: "120px" }}/>`)}${AFTER.map((word) => html`<col key=${word} style=${{ width: WIDTHS[word] }}/>`)}</colgroup>
    <thead><tr aria-rowindex="1"><td><input type="checkbox" aria-label=${t("mark.all")} checked=${items.length > 0 && marking.marked.size >= items.length} onClick=${marking.all}/></td><td></td>
      ${before.map(head)}
      ${columns.map((name) => html`<${Head} key=${name} field=${name} label=${escapeInvisible(name)} number=${isNumber(name)} sort=${sort}/>`)}
      ${AFTER.map(head)}</tr></thead>
    <tbody>${first ? html`<tr key="above" aria-hidden="true" class="space"><td colspan=${all} style=${{ height: `${first * ROW_HEIGHT}px` }}></td></tr>` : null}
      ${shown.map((row, index) => (row.id ? html`<${Row} key=${row.id} item=${row} index=${first + index} columns=${columns} sparkly=${sparkly} spark=${sparks[row.main?.run_id]} decimals=${decimals} series=${series}
        marked=${marking.marked.has(row.id)} mark=${marking.mark} open=${eyes.has(row.id)} style=${looks[row.id]} toggle=${toggle}/>` : html`<${GroupRow} key=${`group ${row.group}`} row=${row} field=${group} series=${series} decimals=${decimals} columns=${columns.length + (sparkly ? 1 : 0)} closed=${closed}/>`))}
      ${end < rows.length ? html`<tr key="below" aria-hidden="true" class="space"><td colspan=${all} style=${{ height: `${(rows.length - end) * ROW_HEIGHT}px` }}></td></tr>` : null}</tbody></table></div>`;
}

// A group: how many it holds, and the best of its rows' figures.
function GroupRow({ row, field, series, decimals, columns, closed }) {
  const of = row.items.filter(({ main }) => main?.series === series);
  const pick = of[0]?.main.direction === "max" ? Math.max : Math.min;
  const best = (name) => {
    const values = of.map(({ main }) => parseNumber(main[name])).filter(Number.isFinite);
    return values.length ? formatFixed(pick(...values), decimals[name]) : "–";
  };
  const isClosed = closed.has(row.group);
  const flip = () => {
    const after = new Set(closed);
    if (!after.delete(row.group)) after.add(row.group);
    updateParameters({ closed: [...after].join("|") });
  };
  return html`<tr class="group"><td colspan="2"><button type="button" class="plain" aria-expanded=${String(!isClosed)} aria-label=${t("table.group", { name: escapeInvisible(row.group) })} onClick=${flip}>${isClosed ? "▸" : "▾"}</button></td>
    <th scope="rowgroup" colspan="3">${escapeInvisible(field)} = ${escapeInvisible(row.group)} <small>${t("table.rows", { n: row.items.length })}</small></th>
    <td class="number">${best("last")}</td><td class="number">${best("best")}</td><td colspan=${columns + 2}></td></tr>`;
}

// A second click turns the order around, a third one goes back to the newest first.
function Head({ field, label, of, number, sort }) {
  const up = sort === field;
  const down = sort === `-${field}`;
  const next = up ? `-${field}` : down ? "" : field;
  const text = html`${label}${of ? html` <small>${escapeInvisible(of)}</small>` : null}`;
  if (!field) return html`<th scope="col" class=${number ? "number" : ""}>${text}</th>`;
  return html`<th scope="col" class=${number ? "number" : ""} aria-sort=${up ? "ascending" : down ? "descending" : "none"} title=${of ? `${label} ${of}` : label}>
    <button type="button" class="plain" onClick=${() => updateParameters({ sort: next, top: "" }, true)}>${text} ${up ? "▲" : down ? "▼" : ""}</button></th>`;
}

// What the table holds, all of its rows, for a file.
export function tableOf(items, columns) {
  const series = usualSeries(items);
  const figure = (main, name) => {
    const [low, high] = (main?.[`${name}_interval`] || []).map(parseNumber);
    return { mean: main ? parseNumber(main[name]) ?? null : null, half: low === undefined ? null : (high - low) / 2 };
  };
  const plain = (value) => (value !== null && typeof value === "object" ? JSON.stringify(value) : typeof value === "boolean" ? String(value) : value);
  const head = [t("column.name"), t("column.state"), t("series"), `${t("column.last")} ${series || ""}`.trim(), `${t("column.best")} ${series || ""}`.trim(), t("column.seeds"), ...columns, t("column.owner"), "id"];
  return { head, rows: items.map((item) => [item.name, t(`state.${standing(item.runs)}`), item.main?.series ?? null, figure(item.main, "last"), figure(item.main, "best"), item.main?.n ?? null, ...columns.map((name) => plain(item.values[name])), item.owner, item.id]) };
}
