// The table itself: the rows that are seen, in groups if asked, with an eye, figures of one width and sorted headings.
import { html, useEffect, useLayoutEffect, useMemo, useRef } from "../../lib/html.js";
import { parseAddress, updateParameters } from "../../lib/address.js";
import { parseNumber } from "../../lib/api.js";
import { decimalsOf, escapeInvisible, formatFixed } from "../../lib/format.js";
import { useLook } from "../../lib/look.js";
import { useVisibleRange } from "../../lib/virtual_list.js";
import { t } from "../../lib/words.js";
import { Row, standing, useSparks } from "../row.js";
import { Head } from "./head.js";
import { pinnedStyle } from "./layout.js";
import { grouped } from "./question.js";

const FIGURE = /^(last|best|min|max)\(/;
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
  return useMemo(() => { // of each name
    const some = items.slice(0, 200);
    const figures = (name) => decimalsOf(some.map(({ main }) => parseNumber(main?.[name])));
    const values = columns.filter((name) => FIGURE.test(name)).map((name) => [name, decimalsOf(some.map((item) => item.values[name]).filter((value) => typeof value === "number" && !Number.isInteger(value)))]);
    return { last: figures("last"), best: figures("best"), ...Object.fromEntries(values) };
  }, [items, columns.join()]);
}

// Rows that come in front of what is looked at leave it where it is.
function useSteady(holder, items, rowHeight) {
  const before = useRef(items);
  useLayoutEffect(() => {
    const [node, old] = [holder.current, before.current];
    before.current = items;
    const top = Math.floor(node.scrollTop / rowHeight);
    const more = items.length - old.length;
    if (top > 0 && more > 0 && items[top + more]?.id === old[top]?.id) node.scrollTop += more * rowHeight;
  }, [items]);
}

// The row at the top stands in the address, put there quietly: Back finds the place again.
function useKeptScroll(holder, length, rowHeight) {
  const done = useRef(false);
  useEffect(() => {
    const node = holder.current;
    if (!done.current && length) {
      done.current = true;
      const top = Number(parseAddress().search.get("top")) || 0;
      if (top) node.scrollTop = top * rowHeight;
    }
    let timer = 0;
    const keep = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        const row = Math.round(node.scrollTop / rowHeight);
        if (row !== (Number(parseAddress().search.get("top")) || 0)) updateParameters({ top: row ? String(row) : "" }, "quietly");
      }, SCROLL_MS);
    };
    node.addEventListener("scroll", keep, { passive: true });
    return () => { node.removeEventListener("scroll", keep); clearTimeout(timer); };
  }, [length > 0, rowHeight]);
}

export function Table({ list, layout, search, sort, marking, eyes, looks, toggle, group, closed, menu }) {
  const holder = useRef(null);
  const { items } = list;
  const { columns, fields } = layout;
  const sparkly = columns.some(({ name }) => name === "curve");
  const { rowHeight } = useLook();
  useSteady(holder, items, rowHeight);
  useKeptScroll(holder, items.length, rowHeight);
  const rows = useMemo(() => grouped(items, group).flatMap(({ group: name, items: some }) => (name === null ? some : [{ group: name, items: some }, ...(closed.has(name) ? [] : some)])), [items, group, [...closed].join("|")]);
  const { first, end } = useVisibleRange(holder, rowHeight, rows.length);
  const shown = rows.slice(first, end);
  const sparks = useSparks(sparkly ? shown.filter((row) => row.id) : []);
  const decimals = useDecimals(items, fields);
  useEffect(() => {
    if (list.next && items.length && end > items.length - 40 && items.length >= 10_000) list.more().catch(() => {});
  }, [end, items.length]);
  const series = usualSeries(items);
  const sorts = { name: "name", last: `last(${series || "val/loss"})`, best: `best(${series || "val/loss"})`, owner: "owner", age: "created" };
  const all = columns.length + 3; // one more would share what is left for the name
  const isNumber = (name) => NUMBERS.has(name) || shown.some((item) => typeof item.values?.[name] === "number");
  const lead = (left) => (layout.isPinned ? { class: "pinned", style: pinnedStyle(left) } : {});
  return html`<div class=${`scroll tall${list.stale ? " stale" : ""}`} ref=${holder} tabindex="-1">
    <table class="list experiments" style=${{ width: layout.fills ? "100%" : `${layout.width}px`, minWidth: `${layout.width}px` }} aria-rowcount=${rows.length + 1}>
    <colgroup><col style=${{ width: "36px" }}/><col style=${{ width: "36px" }}/>${columns.map(({ name, width }) => html`<col key=${name} style=${{ width: width === null ? "" : `${width}px` }}/>`)}<col style=${{ width: "36px" }}/></colgroup>
    <thead><tr aria-rowindex="1"><td ...${lead(0)}><input type="checkbox" aria-label=${t("mark.all")} checked=${items.length > 0 && marking.marked.size >= items.length} onClick=${marking.all}/></td><td ...${lead(36)}></td>
      ${columns.map((column) => html`<${Head} key=${column.name} column=${column} columns=${columns} search=${search} field=${column.isUsual ? sorts[column.name] : column.name} of=${column.name === "last" || column.name === "best" ? series : null} number=${isNumber(column.name)} sort=${sort}/>`)}<td class="last"></td></tr></thead>
    <tbody>${first ? html`<tr key="above" aria-hidden="true" class="space"><td colspan=${all} style=${{ height: `${first * rowHeight}px` }}></td></tr>` : null}
      ${shown.map((row, index) => (row.id ? html`<${Row} key=${row.id} item=${row} index=${first + index} layout=${layout} spark=${sparks[row.main?.run_id]} decimals=${decimals} series=${series}
        marked=${marking.marked.has(row.id)} mark=${marking.mark} open=${eyes.has(row.id)} style=${looks[row.id]} toggle=${toggle} menu=${menu}/>` : html`<${GroupRow} key=${`group ${row.group}`} row=${row} field=${group} series=${series} decimals=${decimals} columns=${columns} closed=${closed}/>`))}
      ${end < rows.length ? html`<tr key="below" aria-hidden="true" class="space"><td colspan=${all} style=${{ height: `${(rows.length - end) * rowHeight}px` }}></td></tr>` : null}</tbody></table></div>`;
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
  const isFigure = ({ name }) => name === "last" || name === "best";
  const figures = columns.findIndex(isFigure);
  const told = figures < 0 ? columns.length : Math.max(figures, 1); // the columns that the group's name spans
  return html`<tr class="group"><td colspan="2"><button type="button" class="plain" aria-expanded=${String(!isClosed)} aria-label=${t("table.group", { name: escapeInvisible(row.group) })} onClick=${flip}>${isClosed ? "▸" : "▾"}</button></td>
    <th scope="rowgroup" colspan=${told}>${escapeInvisible(field)} = ${escapeInvisible(row.group)} <small>${t("table.rows", { n: row.items.length })}</small></th>
    ${columns.slice(told).map((column) => html`<td key=${column.name} class="number">${isFigure(column) ? best(column.name) : null}</td>`)}<td></td></tr>`;
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
