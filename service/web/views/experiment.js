// One experiment: its seeds side by side, its spec with what differs from the defaults, and what can be done with it.
import { AxisChoice, axisOf, RUN_AXES, useAxes, windowOf } from "../lib/axes.js";
import { Chart, Legend, look } from "../lib/chart.js";
import { getColumns, toCurves } from "../lib/columns.js";
import { arePositive, linesOn } from "../lib/curves.js";
import { followProject } from "../lib/api.js";
import { ActionButton, CopyButton, DialogButton, escapeInvisible, formatAge, formatCount, formatNumber, get, href, html, List, NameField, navigate, parseNumber, patch, Pending, post, Prose, queryString, refusal, remove, StateLabel, summarizeResult, t, updateParameters, useEffect, useGet, useMemo, useProject, useRequest, useState, useTitle } from "../lib/page.js";
import { TERMINAL_STATES } from "../lib/run.js";
import { Spec } from "../lib/spec.js";
import { offerUndo } from "../lib/undo.js";
import { Comments } from "./comments.js";
import { SearchFrom } from "./searching.js";

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
  if (!experiment) return html`<${Pending} error=${error}/>`;
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
    <${NameField} value=${opened.name}/>
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
    <a class="button" href=${href(["compare"], { experiments: experiment.id })}>${t("place.compare")}</a>
    <a class="button" href=${href(["new"], { from: experiment.id })}>${t("again")}</a>
    <${SearchFrom} experiment=${experiment} disabled=${experiment.shared || me.level === "read"}/>
    <${CopyButton} text=${JSON.stringify(experiment.spec, null, 2)} label=${t("copy.json")}/>
    <${DialogButton} button=${t("labels")} disabled=${fixed} title=${t("labels")} label=${t("save")} act=${write}>
      <${Labels} experiment=${experiment}/></${DialogButton}>
    <${DialogButton} button=${t("cancel")} disabled=${!moving || fixed} kind="danger" title=${t("cancel.title", { n: 1 })} label=${t("cancel.yes")} act=${act("cancel")}><p>${t("cancel.text")}</p></${DialogButton}>
    <${ActionButton} label=${experiment.archived_at ? t("restore") : t("archive")} act=${act(experiment.archived_at ? "restore" : "archive")} disabled=${fixed}/>
    <${Places} experiment=${experiment} fixed=${fixed} moving=${moving}/>
    <${DialogButton} button=${t("delete")} disabled=${moving || fixed} kind="danger" title=${t("delete.title", { n: 1 })} label=${t("delete.yes", { n: 1 })}
      act=${async () => { await remove(place); navigate(["experiments"]); offerUndo([experiment.id], () => navigate(["experiment", experiment.id])); }}><p>${t("delete.text")}</p><ul><li>${escapeInvisible(experiment.name)}</li></ul></${DialogButton}>
    ${refused ? html`<span class="hint">${refused}</span>` : null}</div>`;
}

// Into another project, or open to its eyes.
function Places({ experiment, fixed, moving }) {
  const place = `/v1/experiments/${experiment.id}`;
  const { value, again } = useGet(experiment.shared ? null : `${place}/shares`);
  const shares = value?.items || [];
  const share = async (verb, project) => { await post(`${place}/${verb}`, { project }); again(); };
  const name = html`<${NameField} label=${t("move.to")} name="project"/>`;
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
  const name = RUN_AXES.includes(search.get("x")) ? search.get("x") : "step";
  const axes = useAxes(shown.map((run) => run.id), name, tick);
  const axis = useMemo(() => axisOf(axes?.[shown[0]?.id], axes ? name : "step"), [axes && JSON.stringify(axes[shown[0]?.id]), name]);
  const { from, to, ...view } = windowOf(search, axis, Math.max(...shown.map((run) => run.step)));
  const { value: message } = useGet(key && `/v1/series${queryString({ runs: key, names: series, points: 400, from, to })}`, [tick], getColumns);
  const { x, lines } = useMemo(() => (message ? linesOf(message, shown, axes && name !== "step" ? (id) => axisOf(axes[id], name) : null) : { lines: [] }), [message, JSON.stringify(axes), name]);
  if (!lines.length) return null;
  return html`<section class="panel"><h2><label class="hidden" for="series">${t("series")}</label><select id="series" value=${series} onChange=${(event) => updateParameters({ series: event.target.value })}>
    ${names.map((each) => html`<option value=${each}>${escapeInvisible(each)}</option>`)}</select>
    <${AxisChoice} chosen=${name}/></h2>
    <${Chart} x=${x} lines=${lines} logY=${series.endsWith("loss") && arePositive(lines)} xLabel=${t(`choice.${name}`)} height=${240} ...${view} label=${t("chart.of", { name: escapeInvisible(series) })}/>
    <${Legend} lines=${lines}/></section>`;
}

function linesOf(message, shown, axisFor) {
  const seed = (id) => String(shown.find((run) => run.id === id)?.seed);
  return linesOn(toCurves(message).map(({ run_id: id, curve: { x, y, bad } }, index) => ({ curve: { x: axisFor ? Float64Array.from(x, axisFor(id).of) : x, y, bad }, label: t("seed", { seed: seed(id) }), ...look(index) })));
}

// Of the series that the server ranks by; a run that diverged, failed or was cancelled has no value.
function valuesOf(run, main) {
  const none = run.diverged || ["failed", "cancelled"].includes(run.state);
  const found = (!none && main && run.series[main.series]) || {};
  return { last: found.final ?? found.last, best: main?.direction === "max" ? found.max : found.min };
}

function Runs({ runs, main }) {
  return html`<section><h2>${t("column.runs")}</h2>${main ? html`<p class="hint">${summarizeResult(main)}</p>` : null}<${List} name=${t("column.runs")} columns=${["run", "#seed", "state", "#progress", "#last", "#best", "worker"]} items=${runs} row=${({ id }) => ({ tabindex: 0, "data-row": `run/${id}` })} cells=${(run) => {
    const { last, best } = valuesOf(run, main);
    return [html`<a href=${href(["run", run.id])}><code>${run.id.slice(-8)}</code></a>${run.relation ? html` <small>${t(`relation.${run.relation}`)}</small>` : null}`,
      html`${run.seed}${run.fold == null ? null : html` <small>${t("fold", { fold: String(run.fold) })}</small>`}`, html`<${StateLabel} state=${run.displayed}/>`,
      html`<progress max="1" value=${run.progress} aria-label=${t("column.progress")}></progress> ${formatCount(run.step)}`, formatNumber(parseNumber(last)), formatNumber(parseNumber(best)), escapeInvisible(run.worker || "–")];
  }}/></section>`;
}
