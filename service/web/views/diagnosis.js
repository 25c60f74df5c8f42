// Why it did or did not learn: what was found first, each with its evidence, a remedy to try, and what would make it surer.
import { Chart, Legend, look } from "../lib/chart.js";
import { getColumns, toCurves } from "../lib/columns.js";
import { arePositive, linesOn } from "../lib/curves.js";
import { listChanges } from "../lib/json_patch.js";
import { ActionButton, currentLanguage, escapeInvisible, findText, formatCount, formatNumber, get, href, html, List, post, Problems, queryString, Said, StateLabel, t, useEffect, useGet, useInterval, useMemo, useRef, useRequest, useState } from "../lib/page.js";
import { TERMINAL_STATES } from "../lib/run.js";
import { translate } from "../lib/words.js";
import { Evidence } from "./evidence.js";
import { Reading } from "./reading.js";

const LOOK_MS = 4000;
const SIGNS = { fault: "✕", warning: "!", info: "i", healthy: "✓", unknown: "?" };
const COMPARES = "R29"; // the rule of what trainings beside the run reach
const STATES = ["found", "suppressed", "unknown", "clear"];

export function Level({ level }) {
  return html`<span class=${`level ${level}`}><span aria-hidden="true">${SIGNS[level] || "?"}</span> ${t(`level.${level}`)}</span>`;
}

// The title of a verdict in plain words; a word that is not known is shown as it is.
export const titleOf = (verdict) => findText(`finding.${verdict}`) ?? escapeInvisible(verdict);

// What is found about a run (null: it is not known yet), asked for again and again while it trains.
export function useDiagnosis(run) {
  const [look, again] = useState(0);
  const over = run !== null && TERMINAL_STATES.has(run.state);
  useInterval(LOOK_MS, () => over || again((n) => n + 1), [over]);
  const readings = useReadings(run, over ? 0 : look);
  const { value, error } = useGet(run && `/v1/runs/${run.id}/diagnosis`, [run?.state, look, readings.items.length]);
  return { found: value || null, error, readings };
}

// What is found, in one line of one height, and beside it what is given.
export function Headline({ diagnosis, children }) {
  const { found, error } = diagnosis;
  if (!found) return error && error.status !== 404 ? html`<${Problems} error=${error}/>` : html`<div class="headline">${t("loading")}</div>`;
  return html`<div class=${`headline ${found.level}`}><p title=${escapeInvisible(found.headline)}><${Level} level=${found.level}/> <strong>${currentLanguage() !== "en" && found.findings.length ? titleOf(found.findings[0].verdict) : html`<${Said} text=${found.headline}/>`}</strong>${" "}<small>${found.complete ? "" : t("diagnosis.sofar", { step: formatCount(found.step) })}</small></p>
    <span>${children}</span></div>`;
}

// `deferred` says which findings are shown (lib/deferred.js); a button shows the others.
export function Diagnosis({ run, experiment, curves, tick, diagnosis, deferred }) {
  const { found, readings } = diagnosis;
  const known = useRef(new Map()); // the last of each, so that one that holds no longer keeps its place
  if (!found) return null;
  for (const finding of found.findings) known.current.set(finding.id, finding);
  const standing = deferred.shown.map((id) => known.current.get(id)).filter(Boolean);
  const holds = (finding) => found.findings.some(({ id }) => id === finding.id);
  const shared = { run, experiment, curves, tick, readings: readings.items, checked: found.checked };
  return html`<section class="diagnosis" aria-label=${t("tab.diagnosis")}>
    <p class="late" aria-live="polite">${deferred.pending.length ? html`<button type="button" onClick=${deferred.reveal}>${t("late.show", { n: deferred.pending.length })}</button>` : null}</p>
    ${found.level === "unknown" && found.complete ? html`<${Untold} checked=${found.checked} run=${run} done=${readings.again}/>` : null}
    ${standing.map((finding, index) => html`<${Finding} key=${finding.id} finding=${finding} holds=${holds(finding)} open=${index === 0} ...${shared} asked=${readings.again}/>`)}
    ${found.neighbour && experiment ? html`<${Neighbour} neighbour=${found.neighbour} experiment=${experiment}/>` : null}
    <div class="beneath"><${Instruments} run=${run} readings=${readings}/><${Checked} items=${found.checked}/></div></section>`;
}

// What would tell, where nothing is found and it is not known why little was learned.
function Untold({ checked, ...shared }) {
  const probes = checked.find((each) => each.rule === COMPARES && each.state === "unknown")?.probes || [];
  return probes.length ? html`<${Instruments.Suggested} probes=${probes} ...${shared}/>` : null;
}

// The most similar run that went well, and what differs; its settings can be tried from the form.
function Neighbour({ neighbour, experiment }) {
  const { run_id: run, name, series, value, patch } = neighbour;
  return html`<section class="remedy neighbour" aria-label=${t("neighbour")}><h2>${t("neighbour")}</h2>
    <p><a href=${href(["run", run])}>${escapeInvisible(name)}</a> <code>${run.slice(-8)}</code>: ${escapeInvisible(series)} ${formatNumber(value)}</p>
    <${Difference} changes=${listChanges(experiment.spec, patch)}/>
    <div class="bar"><a class="button" href=${href(["new"], { from: experiment.id, patch: JSON.stringify(patch) })}>${t("try.form")}</a></div></section>`;
}

const share = (confidence) => `${Math.round(100 * confidence)} %`;

function Finding({ finding, holds, open, asked, checked, ...shared }) {
  const [from, to] = finding.steps;
  const symptomOf = (rule) => escapeInvisible(translate(checked.find((each) => each.rule === rule)?.symptom || rule, rule).text);
  return html`<details class=${`finding ${finding.level}`} open=${open}>
    <summary><${Level} level=${finding.level}/> <strong>${titleOf(finding.verdict)}</strong>${" "}<small>${t("confidence", { share: share(finding.confidence) })} · ${t("steps.between", { from: formatCount(from), to: formatCount(to) })}${holds ? "" : ` · ${t("finding.over")}`}</small></summary>
    <p class="told"><${Said} text=${finding.text}/></p>
    <${Evidence} finding=${finding} ...${shared}/>
    <${Remedy} finding=${finding} run=${shared.run} experiment=${shared.experiment}/>
    ${finding.expect ? html`<dl class="expect"><div><dt>${t("expect.confirm")}</dt><dd><${Said} text=${finding.expect.confirm}/></dd></div>
      <div><dt>${t("expect.refute")}</dt><dd><${Said} text=${finding.expect.refute}/></dd></div></dl>` : null}
    ${(finding.alternatives || []).map((other) => html`<p class="hint" key=${other.verdict}>${t("alternative", { cause: titleOf(other.verdict), experiment: escapeInvisible(other.experiment) })}</p>`)}
    ${finding.probes.length ? html`<${Instruments.Suggested} probes=${finding.probes} run=${shared.run} done=${asked}/>` : null}
    ${finding.explains?.length ? html`<p class="hint">${t("explains", { rules: finding.explains.map(symptomOf).join(", ") })}</p>` : null}</details>`;
}

// Every rule and what became of it: what is not known says what is missing.
function Checked({ items }) {
  const counts = STATES.map((state) => [state, items.filter((each) => each.state === state)]).filter(([, some]) => some.length);
  return html`<details class="checked"><summary>${t("checked", { n: items.length })}${" "}<small>${counts.map(([state, some]) => `${some.length} ${t(`checked.${state}`)}`).join(", ")}</small></summary>
    <${List} name=${t("tab.diagnosis")} columns=${["symptom", "state", "why"]} items=${counts.flatMap(([, some]) => some)} row=${({ rule }) => ({ key: rule })} cells=${({ rule, symptom, state, why }) => [
      html`<${Said} text=${symptom} code=${rule}/>`, html`<span class=${`checked-${state}`}>${t(`checked.${state}`)}</span>`, html`<${Said} text=${why}/>`]}/></details>`;
}

// A remedy: what it changes of the spec, and the experiment that tells whether it helps.
const BESIDE_LOOK_MS = 2000; // at what is trained or probed beside the run

export function Remedy({ finding, run, experiment }) {
  const [tries, look] = useTries(run.id, finding.id);
  if (!finding.patch?.length) return finding.remedy ? html`<p class="remedy"><${Said} text=${finding.remedy}/></p>` : null;
  const place = `/v1/runs/${run.id}/diagnosis/${encodeURIComponent(finding.id)}/verify`;
  return html`<div class="remedy"><h2>${t("remedy")}</h2>${finding.remedy ? html`<p><${Said} text=${finding.remedy}/></p>` : null}
    ${experiment ? html`<${Difference} changes=${listChanges(experiment.spec, finding.patch)}/>` : null}
    <div class="bar"><${ActionButton} kind="primary" label=${t("try")} act=${async () => { await post(place); look(); }}/>
      ${experiment ? html`<a class="button" href=${href(["new"], { from: experiment.id, patch: JSON.stringify(finding.patch) })}>${t("try.form")}</a>` : null}
      <span class="hint">${t("try.how")}</span></div>
    ${tries.map((each) => html`<${Outcome} key=${each.id} tried=${each}/>`)}</div>`;
}

export function Difference({ changes }) {
  return html`<div class="difference" role="group" aria-label=${t("remedy.difference")}>${changes.map(({ pointer, before, after }) => html`<div class="at">${escapeInvisible(pointer)}</div>
    ${before === undefined ? null : html`<del>− ${escapeInvisible(before)}</del>`}${after === undefined ? null : html`<ins>+ ${escapeInvisible(after)}</ins>`}`)}</div>`;
}

// What has been tried of a finding, asked for again until it has an outcome.
function useTries(id, finding) {
  const { value, again } = useGet(`/v1/runs/${id}/diagnosis/${encodeURIComponent(finding)}/verify`);
  const items = value?.items || [];
  const open = items.some((each) => each.outcome === null);
  useEffect(() => {
    if (!open) return undefined;
    const timer = setTimeout(again, BESIDE_LOOK_MS);
    return () => clearTimeout(timer);
  }, [open, value]);
  return [items, again];
}

function Outcome({ tried }) {
  const { control, patched, outcome, why } = tried;
  const key = `${control.id},${patched.id}`;
  const series = tried.measured?.series || "loss";
  const { value: message } = useGet(`/v1/series${queryString({ runs: key, names: series, points: 400 })}`, [control.step, patched.step], getColumns);
  const { x, lines } = useMemo(() => (message ? both(message, tried) : { lines: [] }), [message]);
  const word = outcome || "running";
  return html`<div class=${`outcome ${word}`} role="status"><p><strong>${t(`outcome.${word}`)}</strong> <${Said} text=${why}/></p>
    <p class="facts">${[["control", control], ["patched", patched]].map(([which, each]) => html`<a href=${href(["run", each.id])}>${t(`try.${which}`)}</a> <${StateLabel} state=${each.displayed || each.state}/> `)}</p>
    ${lines.length ? html`<${Chart} x=${x} lines=${lines} height=${180} logY=${arePositive(lines)} xLabel=${t("axis.step")} label=${t("try.chart")}/><${Legend} lines=${lines}/>` : null}</div>`;
}

function both(message, { control, patched }) {
  const found = toCurves(message);
  return linesOn([["control", control.id], ["patched", patched.id]].flatMap(([which, id]) => found.filter((each) => each.run_id === id).map(({ curve: { x, y } }) => ({ curve: { x, y }, label: t(`try.${which}`) })))
    .map((part, index) => ({ ...part, ...look(index) })));
}

// Instruments that look at a run on demand: which one, at which kept state; and everything they have read.
const NEWEST = 12; // readings drawn at first
const PAGES = 5;

// The newest readings of the run and of its probe jobs; nothing where the server knows of none.
async function allReadings(id, signal) {
  let items = [];
  let cursor;
  for (let page = 0; page < PAGES; page += 1) {
    const answer = await get(`/v1/runs/${id}/readings${queryString({ cursor })}`, { signal });
    items = [...items, ...answer.items];
    cursor = answer.next_cursor;
    if (!cursor) break;
  }
  return items;
}

export function useReadings(run, look) {
  const { value, again } = useRequest((signal) => (run ? Promise.all([
    allReadings(run.id, signal), get(`/v1/runs/${run.id}/probes`, { signal }).then((found) => found.items),
  ]) : Promise.resolve(null)), [run?.id, run?.state, look]);
  const [items, jobs] = value || [[], []];
  const open = jobs.some((job) => !TERMINAL_STATES.has(job.state));
  useEffect(() => { // an ended run's jobs are followed by asking: its own stream is over
    if (!open) return undefined;
    const timer = setTimeout(again, BESIDE_LOOK_MS);
    return () => clearTimeout(timer);
  }, [open, value]);
  return { items, jobs, again };
}

function Kinds({ name }) {
  const { value } = useGet("/v1/catalog/probes");
  return html`<select name=${name} aria-label=${t("instrument")}>${(value?.items || []).map((each) => html`<option value=${each.kind} title=${escapeInvisible(each.summary)}>${each.kind}</option>`)}</select>`;
}

export function Instruments({ run, readings }) {
  const [most, more] = useState(NEWEST);
  const { value } = useGet(`/v1/runs/${run.id}/checkpoints`, [run.checkpoint_step]);
  const kept = (value?.items || []).filter((each) => !each.removed_at && !each.damaged);
  const [error, setError] = useState(null);
  const ask = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    try {
      setError(null);
      await post(`/v1/runs/${run.id}/probes`, { probes: [{ kind: form.get("kind") }], step: form.get("step") === "" ? null : Number(form.get("step")) });
      readings.again();
    } catch (refusal) {
      setError(refusal);
    }
  };
  const open = readings.jobs.filter((job) => !TERMINAL_STATES.has(job.state));
  return html`<details class="instruments" open=${readings.items.some(({ kind }) => kind === "augmented_samples")}><summary>${t("instruments")} <small>${t("readings", { n: readings.items.length })}</small></summary>
    <form class="bar" onSubmit=${ask}><${Kinds} name="kind"/><label>${t("instrument.at")} <select name="step"><option value="">${t("latest")}</option><option value="0">${t("beginning")}</option>
      ${kept.map((each) => html`<option value=${each.step}>${t("axis.step")} ${formatCount(each.step)}</option>`)}</select></label><button>${t("measure")}</button></form>
    <${Problems} error=${error}/>
    ${open.map((job) => html`<p key=${job.id}><${StateLabel} state=${job.displayed || job.state}/> ${t("measuring", { step: formatCount(job.origin_step) })}</p>`)}
    <div class="readings">${readings.items.slice(-most).reverse().map((each) => html`<${Reading} key=${each.id} reading=${each}/>`)}</div>
    ${readings.items.length > most ? html`<button type="button" onClick=${() => more(most + 50)}>${t("more")}</button>` : null}</details>`;
}

// What a finding asks for to be surer.
Instruments.Suggested = function Suggested({ probes, run, done }) {
  return html`<p class="suggested">${t("surer")} ${probes.map((probe) => html`<${ActionButton} key=${JSON.stringify(probe)} label=${escapeInvisible(probe.kind)}
    act=${async () => { await post(`/v1/runs/${run.id}/probes`, { probes: [probe], step: null }); done(); }}/> `)}</p>`;
};
