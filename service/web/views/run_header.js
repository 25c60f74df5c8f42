// The head of a run: what it is, how far it is, how fast, the best it reached, and what can be done with it.
import { ActionButton, DialogButton, escapeInvisible, formatCount, formatNumber, formatSeconds, get, href, html, navigate, patch, post, refusal, StateLabel, t, useProject, useRequest } from "../lib/page.js";
import { TERMINAL_STATES } from "../lib/run.js";

const SPEED = "system/steps_per_s";
const RESULTS = ["val/loss", "loss"]; // whose best value is shown: the first that there is

export function RunTitle({ run, experiment }) {
  const seeds = (experiment?.runs || []).filter((each) => !each.relation || each.id === run.id);
  return html`<h1>${escapeInvisible(experiment?.name || "")} <small>${t("seed", { seed: String(run.seed) })}${run.fold == null ? "" : `, ${t("fold", { fold: String(run.fold) })}`}</small></h1>
    ${seeds.length > 1 ? html`<nav class="seeds" aria-label=${t("seeds.other")}>${seeds.map((each) => html`<a key=${each.id} href=${href(["run", each.id])} aria-current=${each.id === run.id ? "page" : undefined}>${t("seed", { seed: String(each.seed) })}</a>`)}</nav>` : null}`;
}

export function Facts({ run, live, curves }) {
  const { value: attempts } = useRequest((signal) => get(`/v1/runs/${run.id}/attempts`, { signal }), [run.id, run.attempt]);
  const on = attempts?.items.at(-1)?.environment?.device_name;
  const over = TERMINAL_STATES.has(run.state);
  const speed = speedOf(run, curves, over);
  const best = RESULTS.map((name) => ({ name, ...run.series[name] })).find((each) => each.min_step != null);
  return html`<p class="facts row"><${StateLabel} state=${run.displayed}/>${live === undefined ? null : html`<span class=${live ? "live" : "lost"} role="status">${t(live ? "live" : "live.lost")}</span>`}
    <progress max="1" value=${run.progress} aria-label=${t("column.progress")}></progress>
    <span>${t("step.of", { step: formatCount(run.step), total: formatCount(run.total_steps) })}</span>
    ${speed ? html`<span>${t("speed", { n: formatNumber(speed, 3) })}</span>` : null}
    ${run.state === "running" && speed ? html`<span>${t("remaining", { time: formatSeconds((run.total_steps - run.step) / speed) })}</span>` : null}
    ${best ? html`<span>${t("best.at", { name: escapeInvisible(best.name), value: formatNumber(best.min), step: formatCount(best.min_step) })}</span>` : null}
    ${run.worker ? html`<span>${escapeInvisible(run.worker)}${on ? `, ${escapeInvisible(on)}` : ""}</span>` : null}${run.trained_s ? html`<span>${t("trained", { time: formatSeconds(run.trained_s) })}</span>` : null}
    <a href=${href(["experiment", run.experiment_id])}>${t("experiment")}</a>
    ${run.parent_run_id ? html`<a href=${href(["run", run.parent_run_id])}>${t(`relation.${run.relation}`)}</a>` : null}</p>`;
}

// Steps per second: as its worker measured last, and of a run that was too short for that, over all of it.
function speedOf(run, curves, over) {
  const measured = curves[SPEED]?.y.at(-1);
  return measured || (over && run.trained_s ? (run.step - run.origin_step) / run.trained_s : null);
}

export function Actions({ run, experiment, refresh, me }) {
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
