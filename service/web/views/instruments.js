// Instruments that look at a run on demand: which one, at which kept state; and everything they have read.
import { ActionButton, escapeInvisible, formatCount, get, html, post, Problems, queryString, StateLabel, t, useEffect, useGet, useRequest, useState } from "../lib/page.js";
import { TERMINAL_STATES } from "../lib/run.js";
import { Reading } from "./reading.js";

const NEWEST = 12; // readings drawn at first
const PAGES = 5;
const LOOK_MS = 2000;

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
    const timer = setTimeout(again, LOOK_MS);
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
  return html`<details class="instruments"><summary>${t("instruments")} <small>${t("readings", { n: readings.items.length })}</small></summary>
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
