// The table itself: the rows that are seen, in groups if asked, with an eye, figures of one width and sorted headings.
import { Sparkline, Swatch } from "../../lib/chart.js";
import { getColumns, toCurves } from "../../lib/columns.js";
import { useLook } from "../../lib/look.js";
import { decimalsOf, escapeInvisible, formatAge, formatFixed, formatNumber, href, html, parseAddress, parseNumber, queryString, StateLabel, summarizeResult, t, updateParameters, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../../lib/page.js";
import { TERMINAL_STATES } from "../../lib/run.js";
import { useHeld, useKeys, useVisibleRange } from "../../lib/virtual_list.js";
import { LEADING, Head, pinnedStyle } from "./layout.js";
import { grouped } from "./search_box.js";

const FIGURE = /^(last|best|min|max)\(/;
const NUMBERS = new Set(["trial", "progress", "last", "best", "age"]);
const SCROLL_MS = 250;
const AGE_MS = 5_000; // for which an age that is shown may stand still

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
  useLayoutEffect(() => { // before anything is seen, and so before it can be pressed
    if (!length || done.current) return;
    done.current = true;
    holder.current.scrollTop = (Number(parseAddress().search.get("top")) || 0) * rowHeight;
  }, [length > 0]);
  useEffect(() => {
    const node = holder.current;
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

export function Table({ list, layout, measure, search, sort, marking, eyes, looks, toggle, group, closed, menu }) {
  const holder = useRef(null);
  const { items } = list;
  const { columns, fields } = layout;
  const sparkly = columns.some(({ name }) => name === "curve");
  const { rowHeight } = useLook();
  useLayoutEffect(() => {
    const sizes = new ResizeObserver(() => measure(holder.current.clientWidth));
    sizes.observe(holder.current);
    return () => sizes.disconnect();
  }, []);
  useSteady(holder, items, rowHeight);
  useKeptScroll(holder, items.length, rowHeight);
  const rows = useMemo(() => grouped(items, group).flatMap(({ group: name, items: some }) => (name === null ? some : [{ group: name, items: some }, ...(closed.has(name) ? [] : some)])), [items, group, [...closed].join("|")]);
  const seen = useVisibleRange(holder, rowHeight, rows.length);
  const { first, end, isFlying, shown, count } = useHeld(holder, { ...seen, shown: rows.slice(seen.first, seen.end), count: rows.length });
  const keys = useKeys(shown.filter((row) => row.id).map((row) => row.id), isFlying);
  const sparks = useSparks(sparkly ? shown.filter((row) => row.id) : []);
  const decimals = useDecimals(items, fields);
  useEffect(() => {
    if (list.next && items.length && end > items.length - 40 && items.length >= 10_000) list.more().catch(() => {});
  }, [end, items.length]);
  const series = usualSeries(items);
  const sorts = { name: "name", last: `last(${series || "val/loss"})`, best: `best(${series || "val/loss"})`, owner: "owner", age: "created" };
  const all = columns.length + LEADING.length; // one more would share what is left for the name
  const moment = Math.floor(Date.now() / AGE_MS);
  const isNumber = (name) => NUMBERS.has(name) || shown.some((item) => typeof item.values?.[name] === "number");
  const lead = (left) => (layout.isPinned ? { class: "pinned", style: pinnedStyle(left) } : {});
  return html`<div class=${`scroll tall${list.stale ? " stale" : ""}`} ref=${holder} tabindex="-1">
    <table class="list experiments" style=${{ width: layout.fills ? "100%" : `${layout.width}px`, minWidth: `${layout.width}px` }} aria-rowcount=${count + 1}>
    <colgroup>${[...LEADING, ...columns.map(({ width }) => width)].map((width) => html`<col style=${{ width: width === null ? "" : `${width}px` }}/>`)}</colgroup>
    <thead><tr aria-rowindex="1"><td ...${lead(0)}><input type="checkbox" aria-label=${t("mark.all")} checked=${items.length > 0 && marking.marked.size >= items.length} onClick=${marking.all}/></td><td ...${lead(LEADING[0])}></td>
      ${columns.map((column) => html`<${Head} key=${column.name} column=${column} columns=${columns} search=${search} field=${column.isUsual ? sorts[column.name] : column.name} of=${column.name === "last" || column.name === "best" ? series : null} number=${isNumber(column.name)} sort=${sort}/>`)}</tr></thead>
    <tbody>${first ? html`<tr key="above" aria-hidden="true" class="space"><td colspan=${all} style=${{ height: `${first * rowHeight}px` }}></td></tr>` : null}
      ${shown.map((row, index) => (row.id ? html`<${Row} key=${keys.get(row.id)} item=${row} index=${first + index} layout=${layout} spark=${sparks[row.main?.run_id]} decimals=${decimals} series=${series}
        marked=${marking.marked.has(row.id)} mark=${marking.mark} open=${eyes.has(row.id)} style=${looks[row.id]} toggle=${toggle} menu=${menu} moment=${moment}/>` : html`<${GroupRow} key=${`group ${row.group}`} row=${row} field=${group} series=${series} decimals=${decimals} columns=${columns} closed=${closed}/>`))}
      ${end < count ? html`<tr key="below" aria-hidden="true" class="space"><td colspan=${all} style=${{ height: `${(count - end) * rowHeight}px` }}></td></tr>` : null}</tbody></table></div>`;
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
    ${columns.slice(told).map((column) => html`<td key=${column.name} class="number">${isFigure(column) ? best(column.name) : null}</td>`)}</tr>`;
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

// One experiment in the table, and the small pictures of those that are seen.
const QUIET_MS = 120; // while somebody scrolls nothing is asked for
const POINTS = 40;

// The one word for an experiment's runs: what still moves comes first.
function standing(counts) {
  for (const state of ["running", "queued", "paused", "failed", "cancelled", "succeeded"]) {
    if (counts[state]) return state;
  }
  return "queued";
}

const stamp = ({ main, runs }) => `${main.series}:${runs.running ? main.last : ""}`;

// One answer has one width of buckets, so only runs of about one length are asked for together.
function together(items) {
  const groups = new Map();
  for (const item of items) {
    const size = `${item.main.series} ${Math.round(Math.log2(item.steps + 1))}`;
    groups.set(size, [...(groups.get(size) || []), item]);
  }
  return [...groups.values()];
}

async function drawnOf(items, signal) {
  const asked = { runs: items.map((item) => item.main.run_id).join(","), names: items[0].main.series, points: POINTS };
  return toCurves(await getColumns(`/v1/series${queryString(asked)}`, { signal }));
}

// The series that the figures are of; kept by run, asked for again only where something moves.
function useSparks(items) {
  const [sparks, set] = useState({});
  const known = useRef(new Map());
  const missing = items.filter((item) => item.main && known.current.get(item.main.run_id) !== stamp(item));
  const key = missing.map((item) => `${item.main.run_id}:${stamp(item)}`).join();
  useEffect(() => {
    if (!key) return undefined;
    const control = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const found = (await Promise.all(together(missing).map((some) => drawnOf(some, control.signal)))).flat();
        for (const item of missing) known.current.set(item.main.run_id, stamp(item));
        set((before) => ({ ...before, ...Object.fromEntries(found.map(({ run_id: id, curve }) => [id, Array.from(curve.y)])) }));
      } catch {
        // the next look asks again
      }
    }, QUIET_MS);
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  }, [key]);
  return sparks;
}

// A mean over seeds with half the width of its 95 % interval; one seed has none.
function figure(name, { item: { main }, decimals, series }) {
  const [low, high] = (main?.[`${name}_interval`] || []).map(parseNumber);
  const title = main ? `${summarizeResult(main)}${low === undefined ? "" : `: ${formatNumber(low)} … ${formatNumber(high)} (95 %, ${t("seeds", { n: main.n })})`}` : "";
  const half = (high - low) / 2;
  const other = main && main.series !== series ? html`<small>${escapeInvisible(main.series)}</small> ` : null;
  return { kind: "number", title, content: html`${other}${formatFixed(parseNumber(main?.[name]), decimals[name])}${half ? html` <small>±${formatFixed(half, Math.min(decimals[name], decimalsOf([half], 2)))}</small>` : null}` };
}

function nameCell({ item }) {
  const name = escapeInvisible(item.name);
  return { kind: "name", title: name, content: html`<a href=${href(["experiment", item.id])}>${name}</a>${item.tags.map((tag) => html` <span class="tag">${escapeInvisible(tag)}</span>`)}${item.comments ? html` <small title=${t("comments.n", { n: item.comments })}>“${item.comments}”</small>` : null}${item.main?.diverged ? html` <small class="wrong">${t("lost.diverged", { n: item.main.diverged })}</small>` : null}` };
}

function progressCell({ item: { runs, progress } }) {
  const total = Object.values(runs).reduce((sum, n) => sum + n, 0);
  const over = Object.entries(runs).reduce((sum, [state, n]) => sum + (TERMINAL_STATES.has(state) ? n : 0), 0);
  return { kind: "number", content: html`<progress max="1" value=${progress} aria-label=${t("column.progress")}></progress> ${over}/${total}` };
}

const written = (value, decimals) => (value === null || value === undefined ? "–" : typeof value === "number" ? (decimals === undefined ? formatNumber(value, 6) : formatFixed(value, decimals)) : typeof value === "string" ? escapeInvisible(value) : escapeInvisible(JSON.stringify(value)));

// What stands in a column of its own kind; any other shows the value of its field.
const CELLS = {
  name: nameCell,
  trial: ({ item }) => ({ kind: "number", title: item.study_id, content: item.study_id ? html`<a href=${href(["study", item.study_id])}>#${item.trial}</a>` : null }),
  state: ({ item }) => ({ content: html`<${StateLabel} state=${standing(item.runs)}/>` }),
  progress: progressCell,
  last: (row) => figure("last", row),
  best: (row) => figure("best", row),
  curve: ({ item, spark }) => ({ content: spark ? html`<${Sparkline} values=${spark} label=${t("table.eye", { name: escapeInvisible(item.name) })}/>` : null }),
  owner: ({ item }) => ({ content: escapeInvisible(item.owner) }),
  age: ({ item }) => ({ kind: "number", content: html`<time datetime=${item.created_at} title=${item.created_at}>${formatAge(item.created_at)}</time>` }),
};

function fieldCell(name, { item, decimals }) {
  const value = item.values[name];
  const text = written(value, decimals[name]);
  return { kind: typeof value === "number" ? "number" : "", title: text, content: text };
}

function Cell({ column: { name, left, isUsual }, row }) {
  const { kind = "", title, content } = isUsual ? CELLS[name](row) : fieldCell(name, row);
  return html`<td class=${left === null ? kind : `${kind} pinned`} style=${pinnedStyle(left)} title=${title} data-column=${isUsual ? name : "field"} data-label=${isUsual ? t(`column.${name}`) : escapeInvisible(name)}>${content}</td>`;
}

// A row whose properties are the same is not made again: scrolling makes the new ones only.
function Row(properties) {
  return useMemo(() => drawnRow(properties), Object.values(properties));
}

function drawnRow({ item, index, layout, spark, decimals, series, marked, mark, open, style, toggle, menu }) {
  const name = escapeInvisible(item.name);
  const lead = (left) => (layout.isPinned ? { class: "pinned", style: pinnedStyle(left) } : {});
  return html`<tr tabindex="0" data-row=${`experiment/${item.id}`} aria-rowindex=${index + 2} class=${marked ? "marked" : ""} onContextMenu=${(event) => { if (event.target.closest("a")) return; event.preventDefault(); menu(item, { x: event.clientX, y: event.clientY }); }}>
    <td ...${lead(0)}><input type="checkbox" data-mark checked=${marked} onClick=${(event) => mark(item.id, event.shiftKey)} aria-label=${t("mark", { name })}/></td>
    <td ...${lead(LEADING[0])}><button type="button" class="eye" aria-pressed=${String(open)} aria-label=${t("table.eye", { name })} onClick=${() => toggle(item.id)}>${open && style ? html`<${Swatch} line=${style}/>` : "○"}</button><button type="button" class="eye" data-menu aria-haspopup="menu" aria-label=${t("row.menu", { name })} onClick=${(event) => { const { left, bottom } = event.currentTarget.getBoundingClientRect(); menu(item, { x: left, y: bottom }); }}>⋯</button></td>
    ${layout.columns.map((column) => html`<${Cell} key=${column.name} column=${column} row=${{ item, spark, decimals, series }}/>`)}
  </tr>`;
}
