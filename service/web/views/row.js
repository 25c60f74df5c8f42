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

export const ROW_HEIGHT = 36; // px, as the sheet says too
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
function Figure({ value, interval, main, decimals, series }) {
  const [low, high] = (interval || []).map(parseNumber);
  const title = main ? `${summarizeResult(main)}${interval ? `: ${formatNumber(low)} … ${formatNumber(high)} (95 %, ${t("seeds", { n: main.n })})` : ""}` : "";
  return html`<td class="number" title=${title}>${main && main.series !== series ? html`<small>${escapeInvisible(main.series)}</small> ` : null}${formatFixed(parseNumber(value), decimals)}${interval ? html` <small>±${formatFixed((high - low) / 2, decimals)}</small>` : null}</td>`;
}

const cell = (value, decimals) => (value === null || value === undefined ? "–" : typeof value === "number" ? (decimals === undefined ? formatNumber(value, 6) : formatFixed(value, decimals)) : typeof value === "string" ? escapeInvisible(value) : escapeInvisible(JSON.stringify(value)));

export function Row({ item, index, columns, sparkly, spark, decimals, series, marked, mark, open, style, toggle }) {
  const total = Object.values(item.runs).reduce((sum, n) => sum + n, 0);
  const over = Object.entries(item.runs).reduce((sum, [state, n]) => sum + (TERMINAL_STATES.has(state) ? n : 0), 0);
  const main = item.main || {};
  const name = escapeInvisible(item.name);
  return html`<tr tabindex="0" data-row=${`experiment/${item.id}`} aria-rowindex=${index + 2} class=${marked ? "marked" : ""}>
    <td><input type="checkbox" data-mark checked=${marked} onClick=${(event) => mark(item.id, event.shiftKey)} aria-label=${t("mark", { name })}/></td>
    <td><button type="button" class="eye" aria-pressed=${String(open)} aria-label=${t("table.eye", { name })} onClick=${() => toggle(item.id)}>${open && style ? html`<${Swatch} line=${style}/>` : "○"}</button></td>
    <td class="name" title=${name}><a href=${href(["experiment", item.id])}>${name}</a>${item.tags.map((tag) => html` <span class="tag">${escapeInvisible(tag)}</span>`)}${item.comments ? html` <small title=${t("comments.n", { n: item.comments })}>“${item.comments}”</small>` : null}${main.diverged ? html` <small class="wrong">${t("lost.diverged", { n: main.diverged })}</small>` : null}</td>
    <td><${StateLabel} state=${standing(item.runs)}/></td>
    <td class="number"><progress max="1" value=${item.progress} aria-label=${t("column.progress")}></progress> ${over}/${total}</td>
    <${Figure} value=${main.last} interval=${main.last_interval} main=${item.main} decimals=${decimals.last} series=${series}/>
    <${Figure} value=${main.best} interval=${main.best_interval} main=${item.main} decimals=${decimals.best} series=${series}/>
    ${sparkly ? html`<td>${spark ? html`<${Sparkline} values=${spark} label=${t("spark", { name })}/>` : null}</td>` : null}
    ${columns.map((column) => html`<td key=${column} class=${typeof item.values[column] === "number" ? "number" : ""} title=${cell(item.values[column], decimals[column])}>${cell(item.values[column], decimals[column])}</td>`)}
    <td>${escapeInvisible(item.owner)}</td>
    <td class="number"><time datetime=${item.created_at} title=${item.created_at}>${formatAge(item.created_at)}</time></td>
  </tr>`;
}
