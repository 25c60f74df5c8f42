// Beside the table: the curves of the rows whose eye is open, each the mean of its seeds, with finer points where one zooms in.
import { AxisChoice, axisOf, RUN_AXES, useAxes, windowOf } from "../../lib/axes.js";
import { Chart, Legend, look } from "../../lib/chart.js";
import { getColumns, toCurves } from "../../lib/columns.js";
import { arePositive, linesOn, meanCurve } from "../../lib/curves.js";
import { escapeInvisible, get, html, queryString, Select, t, updateParameters, useEffect, useGet, useMemo, useRef, useState } from "../../lib/page.js";
import { fieldOf } from "./search_box.js";

export const SHOWN = 10; // rows, until somebody opens or closes an eye
const MOST_SERIES = 4;
const POINTS = 400;
const MOST_RUNS = 200; // of one request
const WAIT_MS = 1500; // changes within this time are read once

// The ids whose eye is open: those of the address, or the first rows that have points.
export function openEyes(search, items) {
  const chosen = search.get("eyes");
  if (chosen) return new Set(chosen === "none" ? [] : chosen.split(",").map((id) => `exp_${id}`));
  return new Set(items.filter((item) => item.main).slice(0, SHOWN).map((item) => item.id));
}

export function toggleEye(eyes, id) {
  const after = new Set(eyes);
  if (!after.delete(id)) after.add(id);
  updateParameters({ eyes: [...after].map((each) => each.replace(/^exp_/, "")).join(",") || "none" });
}

// How each open row looks: its own place, or one look for each value of a field.
export function looksOf(shown, field) {
  const values = [...new Set(shown.map((item) => (field ? fieldOf(item, field) ?? "–" : item.id)))];
  return Object.fromEntries(shown.map((item) => [item.id, look(values.indexOf(field ? fieldOf(item, field) ?? "–" : item.id))]));
}

// Grows when one of the shown rows moves, at most once in a while.
function useNews(shown) {
  const stamp = shown.map((item) => `${item.steps} ${item.main?.last}`).join();
  const [news, set] = useState(0);
  const first = useRef(true);
  useEffect(() => {
    if (first.current) { first.current = false; return undefined; }
    const timer = setTimeout(() => set((n) => n + 1), WAIT_MS);
    return () => clearTimeout(timer);
  }, [stamp]);
  return news;
}

export function Curves({ shown, looks, field, search }) {
  const seeds = useSeedRuns(shown);
  const perRow = Math.max(1, Math.floor(MOST_RUNS / Math.max(shown.length, 1)));
  const owners = new Map(shown.flatMap((item) => (seeds[item.id] || []).slice(0, perRow).map((id) => [id, item])).slice(0, MOST_RUNS));
  const runs = [...owners.keys()];
  const usual = [...new Set([...shown.map((item) => item.main?.series), "loss"].filter(Boolean))].slice(0, 2);
  const chosen = (search.get("series") || "").split(",").filter(Boolean);
  const names = chosen.length ? chosen : usual;
  const { value: known } = useGet("/v1/series/names");
  const name = RUN_AXES.includes(search.get("x")) ? search.get("x") : "step";
  const news = useNews(shown);
  const axes = useAxes(runs, name, news);
  const key = runs.join();
  const { from, to, ...view } = windowOf(search, axisOf(axes?.[runs[0]], axes ? name : "step"), Math.max(...shown.map((item) => item.steps)));
  const { value: message, error } = useGet(key && `/v1/series${queryString({ runs: key, names: names.join(","), points: POINTS, from, to })}`, [news], getColumns);
  const drawn = useMemo(() => (message && axes ? picturesOf(message, owners, looks, name === "step" ? null : (id) => axisOf(axes[id], name)) : {}), [message, JSON.stringify(looks), axes && name]);
  const ends = Object.values(drawn).flatMap(({ x }) => (x.length ? [x[0], x[x.length - 1]] : []));
  const others = (known?.names || []).filter((each) => !names.includes(each) && !each.startsWith("system/"));
  const put = (list) => updateParameters({ series: list.join(",") });
  return html`<section class="curves" aria-label=${t("table.curves")}><div class="bar controls">
      <${AxisChoice} chosen=${name}/>
      <label>${t("table.another")} <select value="" disabled=${names.length >= MOST_SERIES} onChange=${(event) => event.target.value && put([...names, event.target.value])}><option value=""></option>${others.map((each) => html`<option value=${each}>${escapeInvisible(each)}</option>`)}</select></label>
      <${Field} name="color" label=${t("table.color")} chosen=${field}/></div>
    ${error ? html`<p class="wrong">${escapeInvisible(error.message)}</p>` : null}
    ${names.map((each) => html`<div class="panel" key=${each}><h2>${escapeInvisible(each)}${names.length > 1 ? html` <button type="button" class="plain" aria-label=${t("columns.less", { name: escapeInvisible(each) })} onClick=${() => put(names.filter((other) => other !== each))}>×</button>` : null}</h2>
      ${drawn[each] ? html`<${Chart} x=${drawn[each].x} lines=${drawn[each].lines} logY=${drawn[each].log} xLabel=${t(`choice.${name}`)} height=${240} sync=${`table ${name}`} extent=${ends.length ? [Math.min(...ends), Math.max(...ends)] : null} ...${view} label=${t("chart.of", { name: escapeInvisible(each) })}/>` : html`<p class="hint">${t(shown.length ? "table.nothing" : "table.closed")}</p>`}</div>`)}
    ${field ? html`<${Legend} lines=${[...new Map(shown.map((item) => [fieldOf(item, field) ?? "–", looks[item.id]]))].map(([label, style]) => ({ label, ...style }))}/>` : null}
    <p class="hint">${t("table.seed")}</p></section>`;
}

// A choice among the usual fields of rows.
export function Field({ name, label, chosen }) {
  const fields = ["optimizer.kind", "optimizer.lr", "model.kind", "dataset.kind", "schedule.kind", "batch_size", "tag", "state", "owner"];
  const all = chosen && !fields.includes(chosen) ? [chosen, ...fields] : fields;
  return html`<${Select} label=${label} aria-label=${label} value=${chosen} options=${["", ...all]} told=${(each) => each || t("choice.none")} set=${(each) => updateParameters({ [name]: each }, true)}/>`;
}

// The lines of each series; `owners`: the row of each run.
function picturesOf(message, owners, looks, axisFor) {
  const found = {};
  for (const { run_id: id, name, curve } of toCurves(message)) {
    const item = owners.get(id);
    if (!item) continue;
    const rows = (found[name] ||= new Map());
    if (!rows.has(item)) rows.set(item, []);
    rows.get(item).push(axisFor ? { ...curve, x: Float64Array.from(curve.x, axisFor(id).of) } : curve);
  }
  return Object.fromEntries(Object.entries(found).map(([name, rows]) => [name, picture(name, [...rows].map(([item, curves]) => ({ item, curve: meanCurve(curves) })), looks)]));
}

function picture(name, found, looks) {
  const drawn = linesOn(found.map(({ item, curve }) => ({ curve, label: item.name, points: curve.x.length < 3, ...looks[item.id] })));
  return { ...drawn, log: name.endsWith("loss") && arePositive(drawn.lines) };
}

// The runs of experiments that are shown: one for each seed, asked for once, and again where there are more.
const IDS_PER_REQUEST = 20; // the length of a filter is limited
const PAGE = 200; // runs

const countOf = (item) => Object.values(item.runs).reduce((sum, n) => sum + n, 0);
const stampOf = (item) => `${item.id}:${countOf(item)}`;

async function runsOf(items, signal) {
  const found = [];
  for (let at = 0; at < items.length; at += IDS_PER_REQUEST) {
    const ids = items.slice(at, at + IDS_PER_REQUEST).map((item) => item.id);
    let cursor;
    do {
      const page = await get(`/v1/runs${queryString({ filter: `experiment IN (${ids.join(", ")})`, fields: "id,experiment_id,relation,task,seed", limit: PAGE, cursor })}`, { signal });
      found.push(...page.items);
      cursor = page.next_cursor;
    } while (cursor);
  }
  return found.filter((run) => !run.relation && !run.task);
}

// {experiment id: [run id]} of items with points, first seed first; until it is known, the first seed alone.
function useSeedRuns(items) {
  const [known, set] = useState({}); // by experiment: {stamp, runs}
  const latest = useRef(known);
  latest.current = known;
  const withPoints = items.filter((item) => item.main);
  const missing = withPoints.filter((item) => countOf(item) > 1 && known[item.id]?.stamp !== stampOf(item));
  const key = missing.map(stampOf).join();
  useEffect(() => {
    if (!key) return undefined;
    const control = new AbortController();
    runsOf(missing, control.signal).then((runs) => set({
      ...latest.current,
      ...Object.fromEntries(missing.map((item) => [item.id, { stamp: stampOf(item), runs: runs.filter((run) => run.experiment_id === item.id).sort((one, other) => one.seed - other.seed).map((run) => run.id) }])),
    })).catch(() => {}); // the first seeds are drawn
    return () => control.abort();
  }, [key]);
  return Object.fromEntries(withPoints.map((item) => [item.id, known[item.id]?.runs.length ? known[item.id].runs : [item.main.run_id]]));
}
