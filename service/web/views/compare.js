// Experiments over one another: curves with their spread, who is better and how surely, and in what they differ.
import { html, useState } from "../lib/html.js";
import { number, post } from "../lib/api.js";
import { adjust, href } from "../lib/address.js";
import { Chart, Legend, colour, dash } from "../lib/chart.js";
import { aligned } from "../lib/curves.js";
import { figure, visible } from "../lib/format.js";
import { Empty, Problems, useAsked } from "../lib/parts.js";
import { t } from "../lib/words.js";

const SPREADS = { ci: ["ci_low", "ci_high"], range: ["min", "max"], none: null };
const CENTRES = ["mean", "median"];

function questionOf(search) {
  const list = (name) => (search.get(name) || "").split(",").filter(Boolean);
  const question = { x: search.get("x") || "step", points: 400, group: search.get("group") || "experiment" };
  if (list("series").length) question.series = list("series");
  if (list("runs").length) question.runs = list("runs");
  else question.experiments = list("experiments");
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
    <${Controls} search=${search}/>
    ${value.warnings.length ? html`<ul class="warnings">${value.warnings.map((warning) => html`<li>${visible(warning.detail || warning)}</li>`)}</ul>` : null}
    <div class=${loading ? "stale" : ""}>
    ${names.map((name) => html`<${Overlay} key=${name} name=${name} groups=${value.groups} search=${search}/>`)}
    <${Ranking} ranking=${value.ranking} groups=${value.groups}/>
    <${Scatter} difference=${value.difference} groups=${value.groups} series=${value.ranking?.series}/>
    <${Difference} difference=${value.difference} groups=${value.groups}/></div>`;
}

function Choice({ name, values, chosen, label }) {
  return html`<label>${label} <select value=${chosen} onChange=${(event) => adjust({ [name]: event.target.value })}>
    ${values.map((each) => html`<option value=${each}>${t(`choice.${each}`)}</option>`)}</select></label>`;
}

function Controls({ search }) {
  return html`<div class="bar controls">
    <${Choice} name="x" label=${t("axis")} values=${["step", "epoch"]} chosen=${search.get("x") || "step"}/>
    <${Choice} name="centre" label=${t("centre")} values=${CENTRES} chosen=${search.get("centre") || "mean"}/>
    <${Choice} name="spread" label=${t("spread")} values=${Object.keys(SPREADS)} chosen=${search.get("spread") || "ci"}/>
    <${Choice} name="group" label=${t("group")} values=${["experiment", "run"]} chosen=${search.get("group") || "experiment"}/>
    <label><input type="checkbox" checked=${search.get("log") !== "0"} onChange=${(event) => adjust({ log: event.target.checked ? "" : "0" })}/> ${t("axis.log")}</label></div>`;
}

function Overlay({ name, groups, search }) {
  const [hidden, setHidden] = useState(new Set());
  const all = groups.map((group, index) => ({ group, colour: colour(index), dash: dash(index) })).filter(({ group }) => group.series[name]);
  const spread = SPREADS[search.get("spread") || "ci"];
  const centre = search.get("centre") || "mean";
  const shown = all.filter(({ group }) => !hidden.has(group.label));
  const curves = shown.map(({ group }) => ({ x: group.series[name].curve.x, band: group.series[name].curve }));
  const pick = (column) => aligned(curves, (curve) => curve.band[column].map((value) => finite(number(value))));
  const [x, ...ys] = pick(centre);
  const [, ...lows] = spread ? pick(spread[0]) : [];
  const [, ...highs] = spread ? pick(spread[1]) : [];
  const positive = ys.every((column) => column.every((value) => value === null || value === undefined || value > 0));
  const log = search.get("log") !== "0" && positive && name.endsWith("loss");
  const lines = shown.map((line, index) => ({
    label: line.group.label, colour: line.colour, dash: line.dash, y: ys[index], lo: spread ? (log ? above(lows[index], ys[index]) : lows[index]) : null, hi: spread ? highs[index] : null,
    points: x.length < 3,
  }));
  const toggle = (label) => setHidden((before) => {
    const after = new Set(before);
    if (!after.delete(label)) after.add(label);
    return after;
  });
  return html`<section class="panel"><h2>${visible(name)}</h2>
    <${Chart} x=${x} lines=${lines} logY=${log} xLabel=${t(`choice.${search.get("x") || "step"}`)}
      height=${300} label=${t("chart.of", { name: visible(name) })}/>
    <${Legend} lines=${all.map(({ group, ...style }) => ({ label: group.label, ...style }))} hidden=${hidden} onToggle=${toggle}/></section>`;
}

// An interval of a small mean may reach below zero, where a logarithmic axis has no place: its band ends at a tenth.
const above = (lows, centres) => lows.map((value, index) => (value > 0 ? value : centres[index] ? centres[index] / 10 : value));

const finite = (value) => (Number.isFinite(value) ? value : null);

function Ranking({ ranking, groups }) {
  if (!ranking) return null;
  const diverged = Object.fromEntries(groups.map((group) => [group.label, group.diverged]));
  return html`<section><h2>${t("ranking", { series: visible(ranking.series) })}</h2>
    <p class="verdict ${ranking.verdict}"><strong>${t(`verdict.${ranking.verdict}`)}</strong> ${visible(ranking.note || "")}</p>
    <div class="scroll"><table class="list"><thead><tr>${["rank", "name", "best", "interval", "median", "seeds", "diverged"].map((word) => html`<th scope="col">${t(`column.${word}`)}</th>`)}</tr></thead>
    <tbody>${ranking.items.map((item) => html`<tr key=${item.label}><td class="number">${item.rank}</td><td>${visible(item.label)}</td>
      <td class="number">${figure(number(item.best.mean))}</td><td class="number">${figure(number(item.best.ci_low))} … ${figure(number(item.best.ci_high))}</td>
      <td class="number">${figure(number(item.best.median))}</td><td class="number">${item.best.n}</td><td class="number">${diverged[item.label] || 0}</td></tr>`)}</tbody></table></div></section>`;
}

// A field that differs and is a number against the result: the rate on a log axis first of all.
function Scatter({ difference, groups, series }) {
  const numeric = Object.entries(difference).filter(([, { values }]) => values.every((value) => typeof value === "number" && value > 0));
  if (!numeric.length || !series || groups.length < 3) return null;
  const [pointer, { values }] = numeric.find(([name]) => name.endsWith("/lr")) || numeric[0];
  const points = values.map((value, index) => ({ x: value, y: finite(number(groups[index].series[series]?.best.mean)) })).sort((one, other) => one.x - other.x);
  const lines = [{ label: series, colour: colour(0), dash: [], points: true, y: points.map(({ y }) => y) }];
  return html`<section class="panel"><h2>${visible(pointer)} → ${visible(series)}</h2>
    <${Chart} x=${points.map(({ x }) => x)} lines=${lines} logX=${true} xLabel=${visible(pointer)} height=${220} label=${t("chart.of", { name: visible(pointer) })}/></section>`;
}

function Difference({ difference, groups }) {
  const places = Object.entries(difference);
  return html`<section><h2>${t("difference")}</h2>${places.length ? html`<div class="scroll"><table class="list"><thead><tr><th scope="col">${t("column.field")}</th>
    ${groups.map((group) => html`<th scope="col">${visible(group.label)}</th>`)}</tr></thead><tbody>${places.map(([pointer, each]) => html`<tr key=${pointer}>
      <th scope="row"><code>${visible(pointer)}</code></th>${each.values.map((value, index) => html`<td>${each.missing.includes(index) ? "–" : html`<code>${visible(JSON.stringify(value))}</code>`}</td>`)}</tr>`)}</tbody></table></div>`
    : html`<p class="hint">${t("difference.none")}</p>`}</section>`;
}
