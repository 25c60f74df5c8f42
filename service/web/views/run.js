// One run: its curves live, what happened to it, and what can be done with it.
import { html, useEffect, useMemo, useRef, useState } from "../lib/html.js";
import { get, patch, post, query } from "../lib/api.js";
import { adjust, go, href } from "../lib/address.js";
import { Chart, Legend, colour, dash } from "../lib/chart.js";
import { aligned, curveOf, drop, extend } from "../lib/curves.js";
import { count, figure, seconds, visible } from "../lib/format.js";
import { follow } from "../lib/live.js";
import { Action, Problems, State, useAsked } from "../lib/parts.js";
import { smooth } from "../lib/smooth.js";
import { Spec } from "../lib/spec.js";
import { t } from "../lib/words.js";
import { Attempts, Checkpoints, History } from "./run_parts.js";
import { AsCode } from "./as_code.js";

const POINTS = 1200;
const LOSSES = (name) => name === "loss" || name.endsWith("/loss");
const RATES = (name) => name === "lr" || name.startsWith("lr/");

// What is drawn together: losses, rates, and each other family of names on its own.
export function panels(names) {
  const groups = new Map();
  for (const name of names) {
    const family = LOSSES(name) ? "loss" : RATES(name) ? "lr" : name.startsWith("system/") ? "system" : name.split("/").pop();
    groups.set(family, [...(groups.get(family) || []), name]);
  }
  const order = ["loss", "accuracy", "lr", "grad_norm"];
  const place = (family) => (order.indexOf(family) + 1 || order.length + 1);
  return [...groups].sort(([one], [other]) => place(one) - place(other) || one.localeCompare(other));
}

// The run, and its curves: asked for whole, then longer by what is streamed; asked for again when the window changes.
function useRun(id, from, to) {
  const [run, setRun] = useState(null);
  const [error, setError] = useState(null);
  const [live, setLive] = useState(false);
  const [tick, setTick] = useState(0);
  const curves = useRef({});
  const latest = useRef(null);
  const refresh = () => get(`/v1/runs/${id}`).then((found) => { latest.current = found; setRun(found); }, setError);
  useEffect(() => {
    const control = new AbortController();
    const load = async () => {
      try {
        const found = await get(`/v1/runs/${id}`, { signal: control.signal });
        latest.current = found;
        if (Object.keys(found.series).length) {
          const answer = await get(`/v1/runs/${id}/series${query({ points: POINTS, from, to })}`, { signal: control.signal });
          curves.current = Object.fromEntries(Object.entries(answer.series).map(([name, view]) => [name, curveOf(view)]));
        }
        setRun(found);
      } catch (refusal) {
        if (refusal.name !== "AbortError") setError(refusal);
      }
    };
    load();
    return () => control.abort();
  }, [id, from, to]);
  const known = run !== null;
  const over = run && ["succeeded", "failed", "cancelled"].includes(run.state);
  useEffect(() => {
    if (!known || over) return undefined;
    let waiting = false;
    const redraw = () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; setTick((n) => n + 1); });
    };
    return follow(`/v1/runs/${id}/events?from=latest`, {
      points: (data) => {
        for (const [name, columns] of Object.entries(data.series)) {
          if (to) continue; // a closed window does not grow
          if (!curves.current[name]) curves.current[name] = curveOf({ step: [], value: [] });
          extend(curves.current[name], columns);
          const step = columns.step[columns.step.length - 1];
          if (latest.current && step > latest.current.step) {
            latest.current = { ...latest.current, step, progress: Math.min(step / latest.current.total_steps, 1) };
            setRun(latest.current);
          }
        }
        redraw();
      },
      cut: (data) => { Object.values(curves.current).forEach((curve) => drop(curve, data.from_step)); redraw(); },
      other: refresh,
      state: refresh,
      end: refresh,
      lost: () => setLive(false),
      back: () => setLive(true),
    });
  }, [id, known, over, to]);
  return { run, error, live: live && !over, tick, curves: curves.current, refresh };
}

export function Run({ path, search }) {
  const [id] = path;
  const from = search.get("from") || undefined;
  const to = search.get("to") || undefined;
  const { run, error, live, tick, curves, refresh } = useRun(id, from, to);
  const { value: experiment } = useAsked((signal) => (run ? get(`/v1/experiments/${run.experiment_id}`, { signal }) : Promise.resolve(null)), [run?.experiment_id]);
  const { value: history } = useAsked((signal) => (run ? get(`/v1/runs/${id}/history?limit=200`, { signal }) : Promise.resolve(null)), [id, run?.state, run?.attempt, run?.checkpoint_step]);
  if (error && !run) return html`<${Problems} error=${error}/>`;
  if (!run) return html`<p class="empty">${t("loading")}</p>`;
  const options = { log: search.get("log") !== "0", smooth: Number(search.get("smooth") || 0), hidden: new Set((search.get("hide") || "").split(",").filter(Boolean)) };
  const zoom = (low, high) => adjust({ from: String(Math.max(0, Math.floor(low))), to: String(Math.ceil(high)) });
  const marks = (history?.items || []).flatMap((event) => markOf(event));
  return html`<h1>${visible(experiment?.name || "")} <small>${t("seed", { seed: String(run.seed) })}</small></h1>
    <p class="facts"><${State} state=${run.displayed}/> ${live ? html`<span class="live" role="status">${t("live")}</span>` : null}
      <progress max="1" value=${run.progress} aria-label=${t("column.progress")}></progress>
      ${t("step.of", { step: count(run.step), total: count(run.total_steps) })} ·
      ${run.worker ? visible(run.worker) : "–"} · ${t("trained", { time: seconds(run.trained_s) })} ·
      <a href=${href(["experiment", run.experiment_id])}>${t("experiment")}</a>
      ${run.parent_run_id ? html` · <a href=${href(["run", run.parent_run_id])}>${t(`relation.${run.relation}`)}</a>` : null}</p>
    <${Failure} run=${run}/>
    <${Actions} run=${run} experiment=${experiment} refresh=${refresh}/>
    <${Controls} options=${options} zoomed=${Boolean(from || to)}/>
    ${Object.keys(run.series).length || Object.keys(curves).length ? panels(Object.keys(curves)).map(([family, names]) => html`<${Panel} key=${family} family=${family}
      names=${names} curves=${curves} options=${options} tick=${tick} marks=${marks} zoom=${zoom}/>`)
    : html`<p class="empty">${run.waiting ? visible(run.waiting.reason || "") : t("curves.none")}</p>`}
    <div class="columns"><${Attempts} id=${id} attempt=${run.attempt} state=${run.state}/><${Checkpoints} run=${run}/><${History} items=${history?.items || []}/></div>
    ${experiment ? html`<${AsCode} spec=${experiment.spec}/><${Spec} spec=${experiment.spec}/>` : null}`;
}

function markOf({ kind, data }) {
  if (kind === "checkpoint") return [{ x: data.step, kind }];
  if (kind === "cut") return [{ x: data.from_step, kind }];
  return [];
}

function Failure({ run }) {
  if (!run.failure) return null;
  return html`<div class="refusal" role="alert"><p><strong>${visible(run.failure.code)}</strong> ${visible(run.failure.detail)}</p>
    ${run.failure.evidence ? html`<details><summary>${t("evidence")}</summary><pre>${visible(JSON.stringify(run.failure.evidence, null, 2))}</pre></details>` : null}</div>`;
}

function Actions({ run, experiment, refresh }) {
  const over = ["succeeded", "failed", "cancelled"].includes(run.state);
  const act = (action, body) => async () => { await post(`/v1/runs/${run.id}/${action}`, body); await refresh(); };
  const follower = (action, body) => async () => {
    const made = await post(`/v1/runs/${run.id}/${action}`, body);
    go(["run", made.id]);
  };
  return html`<div class="bar">
    ${!over && run.state !== "paused" ? html`<${Action} label=${t("pause")} act=${act("pause")}/>` : null}
    ${run.state === "paused" || run.displayed === "pausing" ? html`<${Action} label=${t("resume")} act=${act("resume")}/>` : null}
    ${over ? null : html`<${Action} label=${t("cancel")} confirm=${t("cancel.sure", { n: 1 })} act=${act("cancel")}/>`}
    ${run.state === "queued" ? html`<${Action} label=${t("first")} act=${async () => { await patch(`/v1/runs/${run.id}`, { priority: Math.min((run.priority || 0) + 10, 100) }); await refresh(); }}/>` : null}
    ${["failed", "cancelled"].includes(run.state) ? html`<${Action} label=${t("retry")} act=${follower("retry", {})}/>` : null}
    ${run.step > 0 ? html`<${Action} label=${t("replay")} act=${follower("replay", {})}/>` : null}
    ${experiment && run.checkpoint_step > 0 ? html`<a class="button" href=${href(["new"], { fork: run.id, step: run.checkpoint_step })}>${t("fork")}</a>` : null}
  </div>`;
}

function Controls({ options, zoomed }) {
  return html`<div class="bar controls">
    <label><input type="checkbox" checked=${options.log} onChange=${(event) => adjust({ log: event.target.checked ? "" : "0" })}/> ${t("axis.log")}</label>
    <label>${t("smoothing")} <input type="range" min="0" max="0.99" step="0.01" value=${options.smooth}
      onInput=${(event) => adjust({ smooth: Number(event.target.value) ? event.target.value : "" })}/> ${options.smooth || 0}</label>
    <button type="button" disabled=${!zoomed} onClick=${() => adjust({ from: "", to: "" })}>${t("zoom.out")}</button>
    <span class="hint">${t("zoom.how")}</span></div>`;
}

function Panel({ family, names, curves, options, tick, marks, zoom }) {
  const [cursor, setCursor] = useState(null);
  const shown = names.filter((name) => !options.hidden.has(name) && curves[name]);
  const [x, lines] = useMemo(() => linesOf(shown, curves, options.smooth), [shown.join(), options.smooth, tick, curves]);
  const positive = lines.every((line) => line.y.every((value) => value === null || value === undefined || value > 0));
  const log = options.log && positive && (family === "loss" || family === "grad_norm");
  const toggle = (name) => {
    const after = new Set(options.hidden);
    if (!after.delete(name)) after.add(name);
    adjust({ hide: [...after].join(",") });
  };
  const legend = names.map((name, index) => ({ label: name, colour: colour(index), dash: dash(index) }));
  return html`<section class="panel"><h2>${visible(family)}</h2>
    <${Chart} x=${x} lines=${lines} logY=${log} xLabel=${t("axis.step")} height=${family === "loss" ? 320 : 180} marks=${marks}
      onZoom=${zoom} onReset=${() => adjust({ from: "", to: "" })} onCursor=${setCursor} label=${t("chart.of", { name: visible(family) })}/>
    <${Legend} lines=${legend} hidden=${options.hidden} onToggle=${toggle}/>
    <p class="readout" aria-live="off">${cursor === null || cursor === undefined || x[cursor] === undefined ? " "
    : `${t("axis.step")} ${count(x[cursor])}: ${lines.filter((line) => !line.faint).map((line) => `${line.label} ${figure(line.y[cursor])}`).join("  ")}`}</p></section>`;
}

function linesOf(shown, curves, weight) {
  const own = shown.map((name) => curves[name]);
  const [x, ...ys] = aligned(own);
  const dense = (name) => curves[name].x.length * 4 > x.length;
  const lines = shown.flatMap((name, index) => {
    const base = { label: name, colour: colour(index), dash: dash(index), points: !dense(name) };
    const whole = curves[name].x.length === x.length;
    const raw = { ...base, y: ys[index], bad: whole ? curves[name].bad : null, lo: whole ? curves[name].lo : null, hi: whole ? curves[name].hi : null };
    if (!weight || !dense(name)) return [raw];
    return [{ ...raw, faint: true, lo: null, hi: null, label: `${name} raw` }, { ...base, y: smooth(ys[index], weight) }];
  });
  return [x, lines];
}
