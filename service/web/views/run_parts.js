// Around a run's curves: its head and what can be done with it, who executed it, what is kept of it, what happened, its log.
import { absoluteUrl, ActionButton, Ago, DialogButton, escapeInvisible, formatBytes, formatCount, formatNumber, formatSeconds, get, href, html, List, navigate, patch, post, refusal, Said, StateLabel, t, useEffect, useGet, useProject, useRef, useState } from "../lib/page.js";
import { TERMINAL_STATES } from "../lib/run.js";

export function Attempts({ id, attempt, state }) {
  const { value } = useGet(`/v1/runs/${id}/attempts`, [attempt, state]);
  const items = value?.items || [];
  return html`<section><h2>${t("attempts")}</h2>${items.length ? html`<${List} name=${t("attempts")} columns=${["#attempt", "worker", "#from", "ending"]} items=${items} row=${(each) => ({ class: each.cut_step === null ? "" : "superseded" })} cells=${(each) => [each.attempt,
      html`${escapeInvisible(each.worker)}${each.environment?.pack ? html`<br/><small>${t("packed.with", { n: each.environment.pack.runs })}</small>` : null}<${Environment} of=${each.environment}/>`,
      html`${formatCount(each.start_step)}${each.cut_step === null ? "" : html` <small>${t("cut.at", { step: formatCount(each.cut_step) })}</small>`}`,
      html`${escapeInvisible(each.ending || t("state.running"))}${each.detail ? html`<br/><small><${Said} text=${each.detail}/></small>` : null}`]}/>`
    : html`<p class="hint">${t(TERMINAL_STATES.has(state) ? "attempts.never" : "attempts.none")}</p>`}</section>`;
}

// What the attempt ran on: a package, a plug-in's too, with its version.
function Environment({ of }) {
  if (!of) return null;
  const rows = Object.entries(of).flatMap(([name, value]) => (value && typeof value === "object" ? Object.entries(value) : [[name, value]]));
  return html`<details><summary>${t("environment")}</summary><dl>${rows.filter(([, value]) => value !== null)
    .map(([name, value]) => html`<div key=${name}><dt>${escapeInvisible(name)}</dt><dd>${escapeInvisible(String(value))}</dd></div>`)}</dl></details>`;
}

export function Checkpoints({ run, experiment }) {
  const { value } = useGet(`/v1/runs/${run.id}/checkpoints`, [run.checkpoint_step, run.state]);
  const items = (value?.items || []).filter((each) => !each.removed_at);
  return html`<section><h2>${t("tab.checkpoints")}</h2>${items.length ? html`<${List} name=${t("tab.checkpoints")} columns=${["#step", "reason", "#size", "actions"]} items=${items} row=${(each) => ({ class: each.damaged ? "superseded" : "" })} cells=${(each) => [formatCount(each.step),
      `${escapeInvisible(each.reason)}${each.value === null || each.value === undefined ? "" : ` ${formatNumber(each.value)}`}`, formatBytes(each.size_bytes),
      html`<a href=${absoluteUrl(`/v1/runs/${run.id}/checkpoints/${each.step}/tensors.safetensors`)} download>${t("download")}</a>${" "}
        <a href=${absoluteUrl(`/v1/runs/${run.id}/model?step=${each.step}`)} download>${t("model")}</a>
        ${each.damaged ? null : html` <a href=${href(["new"], { fork: run.id, step: each.step })}>${t("fork")}</a>`}`]}/><p><a href=${absoluteUrl(`/v1/runs/${run.id}/card.md`)}>${t("card")}</a>${experiment?.spec.predictions && run.state === "succeeded" ? html` <a href=${absoluteUrl(`/v1/runs/${run.id}/predictions`)} download>${t("reading.predictions")}</a>` : null}</p>`
    : html`<p class="hint">${t(TERMINAL_STATES.has(run.state) ? "checkpoints.never" : "checkpoints.none")}</p>`}</section>`;
}

export function History({ items }) {
  return html`<section><h2>${t("tab.history")}</h2><ol class="history">${items.filter(({ kind }) => kind !== "checkpoint" && kind !== "reading").map((event) => html`<li key=${event.id}>
    <${Ago} at=${event.at}/> <strong>${escapeInvisible(event.data.state || event.kind)}</strong>
    ${Object.entries(event.data).filter(([name, value]) => name !== "state" && typeof value !== "object").map(([name, value]) => html` <small>${escapeInvisible(name)} ${escapeInvisible(value)}</small>`)}</li>`)}</ol></section>`;
}

// The head of a run: what it is, how far it is, how fast, the best it reached, and what can be done with it.
const SPEED = "system/steps_per_s";
const RESULTS = ["val/loss", "loss"]; // whose best value is shown: the first that there is

export function RunTitle({ run, experiment }) {
  const seeds = (experiment?.runs || []).filter((each) => !each.relation || each.id === run.id);
  return html`<h1>${escapeInvisible(experiment?.name || "")} <small>${t("seed", { seed: String(run.seed) })}${run.fold == null ? "" : `, ${t("fold", { fold: String(run.fold) })}`}</small></h1>
    ${seeds.length > 1 ? html`<nav class="seeds" aria-label=${t("seeds.other")}>${seeds.map((each) => html`<a key=${each.id} href=${href(["run", each.id])} aria-current=${each.id === run.id ? "page" : undefined}>${t("seed", { seed: String(each.seed) })}</a>`)}</nav>` : null}`;
}

export function Facts({ run, live, curves }) {
  const { value: attempts } = useGet(`/v1/runs/${run.id}/attempts`, [run.attempt]);
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
    <a href=${href(["experiment", run.experiment_id])}>${t("column.experiment")}</a>
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

// The log of a run: what its worker said, and what the training itself wrote, followed while it goes on.
const SHOWN = 500; // lines; the file has all of them
const EVERY_MS = 1500;
const place = (line) => `${line.attempt}.${line.number}`;

export function RunLog({ run }) {
  const { lines, more, error } = useLog(run.id, TERMINAL_STATES.has(run.state));
  const box = useRef(null);
  const isAtEnd = useRef(true);
  useEffect(() => { if (box.current && isAtEnd.current) box.current.scrollTop = box.current.scrollHeight; }, [lines]);
  const follow = ({ target }) => { isAtEnd.current = target.scrollTop + target.clientHeight > target.scrollHeight - 8; };
  return html`<section class="log">
    ${error ? html`<p class="warnings">${escapeInvisible(error.message)}</p>` : null}
    ${more ? html`<p class="hint">${t("log.newest", { n: formatCount(SHOWN) })}</p>` : null}
    ${lines === null ? html`<p class="empty">${t("loading")}</p>` : lines.length === 0 ? html`<p class="hint">${t("log.none")}</p>`
    : html`<pre class="quoted" tabindex="0" aria-label=${t("tab.log")} ref=${box} onScroll=${follow}>${lines.map((line) => html`<span key=${place(line)} class=${`line ${line.source} ${line.level}`}><time datetime=${line.at} title=${line.at}>${clock(line.at)}</time> ${line.attempt > 1 ? `[${line.attempt}] ` : ""}${line.source === "output" ? "> " : ""}${escapeInvisible(line.text)}</span>`)}</pre>`}
    <p><a href=${absoluteUrl(`/v1/runs/${run.id}/log.txt`)} download>${t("log.file")}</a> <span class="hint">${t("log.marks")}</span></p></section>`;
}

const clock = (at) => new Date(at).toLocaleTimeString([], { hour12: false });

// The newest lines, and those that come while the run goes on.
function useLog(id, over) {
  const [state, setState] = useState({ lines: null, more: false, error: null });
  useEffect(() => setState({ lines: null, more: false, error: null }), [id]);
  useEffect(() => {
    const stop = new AbortController();
    let timer = null;
    let last = null;
    const read = async () => {
      try {
        const query = last ? `cursor=${last}` : "newest=true";
        const { items, next_cursor: next } = await get(`/v1/runs/${id}/log?limit=${SHOWN}&${query}`, { signal: stop.signal });
        const isFirst = last === null;
        if (items.length) last = place(items.at(-1));
        setState(({ lines, more }) => {
          const all = isFirst ? items : [...lines, ...items];
          return { lines: all.slice(-SHOWN), more: more || all.length > SHOWN || (isFirst && items.length === SHOWN), error: null };
        });
        if (next) return read();
      } catch (error) {
        if (stop.signal.aborted) return undefined;
        setState((before) => ({ ...before, error }));
      }
      if (!over) timer = setTimeout(read, EVERY_MS);
      return undefined;
    };
    read();
    return () => { stop.abort(); clearTimeout(timer); };
  }, [id, over]);
  return state;
}
