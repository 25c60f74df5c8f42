// One experiment in the table, and the small pictures of those that are seen.
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { href } from "../lib/address.js";
import { parseNumber, queryString } from "../lib/api.js";
import { Sparkline, Swatch } from "../lib/chart.js";
import { getColumns, toCurves } from "../lib/columns.js";
import { StateLabel } from "../lib/components.js";
import { escapeInvisible, formatAge, formatFixed, formatNumber } from "../lib/format.js";
import { summarizeResult } from "../lib/result.js";
import { TERMINAL_STATES } from "../lib/run.js";
import { t } from "../lib/words.js";
import { pinnedStyle } from "./experiments/layout.js";

const QUIET_MS = 120; // while somebody scrolls nothing is asked for
const POINTS = 40;

// The one word for an experiment's runs: what still moves comes first.
export function standing(counts) {
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
export function useSparks(items) {
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
  const other = main && main.series !== series ? html`<small>${escapeInvisible(main.series)}</small> ` : null;
  return { kind: "number", title, content: html`${other}${formatFixed(parseNumber(main?.[name]), decimals[name])}${low === undefined ? null : html` <small>±${formatFixed((high - low) / 2, decimals[name])}</small>`}` };
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
  state: ({ item }) => ({ content: html`<${StateLabel} state=${standing(item.runs)}/>` }),
  progress: progressCell,
  last: (row) => figure("last", row),
  best: (row) => figure("best", row),
  curve: ({ item, spark }) => ({ content: spark ? html`<${Sparkline} values=${spark} label=${t("spark", { name: escapeInvisible(item.name) })}/>` : null }),
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

export function Row({ item, index, layout, spark, decimals, series, marked, mark, open, style, toggle, menu }) {
  const name = escapeInvisible(item.name);
  const lead = (left) => (layout.isPinned ? { class: "pinned", style: pinnedStyle(left) } : {});
  return html`<tr tabindex="0" data-row=${`experiment/${item.id}`} aria-rowindex=${index + 2} class=${marked ? "marked" : ""} onContextMenu=${(event) => { if (event.target.closest("a")) return; event.preventDefault(); menu(item, { x: event.clientX, y: event.clientY }); }}>
    <td ...${lead(0)}><input type="checkbox" data-mark checked=${marked} onClick=${(event) => mark(item.id, event.shiftKey)} aria-label=${t("mark", { name })}/></td>
    <td ...${lead(36)}><button type="button" class="eye" aria-pressed=${String(open)} aria-label=${t("table.eye", { name })} onClick=${() => toggle(item.id)}>${open && style ? html`<${Swatch} line=${style}/>` : "○"}</button></td>
    ${layout.columns.map((column) => html`<${Cell} key=${column.name} column=${column} row=${{ item, spark, decimals, series }}/>`)}
    <td class="last"><button type="button" class="eye" data-menu aria-haspopup="menu" aria-label=${t("row.menu", { name })} onClick=${(event) => { const { right, bottom } = event.currentTarget.getBoundingClientRect(); menu(item, { x: right, y: bottom }); }}>⋯</button></td>
  </tr>`;
}
