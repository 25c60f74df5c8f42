// Experiments over one another: curves with their spread, who is better and how surely, and in what they differ.
import { html, useState } from "../lib/html.js";
import { number, post } from "../lib/api.js";
import { adjust, href } from "../lib/address.js";
import { Chart, Legend, colour, dash } from "../lib/chart.js";
import { aligned } from "../lib/curves.js";
import { visible } from "../lib/format.js";
import { Empty, Problems, useAsked } from "../lib/parts.js";
import { t } from "../lib/words.js";
import { Comparability, Difference, Ranking } from "./compare_tables.js";
import { Parallel, Scatter, Target } from "./compare_charts.js";

const SPREADS = { ci: ["ci_low", "ci_high"], quartiles: ["q1", "q3"], range: ["min", "max"], none: null };
const AXES = ["step", "epoch", "samples", "gradient_evaluations", "wall_s", "device_s"];
const GROUPS = ["experiment", "run", "optimizer.kind", "model.kind", "schedule.kind"];

// The whole question is in the address, so that a link shows the same picture.
export function questionOf(search) {
  const list = (name) => (search.get(name) || "").split(",").filter(Boolean);
  const question = { x: search.get("x") || "step", points: 400, group: search.get("group") || "experiment" };
  if (list("series").length) question.series = list("series");
  if (list("runs").length) question.runs = list("runs");
  else question.experiments = list("experiments");
  if (Number(search.get("smooth"))) question.smoothing = Number(search.get("smooth"));
  if (search.get("share")) question.target = { share: Number(search.get("share")) };
  return question;
}

export function Compare({ search }) {
  const question = questionOf(search);
  const given = (question.runs || question.experiments).length > 0;
  const { value, error, loading } = useAsked((signal) => (given ? post("/v1/comparisons", question, { signal }) : Promise.resolve(null)), [JSON.stringify(question)]);
  if (!given) return html`<${Empty} title=${t("compare.none")}><p>${t("compare.how")}</p><a class="button" href=${href(["experiments"])}>${t("place.experiments")}</a></${Empty}>`;
  if (error && !value) return html`<${Problems} error=${error}/>`;
  if (!value) return html`<p class="empty">${t("loading")}</p>`;
  const names = [...new Set(value.groups.flatMap((group) => Object.keys(group.series)))];
  return html`<h1>${t("place.compare")}</h1>
    <${Controls} search=${search}/><${Problems} error=${error}/>
    ${value.warnings.length ? html`<ul class="warnings">${value.warnings.map((warning) => html`<li>${visible(warning)}</li>`)}</ul>` : null}
    <div class=${loading ? "stale" : ""}>
    <${Ranking} ranking=${value.ranking} groups=${value.groups}/>
    ${names.map((name) => html`<${Overlay} key=${name} name=${name} groups=${value.groups} search=${search}/>`)}
    <${Target} target=${value.target} groups=${value.groups} axis=${question.x}/>
    <${Scatter} difference=${value.difference} groups=${value.groups} series=${value.ranking.series}/>
    <${Parallel} difference=${value.difference} groups=${value.groups} series=${value.ranking.series}/>
    <${Comparability} found=${value.comparability}/>
    <${Difference} difference=${value.difference}/></div>`;
}

function Choice({ name, values, chosen, label }) {
  return html`<label>${label} <select value=${chosen} onChange=${(event) => adjust({ [name]: event.target.value })}>
    ${values.map((each) => html`<option value=${each}>${t(`choice.${each}`)}</option>`)}</select></label>`;
}

function Controls({ search }) {
  return html`<div class="bar controls">
    <${Choice} name="x" label=${t("axis")} values=${AXES} chosen=${search.get("x") || "step"}/>
    <${Choice} name="centre" label=${t("centre")} values=${["mean", "median"]} chosen=${search.get("centre") || "mean"}/>
    <${Choice} name="spread" label=${t("spread")} values=${Object.keys(SPREADS)} chosen=${search.get("spread") || "ci"}/>
    <${Choice} name="group" label=${t("group")} values=${GROUPS} chosen=${search.get("group") || "experiment"}/>
    <label>${t("smoothing")} <input type="range" min="0" max="0.99" step="0.01" value=${search.get("smooth") || 0}
      onChange=${(event) => adjust({ smooth: Number(event.target.value) ? event.target.value : "" })}/></label>
    <label>${t("target.share")} <select value=${search.get("share") || ""} onChange=${(event) => adjust({ share: event.target.value })}>
      <option value="">–</option>${["0.5", "0.8", "0.9", "0.95", "0.99"].map((each) => html`<option value=${each}>${Number(each) * 100} %</option>`)}</select></label>
    <label><input type="checkbox" checked=${search.get("log") !== "0"} onChange=${(event) => adjust({ log: event.target.checked ? "" : "0" })}/> ${t("axis.log")}</label></div>`;
}

const finite = (value) => (Number.isFinite(value) ? value : null);
const there = (value) => value !== null && value !== undefined;

// An interval of a small mean may reach below zero, where a logarithmic axis has no place: its band ends at a tenth.
const above = (lows, centres) => lows.map((value, index) => (value > 0 ? value : centres[index] ? centres[index] / 10 : value));

// Lines of one series: the chosen centre with its band, and where it is smoothed the raw centre faint behind.
function linesOf(shown, name, { centre, spread, log }) {
  const curves = shown.flatMap(({ group }) => [group.series[name].curve, group.series[name].smoothed].filter(Boolean)
    .map((band) => ({ x: band.x, band })));
  const pick = (column) => aligned(curves, (curve) => curve.band[column].map((value) => finite(number(value))));
  const [x, ...ys] = pick(centre);
  const [, ...lows] = spread ? pick(spread[0]) : [];
  const [, ...highs] = spread ? pick(spread[1]) : [];
  const positive = ys.every((column) => column.every((value) => !there(value) || value > 0));
  const logarithmic = log && positive && name.endsWith("loss");
  let at = 0;
  const lines = shown.flatMap(({ group, ...style }) => {
    const parts = [group.series[name].curve, group.series[name].smoothed].filter(Boolean);
    return parts.map((_, part) => {
      const index = at;
      at += 1;
      const faint = part === 0 && parts.length > 1;
      return {
        ...style, faint, label: faint ? `${group.label} raw` : group.label, y: ys[index], points: x.length < 3,
        lo: spread && !faint ? (logarithmic ? above(lows[index], ys[index]) : lows[index]) : null, hi: spread && !faint ? highs[index] : null,
      };
    });
  });
  return { x, lines, logarithmic };
}

function Overlay({ name, groups, search }) {
  const [hidden, setHidden] = useState(new Set());
  const all = groups.map((group, index) => ({ group, colour: colour(index), dash: dash(index) })).filter(({ group }) => group.series[name]?.curve);
  const shown = all.filter(({ group }) => !hidden.has(group.label));
  const { x, lines, logarithmic } = linesOf(shown, name, { centre: search.get("centre") || "mean", spread: SPREADS[search.get("spread") || "ci"], log: search.get("log") !== "0" });
  const toggle = (label) => setHidden((before) => {
    const after = new Set(before);
    if (!after.delete(label)) after.add(label);
    return after;
  });
  return html`<section class="panel"><h2>${visible(name)}</h2>
    <${Chart} x=${x} lines=${lines} logY=${logarithmic} xLabel=${t(`choice.${search.get("x") || "step"}`)} height=${300} label=${t("chart.of", { name: visible(name) })}/>
    <${Legend} lines=${all.map(({ group, ...style }) => ({ label: group.label, ...style }))} hidden=${hidden} onToggle=${toggle}/></section>`;
}
