// One experiment: its seeds side by side, its spec with what differs from the defaults, and what can be done with it.
import { axisOf, RUN_AXES, useAxes } from "../lib/axes.js";
import { Chart, Legend, look } from "../lib/chart.js";
import { getColumns, toCurves } from "../lib/columns.js";
import { alignCurves, placeOnAxis } from "../lib/curves.js";
import { followProject } from "../lib/live.js";
import { ActionButton, CopyButton, DialogButton, escapeInvisible, formatAge, formatCount, formatNumber, get, href, html, navigate, parseNumber, patch, post, Problems, Prose, queryString, refusal, remove, StateLabel, summarizeResult, t, updateParameters, useEffect, useMemo, useProject, useRequest, useState, useTitle } from "../lib/page.js";
import { TERMINAL_STATES } from "../lib/run.js";
import { Spec } from "../lib/spec.js";
import { readTable, TableExport } from "../lib/table_export.js";
import { offerUndo } from "../lib/undo.js";
import { Comments } from "./comments.js";
import { SearchFrom } from "./search_from.js";

const SHOWN = 20; // seeds drawn as lines of their own
const PATIENCE_MS = 700;

// Grows when the stream tells of one of the experiment's runs, at most once in a while.
function useNews(id) {
  const [tick, set] = useState(0);
  useEffect(() => {
    let timer = 0;
    const heard = (event) => {
      if (event.experiment_id !== id || timer) return;
      timer = setTimeout(() => { timer = 0; set((n) => n + 1); }, PATIENCE_MS);
    };
    const end = followProject({ run: heard, runs: ({ runs }) => runs.forEach(heard), reset: () => set((n) => n + 1) });
    return () => { end(); clearTimeout(timer); };
  }, [id]);
  return [tick, () => set((n) => n + 1)];
}

export function Experiment({ path, search, me }) {
  const [tick, again] = useNews(path[0]);
  const { value: experiment, error } = useRequest((signal) => get(`/v1/experiments/${path[0]}`, { signal }), [path[0], tick]);
  useTitle(experiment?.name);
  if (error && !experiment) return html`<${Problems} error=${error}/>`;
  if (!experiment) return html`<p class="empty">${t("loading")}</p>`;
  return html`<h1>${escapeInvisible(experiment.name)} ${experiment.tags.map((tag) => html`<span class="tag">${escapeInvisible(tag)}</span>`)}</h1>
    <p class="facts">${escapeInvisible(experiment.owner)} · ${formatAge(experiment.created_at)} · <code>${experiment.hash.slice(0, 12)}</code>${experiment.archived_at ? ` · ${t("archived")}` : ""}${experiment.shared ? ` · ${t("shared.by", { project: escapeInvisible(experiment.project) })}` : ""}</p>
    ${experiment.notes ? html`<p class="notes"><${Prose} text=${experiment.notes}/></p>` : null}
    <${Actions} experiment=${experiment} again=${again} me=${me}/>
    <${Seeds} runs=${experiment.runs} series=${search.get("series") || experiment.main?.series || "loss"} search=${search} tick=${tick}/>
    <${Runs} runs=${experiment.runs} main=${experiment.main}/>
    ${experiment.shared ? null : html`<${Comments} experiment=${experiment.id} me=${me}/>`}
    <${Spec} spec=${experiment.spec}/>`;
}

// What can be written on an experiment, as it was when the dialog opened: its ETag refuses to overwrite what is newer.
function Labels({ experiment }) {
  const [opened] = useState(experiment);
  return html`<input type="hidden" name="etag" value=${opened.etag}/>
    <label>${t("column.name")} <input type="text" name="name" value=${opened.name} required maxlength="128"/></label>
    <label>${t("tags")} <input type="text" name="tags" value=${opened.tags.join(", ")}/></label>
    <label>${t("notes")} <textarea name="notes" rows="4" maxlength="4096">${opened.notes}</textarea></label>`;
}

function Actions({ experiment, again, me }) {
  const refused = refusal(me, experiment.owner, useProject(), experiment.shared);
  const fixed = Boolean(refused);
  const place = `/v1/experiments/${experiment.id}`;
  const moving = experiment.runs.some((run) => !TERMINAL_STATES.has(run.state));
  const act = (action) => async () => { await post(`${place}/${action}`); again(); };
  const write = async (form) => {
    const tags = form.get("tags").split(",").map((word) => word.trim()).filter(Boolean);
    try {
      await patch(place, { name: form.get("name"), tags, notes: form.get("notes") }, { headers: { "If-Match": form.get("etag") } });
    } finally {
      again(); // also after a refusal because somebody else changed it
    }
  };
  return html`<div class="bar">
    <a class="button" href=${href(["compare"], { experiments: experiment.id })}>${t("compare")}</a>
    <a class="button" href=${href(["new"], { from: experiment.id })}>${t("again")}</a>
    <${SearchFrom} experiment=${experiment} disabled=${experiment.shared || me.level === "read"}/>
    <${CopyButton} text=${JSON.stringify(experiment.spec, null, 2)} label=${t("copy.json")}/>
    <${DialogButton} button=${t("labels")} disabled=${fixed} title=${t("labels")} label=${t("save")} act=${write}>
      <${Labels} experiment=${experiment}/></${DialogButton}>
    <${DialogButton} button=${t("cancel")} disabled=${!moving || fixed} kind="danger" title=${t("cancel.title", { n: 1 })} label=${t("cancel.yes")} act=${act("cancel")}><p>${t("cancel.text")}</p></${DialogButton}>
    <${ActionButton} label=${experiment.archived_at ? t("unarchive") : t("archive")} act=${act(experiment.archived_at ? "unarchive" : "archive")} disabled=${fixed}/>
    <${Places} experiment=${experiment} fixed=${fixed} moving=${moving}/>
    <${DialogButton} button=${t("delete")} disabled=${moving || fixed} kind="danger" title=${t("delete.title", { n: 1 })} label=${t("delete.yes", { n: 1 })}
      act=${async () => { await remove(place); navigate(["experiments"]); offerUndo([experiment.id], () => navigate(["experiment", experiment.id])); }}><p>${t("delete.text")}</p><ul><li>${escapeInvisible(experiment.name)}</li></ul></${DialogButton}>
    ${refused ? html`<span class="hint">${refused}</span>` : null}</div>`;
}

// Into another project, or open to its eyes.
function Places({ experiment, fixed, moving }) {
  const place = `/v1/experiments/${experiment.id}`;
  const [round, again] = useState(0);
  const { value } = useRequest((signal) => (experiment.shared ? Promise.resolve(null) : get(`${place}/shares`, { signal })), [experiment.id, round]);
  const shares = value?.items || [];
  const share = async (verb, project) => { await post(`${place}/${verb}`, { project }); again((n) => n + 1); };
  const name = html`<label>${t("move.to")} <input type="text" name="project" required maxlength="128" autofocus/></label>`;
  return html`<${DialogButton} button=${t("move")} disabled=${moving || fixed} title=${t("move.title")} label=${t("move")}
      act=${async (form) => { await post(`${place}/move`, { project: form.get("project") }); navigate(["experiments"]); }}><p>${t("move.text")}</p>${name}</${DialogButton}>
    <${DialogButton} button=${t("share")} disabled=${fixed} title=${t("share.title")} label=${t("share")} act=${(form) => share("share", form.get("project"))}><p>${t("share.text")}</p>${name}
      ${shares.length ? html`<p>${t("share.with", { names: shares.map((each) => escapeInvisible(each.project)).join(", ") })}</p>` : null}</${DialogButton}>
    ${fixed ? null : shares.map((each) => html`<${ActionButton} key=${each.project} label=${t("unshare", { name: escapeInvisible(each.project) })} act=${() => share("unshare", each.project)}/>`)}`;
}

function Seeds({ runs, series, search, tick }) {
  const names = [...new Set(runs.flatMap((run) => Object.keys(run.series)))].sort();
  const shown = runs.filter((run) => run.series[series]).slice(0, SHOWN);
  const key = shown.map((run) => run.id).join();
  const [from, to] = [search.get("from") || undefined, search.get("to") || undefined]; // steps, whatever the axis
  const { value: message } = useRequest((signal) => (key ? getColumns(`/v1/series${queryString({ runs: key, names: series, points: 400, from, to })}`, { signal }) : Promise.resolve(null)), [key, series, from, to, tick]);
  const name = RUN_AXES.includes(search.get("x")) ? search.get("x") : "step";
  const axes = useAxes(shown.map((run) => run.id), name, tick);
  const axis = useMemo(() => axisOf(axes?.[shown[0]?.id], axes ? name : "step"), [axes && JSON.stringify(axes[shown[0]?.id]), name]);
  const [x, lines] = useMemo(() => (message ? linesOf(message, shown, axes && name !== "step" ? (id) => axisOf(axes[id], name) : null) : [[], []]), [message, JSON.stringify(axes), name]);
  const range = from || to ? [Number(from || 0), Number(to ?? x[x.length - 1])].map(axis.of) : null;
  const zoom = (low, high) => updateParameters({ from: String(Math.max(0, Math.floor(axis.steps(low)))), to: String(Math.ceil(axis.steps(high))) }, true);
  if (!lines.length) return null;
  const log = lines.every((line) => line.y.every((value) => value === null || value === undefined || value > 0)) && series.endsWith("loss");
  return html`<section class="panel"><h2><label class="hidden" for="series">${t("series")}</label><select id="series" value=${series} onChange=${(event) => updateParameters({ series: event.target.value })}>
    ${names.map((each) => html`<option value=${each}>${escapeInvisible(each)}</option>`)}</select>
    <label>${t("axis")} <select value=${name} onChange=${(event) => updateParameters({ x: event.target.value === "step" ? "" : event.target.value })}>${RUN_AXES.map((each) => html`<option value=${each}>${t(`choice.${each}`)}</option>`)}</select></label></h2>
    <${Chart} x=${x} lines=${lines} logY=${log} xLabel=${t(`choice.${name}`)} height=${240} range=${range} onZoom=${zoom} onReset=${() => updateParameters({ from: "", to: "" }, true)} label=${t("chart.of", { name: escapeInvisible(series) })}/>
    <${Legend} lines=${lines}/></section>`;
}

function linesOf(message, shown, axisFor) {
  const curves = toCurves(message).map(({ curve, ...rest }) => ({ ...rest, curve: axisFor ? { ...curve, x: Float64Array.from(curve.x, axisFor(rest.run_id).of) } : curve }));
  const [x, ...ys] = alignCurves(curves.map(({ curve }) => curve));
  const seed = (id) => String(shown.find((run) => run.id === id)?.seed);
  return [x, ys.map((y, index) => ({ label: t("seed", { seed: seed(curves[index].run_id) }), y, points: x.length < 40, bad: curves[index].curve.bad && placeOnAxis(curves[index].curve.x, x, curves[index].curve.bad), ...look(index) }))];
}

// Of the series that the server ranks by; a run that diverged, failed or was cancelled has no value.
function valuesOf(run, main) {
  const none = run.diverged || ["failed", "cancelled"].includes(run.state);
  const found = (!none && main && run.series[main.series]) || {};
  return { last: found.final ?? found.last, best: main?.direction === "max" ? found.max : found.min };
}

function Runs({ runs, main }) {
  return html`<section><h2 class="heading">${t("column.runs")}<${TableExport} name=${t("column.runs")} read=${(button) => readTable(button.closest("section"))}/></h2>${main ? html`<p class="hint">${summarizeResult(main)}</p>` : null}<div class="scroll"><table class="list"><thead><tr>
    ${["run", "seed", "state", "progress", "last", "best", "worker"].map((word) => html`<th scope="col">${t(`column.${word}`)}</th>`)}</tr></thead>
    <tbody>${runs.map((run) => {
    const values = valuesOf(run, main);
    return html`<tr key=${run.id} tabindex="0" data-row=${`run/${run.id}`}>
      <td><a href=${href(["run", run.id])}><code>${run.id.slice(-8)}</code></a>${run.relation ? html` <small>${t(`relation.${run.relation}`)}</small>` : null}</td><td class="number">${run.seed}${run.fold == null ? null : html` <small>${t("fold", { fold: String(run.fold) })}</small>`}</td>
      <td><${StateLabel} state=${run.displayed}/></td>
      <td class="number"><progress max="1" value=${run.progress} aria-label=${t("column.progress")}></progress> ${formatCount(run.step)}</td>
      <td class="number">${formatNumber(parseNumber(values.last))}</td><td class="number">${formatNumber(parseNumber(values.best))}</td><td>${escapeInvisible(run.worker || "–")}</td></tr>`;
  })}</tbody></table></div></section>`;
}
