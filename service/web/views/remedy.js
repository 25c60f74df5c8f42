// A remedy: what it changes of the spec, and the experiment that tells whether it helps.
import { Chart, Legend, look } from "../lib/chart.js";
import { getColumns, toCurves } from "../lib/columns.js";
import { arePositive, linesOn } from "../lib/curves.js";
import { listChanges } from "../lib/json_patch.js";
import { ActionButton, escapeInvisible, href, html, post, queryString, Said, StateLabel, t, useEffect, useGet, useMemo } from "../lib/page.js";

const LOOK_MS = 2000;

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
    const timer = setTimeout(again, LOOK_MS);
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
