// Why it did or did not learn: what was found first, each with its evidence, a remedy to try, and what would make it surer.
import { html, useRef, useState } from "../lib/html.js";
import { get } from "../lib/api.js";
import { count, visible } from "../lib/format.js";
import { Problems, Prose, useAsked, useEvery } from "../lib/parts.js";
import { OVER } from "../lib/run.js";
import { t, told } from "../lib/words.js";
import { Evidence } from "./evidence.js";
import { Instruments, useReadings } from "./instruments.js";
import { Remedy } from "./remedy.js";

const LOOK_MS = 4000;
const SIGNS = { fault: "✕", warning: "!", info: "i", healthy: "✓", unknown: "?" };
const STATES = ["found", "suppressed", "unknown", "clear"];

export function Level({ level }) {
  return html`<span class=${`level ${level}`}><span aria-hidden="true">${SIGNS[level] || "?"}</span> ${t(`level.${level}`)}</span>`;
}

// The title of a verdict in plain words; a word that is not known is shown as it is.
export const titleOf = (verdict) => told(`finding.${verdict}`) ?? visible(verdict);

// What is found about a run (null: it is not known yet), asked for again and again while it trains.
export function useDiagnosis(run) {
  const [look, again] = useState(0);
  const over = run !== null && OVER.has(run.state);
  useEvery(LOOK_MS, () => over || again((n) => n + 1), [over]);
  const readings = useReadings(run, over ? 0 : look);
  const { value, error } = useAsked((signal) => (run ? get(`/v1/runs/${run.id}/diagnosis`, { signal }) : Promise.resolve(null)), [run?.id, run?.state, look, readings.items.length]);
  return { found: value || null, error, readings };
}

// `held`: which findings stand here (lib/held.js); others are told of in the line above, which has its place from the start.
export function Diagnosis({ run, experiment, curves, tick, diagnosis, held }) {
  const { found, error, readings } = diagnosis;
  const known = useRef(new Map()); // the last of each, so that one that holds no longer keeps its place
  if (!found) return error && error.status !== 404 ? html`<${Problems} error=${error}/>` : html`<section class="diagnosis"><div class="headline">${t("loading")}</div></section>`;
  for (const finding of found.findings) known.current.set(finding.id, finding);
  const standing = held.shown.map((id) => known.current.get(id)).filter(Boolean);
  const holds = (finding) => found.findings.some(({ id }) => id === finding.id);
  const shared = { run, experiment, curves, tick, readings: readings.items };
  return html`<section class="diagnosis" aria-label=${t("diagnosis")}>
    <div class=${`headline ${found.level}`}><p title=${visible(found.headline)}><${Level} level=${found.level}/> <strong>${visible(found.headline)}</strong>${" "}<small>${found.complete ? "" : t("diagnosis.sofar", { step: count(found.step) })}</small></p>
      <span aria-live="polite">${held.late.length ? html`<button type="button" onClick=${held.reveal}>${t("late.show", { n: held.late.length })}</button>` : null}</span></div>
    ${standing.map((finding, index) => html`<${Finding} key=${finding.id} finding=${finding} holds=${holds(finding)} open=${index === 0} ...${shared} asked=${readings.again}/>`)}
    <div class="beneath"><${Instruments} run=${run} readings=${readings}/><${Checked} items=${found.checked}/></div></section>`;
}

const share = (confidence) => `${Math.round(100 * confidence)} %`;

function Finding({ finding, holds, open, asked, ...shared }) {
  const [from, to] = finding.steps;
  return html`<details class=${`finding ${finding.level}`} open=${open}>
    <summary><${Level} level=${finding.level}/> <strong>${titleOf(finding.verdict)}</strong>${" "}<small>${t("confidence", { share: share(finding.confidence) })} · ${t("steps.between", { from: count(from), to: count(to) })} · ${visible(finding.rule)}${holds ? "" : ` · ${t("finding.over")}`}</small></summary>
    <p class="told"><${Prose} text=${finding.text}/></p>
    <${Evidence} finding=${finding} ...${shared}/>
    <${Remedy} finding=${finding} run=${shared.run} experiment=${shared.experiment}/>
    ${finding.expect ? html`<dl class="expect"><div><dt>${t("expect.confirm")}</dt><dd>${visible(finding.expect.confirm)}</dd></div>
      <div><dt>${t("expect.refute")}</dt><dd>${visible(finding.expect.refute)}</dd></div></dl>` : null}
    ${finding.probes.length ? html`<${Instruments.Suggested} probes=${finding.probes} run=${shared.run} done=${asked}/>` : null}
    ${finding.explains?.length ? html`<p class="hint">${t("explains", { rules: finding.explains.map(visible).join(", ") })}</p>` : null}</details>`;
}

// Every rule and what became of it: what is not known says what is missing.
function Checked({ items }) {
  const counts = STATES.map((state) => [state, items.filter((each) => each.state === state)]).filter(([, some]) => some.length);
  return html`<details class="checked"><summary>${t("checked", { n: items.length })}${" "}<small>${counts.map(([state, some]) => `${some.length} ${t(`checked.${state}`)}`).join(", ")}</small></summary>
    <div class="scroll"><table class="list"><tbody>${counts.flatMap(([state, some]) => some.map((each) => html`<tr key=${each.rule}><td>${visible(each.rule)}</td>
      <td>${visible(each.symptom)}</td><td class=${`checked-${state}`}>${t(`checked.${state}`)}</td><td>${visible(each.why || "")}</td></tr>`))}</tbody></table></div></details>`;
}
