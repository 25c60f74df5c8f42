// One run: what is found out about it, its curves live, what happened to it, and what can be done with it.
import { AxisChoice, axisOf, RUN_AXES, useAxes, windowOf } from "../lib/axes.js";
import { Boundary } from "../lib/boundary.js";
import { useStepDone } from "../lib/guide.js";
import { escapeInvisible, formatCount, formatNumber, href, html, Pending, Said, t, updateParameters, useEffect, useGet, useMemo, useState, useTitle } from "../lib/page.js";
import { TERMINAL_STATES, useRun } from "../lib/run.js";
import { AsCode, Spec } from "../lib/spec.js";
import { Comments } from "./comments.js";
import { Diagnosis, Headline, useDiagnosis } from "./diagnosis.js";
import { Panel, panels, useBeside } from "./run_curves.js";
import { Actions, Attempts, Checkpoints, Facts, History, RunLog, RunTitle } from "./run_parts.js";

const TABS = ["charts", "diagnosis", "log", "checkpoints", "spec", "history"];
const words = (search, name) => new Set((search.get(name) || "").split(",").filter(Boolean));

export function Run({ path, search, me }) {
  const [id] = path;
  const [from, to] = ["from", "to"].map((name) => search.get(name) || undefined);
  const { run, error, live, tick, curves, refresh } = useRun(id, from, to);
  const { value: experiment } = useGet(run && `/v1/experiments/${run.experiment_id}`);
  const { value: history } = useGet(run && `/v1/runs/${id}/history?limit=200`, [run?.state, run?.attempt, run?.checkpoint_step]);
  const events = history?.items || [];
  const { beside, planned, settled } = useBeside(run, events.filter((event) => event.kind === "cut").length);
  const marks = useMemo(() => (run ? marksOf(run, events) : []), [run?.failure, history]);
  const diagnosis = useDiagnosis(run);
  const news = [...(run?.failure ? ["failure"] : []), ...(planned?.deviates ? ["deviation"] : []), ...(diagnosis.found?.findings || []).map((finding) => finding.id)];
  const deferred = useDeferred(run !== null && settled && Boolean(diagnosis.found || diagnosis.error), news, run !== null && !TERMINAL_STATES.has(run.state));
  const axes = useAxes([id], search.get("x") || "step", `${run?.state} ${run?.checkpoint_step}`);
  const axis = useMemo(() => axisOf(axes?.[id], search.get("x") || "step"), [axes?.[id], search.get("x")]);
  const tab = TABS.includes(search.get("tab")) ? search.get("tab") : TABS[0];
  useStepDone("look", run !== null);
  useTitle(experiment?.name, experiment && t("seed", { seed: String(run.seed) }), experiment && tab !== TABS[0] && t(`tab.${tab}`));
  if (!run) return html`<${Pending} error=${error}/>`;
  const options = {
    log: search.get("log") !== "0", logX: search.get("logx") === "1", smooth: Number(search.get("smooth") || 0),
    axis: axes && RUN_AXES.includes(search.get("x")) ? search.get("x") : "step",
    hidden: words(search, "hide"), shown: words(search, "show"), from, to,
  };
  const ends = Object.values(curves).flatMap(({ x }) => (x.length ? [x[0], x[x.length - 1]] : []));
  const extent = ends.length ? [Math.min(...ends), Math.max(...ends)].map(axis.of) : null;
  const why = html`<${Boundary}><${Diagnosis} run=${run} experiment=${experiment} curves=${curves} tick=${tick} diagnosis=${diagnosis} deferred=${deferred}/></${Boundary}>`;
  const isAside = tab !== "diagnosis" && search.get("why") === "1";
  const views = {
    charts: () => html`<${Controls} options=${options} zoomed=${Boolean(from || to)}/>
      ${planned?.deviates && deferred.shown.includes("deviation") ? html`<${Deviation} checked=${planned.checked}/>` : null}
      ${!deferred.isLaidOut ? html`<p class="empty">${t("loading")}</p>` : Object.keys(curves).length ? html`<div class="panels">${panels(Object.keys(curves)).map(([family, names]) => html`<${Panel} key=${family} family=${family}
        names=${names} curves=${curves} beside=${beside[family]} options=${options} tick=${tick} marks=${marks} axis=${axis} extent=${extent} view=${windowOf(search, axis, run.step)}/>`)}</div>`
      : html`<p class="empty">${run.waiting ? html`<${Said} text=${run.waiting.reason}/>` : t(TERMINAL_STATES.has(run.state) ? "curves.never" : "curves.none")}</p>`}
      ${marks.length ? html`<p class="hint">${t("marks")}</p>` : null}`,
    diagnosis: () => why,
    log: () => html`<${RunLog} run=${run}/>`,
    checkpoints: () => html`<div class="columns"><${Checkpoints} run=${run} experiment=${experiment}/><${Attempts} id=${id} attempt=${run.attempt} state=${run.state}/></div>`,
    spec: () => (experiment ? html`<${AsCode} spec=${experiment.spec}/><${Spec} spec=${experiment.spec}/>` : null),
    history: () => html`<${History} items=${events}/>`,
  };
  return html`<${RunTitle} run=${run} experiment=${experiment}/>
    <${Facts} run=${run} live=${live} curves=${curves}/>${deferred.shown.includes("failure") ? html`<${Failure} run=${run}/>` : null}
    <${Actions} run=${run} experiment=${experiment} refresh=${refresh} me=${me}/>
    <${Headline} diagnosis=${diagnosis}>${tab === "diagnosis" ? null : html`<button type="button" aria-expanded=${String(isAside)} onClick=${() => updateParameters({ why: isAside ? "" : "1" })}>${t("why")}</button>`}</${Headline}>
    <nav class="bar tabs" aria-label=${t("tabs")}>${TABS.map((name) => html`<a key=${name} href=${href(["run", id], { ...Object.fromEntries(search), tab: name === TABS[0] ? "" : name })} aria-current=${name === tab ? "page" : undefined}>${t(`tab.${name}`)}</a>`)}</nav>
    ${views[tab]()}
    ${isAside ? html`<aside class="why" aria-label=${t("tab.diagnosis")}><p class="bar"><button type="button" onClick=${() => updateParameters({ why: "" })}>${t("close")}</button> <a href=${href(["run", id], { tab: "diagnosis" })}>${t("why.whole")}</a></p>${why}</aside>` : null}
    ${experiment && !experiment.shared ? html`<${Comments} experiment=${run.experiment_id} run=${run.id} me=${me}/>` : null}`;
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
  return html`<div class="refusal" role="alert"><p><strong>${escapeInvisible(run.failure.code)}</strong> <${Said} text=${run.failure.detail} code=${`failure.${run.failure.code}`}/></p>
    ${run.failure.evidence ? html`<details><summary>${t("evidence")}</summary><pre class="quoted" tabindex="0">${JSON.stringify(run.failure.evidence, null, 2).split("\n").map(escapeInvisible).join("\n")}</pre></details>` : null}</div>`;
}

function Controls({ options, zoomed }) {
  return html`<div class="bar controls">
    <${AxisChoice} chosen=${options.axis}/>
    <label><input type="checkbox" checked=${options.log} onChange=${(event) => updateParameters({ log: event.target.checked ? "" : "0" })}/> ${t("axis.log")}</label>
    <label><input type="checkbox" checked=${options.logX} onChange=${(event) => updateParameters({ logx: event.target.checked ? "1" : "" })}/> ${t("axis.log.x")}</label>
    <label>${t("smoothing")} <input type="range" min="0" max="0.99" step="0.01" value=${options.smooth}
      onInput=${(event) => updateParameters({ smooth: Number(event.target.value) ? event.target.value : "" })}/> ${options.smooth || 0}</label>
    <button type="button" disabled=${!zoomed} onClick=${() => updateParameters({ from: "", to: "" }, true)}>${t("zoom.out")}</button>
    <span class="hint">${t("zoom.how")}</span></div>`;
}

// Items that arrive after a view is laid out stay hidden until the user reveals them, so that the layout never jumps.
const MAX_WAIT_MS = 1500; // a live view is laid out after this time, complete or not

// `live`: more items may come, so the view waits for at most MAX_WAIT_MS. Returns {isLaidOut, shown, pending, reveal}:
// whether the view can be drawn, the ids to show in their order, the ids that wait, and the function that shows them.
export function useDeferred(ready, ids, live) {
  const [shown, setShown] = useState(null);
  const [timedOut, setTimedOut] = useState(false);
  useEffect(() => {
    if (!live) return undefined;
    const timer = setTimeout(() => setTimedOut(true), MAX_WAIT_MS);
    return () => clearTimeout(timer);
  }, [live]);
  const isLaidOut = shown !== null;
  useEffect(() => {
    if (!isLaidOut && (ready || timedOut)) setShown(ids);
  }, [isLaidOut, ready, timedOut]);
  const pending = isLaidOut ? ids.filter((id) => !shown.includes(id)) : [];
  return { isLaidOut, shown: shown ?? [], pending, reveal: () => setShown([...ids, ...shown.filter((id) => !ids.includes(id))]) };
}
