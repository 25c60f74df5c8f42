// One experiment: its seeds side by side, its spec with what differs from the defaults, and what can be done with it.
import { html, useState } from "../lib/html.js";
import { get, post, query } from "../lib/api.js";
import { href } from "../lib/address.js";
import { Chart, Legend, colour, dash } from "../lib/chart.js";
import { aligned, curveOf } from "../lib/curves.js";
import { age, count, figure, visible } from "../lib/format.js";
import { Action, Copy, Problems, State, useAsked, useEvery } from "../lib/parts.js";
import { Spec } from "../lib/spec.js";
import { t } from "../lib/words.js";

const OVER = new Set(["succeeded", "failed", "cancelled"]);
const SHOWN = 8; // seeds drawn as lines of their own

export function Experiment({ path, search }) {
  const [tick, setTick] = useState(0);
  const { value: experiment, error } = useAsked((signal) => get(`/v1/experiments/${path[0]}`, { signal }), [path[0], tick]);
  const moving = !experiment || experiment.runs.some((run) => !OVER.has(run.state));
  useEvery(2000, () => moving && setTick((n) => n + 1), [moving]);
  if (error && !experiment) return html`<${Problems} error=${error}/>`;
  if (!experiment) return html`<p class="empty">${t("loading")}</p>`;
  const act = (action) => async () => {
    await post(`/v1/experiments/${experiment.id}/${action}`);
    setTick((n) => n + 1);
  };
  return html`<h1>${visible(experiment.name)}</h1>
    <p class="facts">${visible(experiment.owner)} · ${age(experiment.created_at)} · <code>${experiment.hash.slice(0, 12)}</code></p>
    <div class="bar">
      <a class="button" href=${href(["compare"], { experiments: experiment.id })}>${t("compare")}</a>
      <a class="button" href=${href(["new"], { from: experiment.id })}>${t("again")}</a>
      <${Copy} text=${JSON.stringify(experiment.spec, null, 2)} label=${t("copy.json")}/>
      <${Action} label=${t("cancel")} disabled=${!moving} confirm=${t("cancel.sure", { n: 1 })} act=${act("cancel")}/>
    </div>
    <${Seeds} runs=${experiment.runs} series=${search.get("series") || "loss"} tick=${tick}/>
    <${Runs} runs=${experiment.runs}/>
    <${Spec} spec=${experiment.spec}/>`;
}

function Seeds({ runs, series, tick }) {
  const shown = runs.filter((run) => run.series[series]).slice(0, SHOWN);
  const key = shown.map((run) => run.id).join();
  const { value: views } = useAsked((signal) => Promise.all(shown.map((run) =>
    get(`/v1/runs/${run.id}/series${query({ names: series, points: 400 })}`, { signal }))), [key, series, tick]);
  if (!views || !views.length) return null;
  const curves = views.map((view) => curveOf(view.series[series]));
  const [x, ...ys] = aligned(curves);
  const lines = ys.map((y, index) => ({
    label: t("seed", { seed: String(shown[index]?.seed) }), y, colour: colour(index), dash: dash(index),
  }));
  return html`<section><h2>${visible(series)}</h2>
    <${Chart} x=${x} lines=${lines} xLabel=${t("axis.step")} height=${240} label=${t("chart.of", { name: visible(series) })}/>
    <${Legend} lines=${lines}/></section>`;
}

function Runs({ runs }) {
  return html`<section><h2>${t("column.runs")}</h2><div class="scroll"><table class="list"><thead><tr>
    ${["run", "seed", "state", "progress", "last", "best", "worker"].map((word) => html`<th scope="col">${t(`column.${word}`)}</th>`)}</tr></thead>
    <tbody>${runs.map((run) => {
    const loss = run.series["val/loss"] || run.series.loss || {};
    return html`<tr key=${run.id} tabindex="0" data-row=${`run/${run.id}`}>
      <td><a href=${href(["run", run.id])}><code>${run.id.slice(-8)}</code></a></td><td class="number">${run.seed}</td>
      <td><${State} state=${run.displayed}/></td>
      <td class="number"><progress max="1" value=${run.progress} aria-label=${t("column.progress")}></progress> ${count(run.step)}</td>
      <td class="number">${figure(loss.last)}</td><td class="number">${figure(loss.min)}</td><td>${visible(run.worker || "–")}</td></tr>`;
  })}</tbody></table></div></section>`;
}
