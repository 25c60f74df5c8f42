// One run: what is found out about it, its curves live, what happened to it, and what can be done with it.
import { html, useMemo } from "../lib/html.js";
import { href, navigate, updateParameters } from "../lib/address.js";
import { get, patch, post } from "../lib/api.js";
import { Boundary } from "../lib/boundary.js";
import { ActionButton, Problems, Prose, StateLabel, useRequest } from "../lib/components.js";
import { useDeferred } from "../lib/deferred.js";
import { DialogButton } from "../lib/dialog.js";
import { escapeInvisible, formatCount, formatNumber, formatSeconds } from "../lib/format.js";
import { refusal, useProject } from "../lib/rights.js";
import { TERMINAL_STATES, useRun } from "../lib/run.js";
import { Spec } from "../lib/spec.js";
import { t } from "../lib/words.js";
import { AsCode } from "./as_code.js";
import { Comments } from "./comments.js";
import { Diagnosis, useDiagnosis } from "./diagnosis.js";
import { Panel, panels, useBeside } from "./run_curves.js";
import { RunLog } from "./run_log.js";
import { Attempts, Checkpoints, History } from "./run_parts.js";

const words = (search, name) => new Set((search.get(name) || "").split(",").filter(Boolean));

export function Run({ path, search, me }) {
  const [id] = path;
  const from = search.get("from") || undefined;
  const to = search.get("to") || undefined;
  const { run, error, live, tick, curves, refresh } = useRun(id, from, to);
  const { value: experiment } = useRequest((signal) => (run ? get(`/v1/experiments/${run.experiment_id}`, { signal }) : Promise.resolve(null)), [run?.experiment_id]);
  const { value: history } = useRequest((signal) => (run ? get(`/v1/runs/${id}/history?limit=200`, { signal }) : Promise.resolve(null)), [id, run?.state, run?.attempt, run?.checkpoint_step]);
  const events = history?.items || [];
  const { beside, planned, settled } = useBeside(run, events.filter((event) => event.kind === "cut").length);
  const marks = useMemo(() => (run ? marksOf(run, events) : []), [run?.failure, history]);
  const diagnosis = useDiagnosis(run);
  const news = [...(run?.failure ? ["failure"] : []), ...(planned?.deviates ? ["deviation"] : []), ...(diagnosis.found?.findings || []).map((finding) => finding.id)];
  const deferred = useDeferred(run !== null && settled && Boolean(diagnosis.found || diagnosis.error), news, run !== null && !TERMINAL_STATES.has(run.state));
  if (error && !run) return html`<${Problems} error=${error}/>`;
  if (!run) return html`<p class="empty">${t("loading")}</p>`;
  const options = {
    log: search.get("log") !== "0", logX: search.get("logx") === "1", smooth: Number(search.get("smooth") || 0),
    hidden: words(search, "hide"), shown: words(search, "show"), from, to,
  };
  const zoom = (low, high) => updateParameters({ from: String(Math.max(0, Math.floor(low))), to: String(Math.ceil(high)) });
  return html`<h1>${escapeInvisible(experiment?.name || "")} <small>${t("seed", { seed: String(run.seed) })}${run.fold == null ? "" : `, ${t("fold", { fold: String(run.fold) })}`}</small></h1>
    <${Facts} run=${run} live=${live}/>${deferred.shown.includes("failure") ? html`<${Failure} run=${run}/>` : null}
    <${Actions} run=${run} experiment=${experiment} refresh=${refresh} me=${me}/>
    <${Boundary}><${Diagnosis} run=${run} experiment=${experiment} curves=${curves} tick=${tick} diagnosis=${diagnosis} deferred=${deferred}/></${Boundary}>
    <${Controls} options=${options} zoomed=${Boolean(from || to)}/>
    ${planned?.deviates && deferred.shown.includes("deviation") ? html`<${Deviation} checked=${planned.checked}/>` : null}
    ${!deferred.isLaidOut ? html`<p class="empty">${t("loading")}</p>` : Object.keys(curves).length ? html`<div class="panels">${panels(Object.keys(curves)).map(([family, names]) => html`<${Panel} key=${family} family=${family}
      names=${names} curves=${curves} beside=${beside[family]} options=${options} tick=${tick} marks=${marks} zoom=${zoom}/>`)}</div>`
    : html`<p class="empty">${run.waiting ? escapeInvisible(run.waiting.reason || "") : t(TERMINAL_STATES.has(run.state) ? "curves.never" : "curves.none")}</p>`}
    ${marks.length ? html`<p class="hint">${t("marks")}</p>` : null}
    <div class="columns"><${Attempts} id=${id} attempt=${run.attempt} state=${run.state}/><${Checkpoints} run=${run}/><${History} items=${events}/></div>
    <${RunLog} run=${run}/>
    ${experiment && !experiment.shared ? html`<${Comments} experiment=${run.experiment_id} run=${run.id} me=${me}/>` : null}
    ${experiment ? html`<${AsCode} spec=${experiment.spec}/><${Spec} spec=${experiment.spec}/>` : null}`;
}

function Facts({ run, live }) {
  return html`<p class="facts row"><${StateLabel} state=${run.displayed}/>${live === undefined ? null : html`<span class=${live ? "live" : "lost"} role="status">${t(live ? "live" : "live.lost")}</span>`}
    <progress max="1" value=${run.progress} aria-label=${t("column.progress")}></progress>
    <span>${t("step.of", { step: formatCount(run.step), total: formatCount(run.total_steps) })}</span>
    ${run.worker ? html`<span>${escapeInvisible(run.worker)}</span>` : null}${run.trained_s ? html`<span>${t("trained", { time: formatSeconds(run.trained_s) })}</span>` : null}
    <a href=${href(["experiment", run.experiment_id])}>${t("experiment")}</a>
    ${run.parent_run_id ? html`<a href=${href(["run", run.parent_run_id])}>${t(`relation.${run.relation}`)}</a>` : null}</p>`;
}

// What has a place on the axis: checkpoints, where an attempt was cut, where it failed.
function marksOf(run, events) {
  const marks = events.flatMap(({ kind, data }) => {
    if (kind === "checkpoint") return [{ x: data.step, kind }];
    return kind === "cut" ? [{ x: data.from_step, kind }] : [];
  });
  return run.failure ? [...marks, { x: run.failure.step ?? run.step, kind: "failed" }] : marks;
}

function Deviation({ checked }) {
  const worst = checked.find((each) => Math.abs(each.planned - each.applied) > 1e-6 * Math.abs(each.planned));
  return worst ? html`<p class="warnings">${t("deviates", { step: formatCount(worst.step), planned: formatNumber(worst.planned), applied: formatNumber(worst.applied) })}</p>` : null;
}

function Failure({ run }) {
  if (!run.failure) return null;
  return html`<div class="refusal" role="alert"><p><strong>${escapeInvisible(run.failure.code)}</strong> <${Prose} text=${run.failure.detail}/></p>
    ${run.failure.evidence ? html`<details><summary>${t("evidence")}</summary><pre class="quoted" tabindex="0">${JSON.stringify(run.failure.evidence, null, 2).split("\n").map(escapeInvisible).join("\n")}</pre></details>` : null}</div>`;
}

function Actions({ run, experiment, refresh, me }) {
  const project = useProject();
  const refused = experiment ? refusal(me, experiment.owner, project, experiment.shared) : "";
  const fixed = Boolean(refused);
  const looks = experiment?.shared || me.level === "read";
  const over = TERMINAL_STATES.has(run.state);
  const act = (action, body) => async () => { await post(`/v1/runs/${run.id}/${action}`, body); await refresh(); };
  const follower = (action, body) => async () => {
    const made = await post(`/v1/runs/${run.id}/${action}`, body);
    navigate(["run", made.id]);
  };
  return html`<div class="bar">
    ${!over && run.state !== "paused" ? html`<${ActionButton} label=${t("pause")} act=${act("pause")} disabled=${fixed}/>` : null}
    ${run.state === "paused" || run.displayed === "pausing" ? html`<${ActionButton} label=${t("resume")} act=${act("resume")} disabled=${fixed}/>` : null}
    ${over ? null : html`<${DialogButton} button=${t("cancel")} disabled=${fixed} kind="danger" title=${t("cancel.run")} label=${t("cancel.yes")} act=${act("cancel")}><p>${t("cancel.text")}</p></${DialogButton}>`}
    ${run.state === "queued" ? html`<${ActionButton} label=${t("first")} act=${async () => { await patch(`/v1/runs/${run.id}`, { priority: Math.min((run.priority || 0) + 10, 100) }); await refresh(); }} disabled=${fixed}/>` : null}
    ${["failed", "cancelled"].includes(run.state) ? html`<${ActionButton} label=${t("retry")} act=${follower("retry", {})} disabled=${looks}/>` : null}
    ${run.step > 0 ? html`<${ActionButton} label=${t("replay")} act=${follower("replay", {})} disabled=${looks}/>` : null}
    ${experiment && !looks && run.checkpoint_step > 0 ? html`<a class="button" href=${href(["new"], { fork: run.id, step: run.checkpoint_step })}>${t("fork")}</a>` : null}
    ${refused ? html`<span class="hint">${refused}</span>` : null}
  </div>`;
}

function Controls({ options, zoomed }) {
  return html`<div class="bar controls">
    <label><input type="checkbox" checked=${options.log} onChange=${(event) => updateParameters({ log: event.target.checked ? "" : "0" })}/> ${t("axis.log")}</label>
    <label><input type="checkbox" checked=${options.logX} onChange=${(event) => updateParameters({ logx: event.target.checked ? "1" : "" })}/> ${t("axis.log.x")}</label>
    <label>${t("smoothing")} <input type="range" min="0" max="0.99" step="0.01" value=${options.smooth}
      onInput=${(event) => updateParameters({ smooth: Number(event.target.value) ? event.target.value : "" })}/> ${options.smooth || 0}</label>
    <button type="button" disabled=${!zoomed} onClick=${() => updateParameters({ from: "", to: "" })}>${t("zoom.out")}</button>
    <span class="hint">${t("zoom.how")}</span></div>`;
}
