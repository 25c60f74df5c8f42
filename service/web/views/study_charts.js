// A study in pictures: its trials one after the other, each dimension against the objective, all dimensions at once, the rungs, the curves.
import { Chart, look } from "../lib/chart.js";
import { getColumns, toCurves } from "../lib/columns.js";
import { alignCurves } from "../lib/curves.js";
import { escapeInvisible, formatCount, formatNumber, get, href, html, List, navigate, queryString, t, useMemo, useRequest, useState } from "../lib/page.js";
import { ParallelPlot, Scatter, spansMagnitudes, titleOfPoint, wordOf } from "../lib/scatter.js";

const SLICES = 8; // dimensions drawn at once
const ROWS = 100; // of the table, until all are asked for
const LINES = 200; // trials that are lines: of more, the best
const MOST = 100; // curves: the newest trials, whose lines can still be told apart
const POINTS = 200; // of a curve
const MOST_NAMED = 6; // dimensions in the table; its files have all

// A mean with its interval, where it has one.
export const around = (mean, interval) => (mean === null ? "–" : html`${formatNumber(mean)}${interval ? html` <small>${formatNumber(interval[0])} – ${formatNumber(interval[1])}</small>` : null}`);

// What a trial is worth so far: its value, or where it was stopped the one at its last rung; null: it diverged, or nothing.
export const worthOf = (trial) => trial.value ?? trial.rungs.at(-1) ?? null;

export const isMeasured = (trial) => worthOf(trial) !== null || (trial.state === "finished" && trial.value === null);

// A pointer as people say it: "optimizer lr" of /optimizer/lr.
export const nameOf = (pointer) => escapeInvisible(pointer.replace(/^\//, "").replaceAll("/", " "));

export const dimensionsOf = (trials) => [...new Set(trials.flatMap(({ point }) => Object.keys(point)))];

export const titleOf = (trial, series) => titleOfPoint(`${t("trial", { n: trial.number })}: ${t(`trial.${trial.state}`)}`, [[series, worthOf(trial)], ...Object.entries(trial.point)]);

const pointOf = (trial, x, series) => ({ key: trial.number, x, y: worthOf(trial), kind: trial.state, get title() { return titleOf(trial, series); }, path: trial.experiment_id ? ["experiment", trial.experiment_id] : null });

// Each trial at its place in the search, and the best of those that were trained to their ends so far.
export function Progress({ trials, study }) {
  const points = trials.filter(isMeasured).map((trial) => pointOf(trial, trial.number, study.series));
  if (!points.length) return null;
  const better = study.direction === "min" ? Math.min : Math.max;
  let best = null;
  const line = trials.flatMap(({ number, value }) => {
    if (value === null) return [];
    best = best === null ? value : better(best, value);
    return [{ x: number, y: best }];
  });
  return html`<section class="panel"><h2>${t("study.progress")}</h2><${Scatter} points=${points} line=${line} direction=${study.direction} xLabel=${t("column.trial")} yLabel=${study.series} label=${t("study.progress")}/>
    <p class="hint">${t("study.progress.how")}</p></section>`;
}

export function Slices({ trials, study }) {
  const measured = trials.filter(isMeasured);
  const [more, setMore] = useState(false);
  const names = dimensionsOf(measured);
  if (measured.length < 2) return null;
  return html`${names.slice(0, more ? names.length : SLICES).map((name) => {
    const having = measured.filter(({ point }) => name in point);
    const logX = study.document.space[name] ? ["log_uniform"].includes(study.document.space[name].kind) || study.document.space[name].log === true : spansMagnitudes(having.map(({ point }) => point[name]));
    return html`<section key=${name} class="panel"><h2>${nameOf(name)}</h2><${Scatter} points=${having.map((trial) => pointOf(trial, trial.point[name], study.series))} logX=${logX} direction=${study.direction} xLabel=${nameOf(name)} yLabel=${study.series} label=${t("study.slice", { name: nameOf(name) })}/></section>`;
  })}${names.length > SLICES && !more ? html`<p><button type="button" onClick=${() => setMore(true)}>${t("study.slices.more", { n: names.length - SLICES })}</button></p>` : null}`;
}

const hintOf = (drawn) => (drawn.length < LINES ? "" : ` ${t("study.best.only", { n: LINES })}`);

// Every dimension is an upright, the objective the last; each trial is a line across those that it has.
export function ParallelTrials({ trials, study }) {
  const names = dimensionsOf(trials).slice(0, 9);
  const measured = best(trials.filter(isMeasured), study.direction);
  if (names.length < 2 || measured.length < 2) return null;
  const axes = [...names.map((name) => ({ name: nameOf(name), values: measured.map(({ point }) => point[name] ?? null) })), { name: escapeInvisible(study.series), values: measured.map(worthOf) }];
  const ranks = rankOf(measured, study.direction);
  const lines = measured.map((trial, at) => ({ key: trial.number, class: "trial", style: { strokeOpacity: 0.08 + 0.92 * ranks[at] ** 3 }, title: titleOf(trial, study.series) }));
  return html`<section class="panel wide"><h2>${t("study.parallel")}</h2><${ParallelPlot} axes=${axes} lines=${lines} label=${t("study.parallel")}/>
    <p class="hint">${t("study.parallel.how")}${hintOf(measured)}</p></section>`;
}

// The best of many, in their order.
function best(trials, direction) {
  if (trials.length <= LINES) return trials;
  const ranks = rankOf(trials, direction);
  const bound = [...ranks].sort((one, other) => other - one)[LINES - 1];
  return trials.filter((_, at) => ranks[at] >= bound);
}

// 1 of the best, 0 of the worst.
function rankOf(trials, direction) {
  const sign = direction === "min" ? 1 : -1;
  const order = trials.map((trial, at) => [at, worthOf(trial) === null ? Infinity : sign * worthOf(trial)]).sort((one, other) => one[1] - other[1]);
  const ranks = [];
  order.forEach(([at], place) => { ranks[at] = 1 - place / Math.max(1, trials.length - 1); });
  return ranks;
}

// The objective of each trial at the rungs that it reached: those that were stopped are pale.
export function Rungs({ trials, study }) {
  const climbed = best(trials.filter((trial) => trial.rungs.some((value) => value !== null)), study.direction);
  const [x, lines] = useMemo(() => {
    const steps = [...new Set(climbed.flatMap((trial) => [...trial.rung_steps, trial.total_steps]))].sort((one, other) => one - other);
    return [steps, climbed.map((trial) => {
      const at = new Map(trial.rungs.map((value, index) => [trial.rung_steps[index], value]));
      if (trial.value !== null) at.set(trial.total_steps, trial.value);
      return { label: t("trial", { n: trial.number }), ...look(trial.number), y: steps.map((step) => at.get(step) ?? null), faint: trial.state === "pruned", points: true };
    })];
  }, [trials]);
  if (!climbed.length || x.length < 2) return null;
  return html`<section class="panel wide"><h2>${t("study.rungs")}</h2><${Chart} x=${x} lines=${lines} logX=${true} logY=${spansMagnitudes(climbed.flatMap(({ rungs }) => rungs))} xLabel=${t("axis.step")} height=${240} label=${t("study.rungs")}/>
    <p class="hint">${t("study.rungs.how")}${hintOf(climbed)}</p></section>`;
}

// The objective's whole curves: of each trial the run of the study's first seed. Those that were stopped are pale and end there.
async function curvesOf(study, signal) {
  const filter = `study = ${study.id} AND seed = ${study.document.seeds[0]}`;
  const runs = await get(`/v1/runs${queryString({ filter, fields: "id,experiment_id", limit: MOST })}`, { signal });
  if (!runs.items.length) return [];
  const owners = new Map(runs.items.map((run) => [run.id, run.experiment_id]));
  const message = await getColumns(`/v1/series${queryString({ runs: [...owners.keys()].join(), names: study.series, points: POINTS })}`, { signal });
  return toCurves(message).map(({ run_id: id, curve }) => ({ experiment: owners.get(id), curve }));
}

export function TrialCurves({ trials, study }) {
  const { value: found } = useRequest((signal) => curvesOf(study, signal), [study.id, trials]);
  const drawn = useMemo(() => {
    const known = new Map(trials.map((trial) => [trial.experiment_id, trial]));
    const own = (found || []).filter(({ experiment }) => known.has(experiment)).map(({ experiment, curve }) => ({ trial: known.get(experiment), curve }));
    own.sort((one, other) => (one.trial.state === "pruned" ? 0 : 1) - (other.trial.state === "pruned" ? 0 : 1)); // what counts lies above
    const [x, ...ys] = alignCurves(own.map(({ curve }) => curve));
    return { x, lines: own.map(({ trial, curve }, at) => ({ label: t("trial", { n: trial.number }), ...look(trial.number), y: ys[at], faint: trial.state === "pruned", points: curve.x.length < 3 })) };
  }, [found]);
  if (!drawn.lines.length) return null;
  return html`<section class="panel wide"><h2>${escapeInvisible(study.series)}</h2><${Chart} x=${drawn.x} lines=${drawn.lines} logY=${spansMagnitudes(drawn.lines.flatMap(({ y }) => Array.from(y).filter(Number.isFinite)))} xLabel=${t("axis.step")} height=${260} label=${t("study.curves")}/>
    <p class="hint">${t("study.curves.how", { n: drawn.lines.length })}</p></section>`;
}

export function TrialTable({ trials, study }) {
  const [by, setBy] = useState("value");
  const [all, setAll] = useState(false);
  const names = dimensionsOf(trials);
  const sign = study.direction === "min" ? 1 : -1;
  const worth = (trial) => (trial.value === null ? Infinity : sign * trial.value);
  const sorted = by === "number" ? trials : [...trials].sort((one, other) => worth(one) - worth(other) || one.number - other.number);
  const shown = (value) => (value === undefined ? "–" : typeof value === "number" ? formatNumber(value) : escapeInvisible(wordOf(value)));
  const sorting = (key, text) => ({ text, kind: "number", head: html`<button type="button" class="plain" onClick=${() => setBy(key)}>${text}</button>` });
  const columns = [sorting("number", t("column.trial")), "state", sorting("value", escapeInvisible(study.series)), ...names.slice(0, MOST_NAMED).map((name) => ({ text: nameOf(name), kind: "number" })), "#steps", "why"];
  const read = () => ({
    head: [t("column.trial"), t("column.state"), study.series, ...names.map(nameOf), t("column.steps"), t("column.why")],
    rows: sorted.map((trial) => [trial.number, t(`trial.${trial.state}`), worthOf(trial), ...names.map((name) => (typeof trial.point[name] === "number" ? trial.point[name] : name in trial.point ? wordOf(trial.point[name]) : null)), trial.steps, trial.why]),
  });
  return html`<h2>${t("study.trials", { n: formatCount(trials.length) })}</h2><${List} kind="tall" name=${`${study.name} ${t("column.trials")}`} read=${read} columns=${columns} items=${all ? sorted : sorted.slice(0, ROWS)}
    row=${({ number, experiment_id: id }) => ({ key: number, onDblClick: () => id && navigate(["experiment", id]) })} cells=${(trial) => [
      trial.experiment_id ? html`<a href=${href(["experiment", trial.experiment_id])}>${trial.number}</a>` : trial.number, html`<span class=${`state trial-${trial.state}`}>${t(`trial.${trial.state}`)}</span>`,
      trial.value === null && trial.rungs.length ? html`<small>${formatNumber(trial.rungs.at(-1))}</small>` : formatNumber(trial.value), ...names.slice(0, MOST_NAMED).map((name) => shown(trial.point[name])),
      formatCount(trial.steps), trial.why ? html`<small>${escapeInvisible(trial.why)}</small>` : null]}/>
    ${all || sorted.length <= ROWS ? null : html`<p><button type="button" onClick=${() => setAll(true)}>${t("study.trials.all", { n: formatCount(sorted.length) })}</button></p>`}`;
}
