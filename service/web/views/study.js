// One study: the best so far and how sure, what it cost, what to do next, and its trials in pictures and as a table.
import { ActionButton, CopyButton, DialogButton, escapeInvisible, formatCount, formatNumber, formatSeconds, get, href, html, navigate, post, Problems, Prose, queryString, remove, StateLabel, t, useInterval, useRequest, useState, useTitle } from "../lib/page.js";
import { wordOf } from "../lib/scatter.js";
import { offerUndo } from "../lib/undo.js";
import { outcomesOf } from "./studies.js";
import { Duel, Importance } from "./study_analysis.js";
import { around, nameOf, ParallelTrials, Progress, Rungs, Slices, TrialTable } from "./study_charts.js";
import { ContourTrials } from "./study_contour.js";
import { TrialCurves } from "./study_curves.js";

const LOOK_MS = 2500;
const PAGES = 20;
const OVER = new Set(["finished", "stopped", "failed"]);

async function allTrials(id, signal) {
  let items = [];
  let cursor;
  for (let page = 0; page < PAGES; page += 1) {
    const answer = await get(`/v1/studies/${id}/trials${queryString({ limit: 1000, cursor })}`, { signal });
    items = [...items, ...answer.items];
    cursor = answer.next_cursor;
    if (!cursor) break;
  }
  return items;
}

export function StudyPage({ path, me }) {
  const [id] = path;
  const [tick, setTick] = useState(0);
  const { value: study, error } = useRequest((signal) => get(`/v1/studies/${id}`, { signal }), [id, tick]);
  useTitle(study?.name);
  const isOpen = !study || !OVER.has(study.state) || study.confirmation?.state === "running";
  useInterval(LOOK_MS, () => isOpen && setTick((n) => n + 1), [isOpen]);
  const news = study && JSON.stringify([study.state, study.trials]); // the trials are long, and change with these
  const { value: found, error: failure } = useRequest((signal) => (news ? Promise.all([allTrials(id, signal), get(`/v1/studies/${id}/analysis`, { signal })]) : Promise.resolve(null)), [id, news]);
  if (!found && (error || failure)) return html`<${Problems} error=${error || failure}/>`;
  if (!study || !found) return html`<p class="empty">${t("loading")}</p>`;
  const [trials, analysis] = found;
  const again = () => setTick((n) => n + 1);
  return html`<h1>${escapeInvisible(study.name)}</h1>
    <p class="facts row"><${StateLabel} state=${study.state}/><span>${outcomesOf(study.trials)}</span><span>${t("study.objective", { figure: t(`choice.${study.document.objective.figure}`), series: escapeInvisible(study.series), direction: t(`study.${study.direction}`) })}</span>
      <span>${escapeInvisible(study.document.sampler.kind)}, ${escapeInvisible(study.document.pruner.kind)}</span><a href=${href(["experiments"], { filter: `study = ${study.id}` })}>${t("place.experiments")}</a>${study.cloned_from ? html`<a href=${href(["study", study.cloned_from])}>${t("study.cloned")}</a>` : null}</p>
    ${study.why ? html`<p class="warnings"><${Prose} text=${study.why}/></p>` : null}
    <${Commands} study=${study} me=${me} again=${again}/>
    <${Budget} budget=${study.budget}/>
    <${Best} study=${study} me=${me} again=${again}/>
    ${study.confirmation ? html`<${Confirmation} found=${study.confirmation} series=${study.series}/>` : null}
    <${Duel} found=${analysis} series=${study.series}/>
    <div class="panels"><${Progress} trials=${trials} study=${study}/><${Importance} found=${analysis} space=${study.document.space}/><${Slices} trials=${trials} study=${study}/><${ContourTrials} trials=${trials} study=${study} analysis=${analysis}/><${TrialCurves} trials=${trials} study=${study}/><${Rungs} trials=${trials} study=${study}/><${ParallelTrials} trials=${trials} study=${study}/></div>
    <${TrialTable} trials=${trials} study=${study}/>`;
}

function Commands({ study, me, again }) {
  const looks = me.level === "read";
  const act = (action, body) => async () => { await post(`/v1/studies/${study.id}/${action}`, body); again(); };
  const extend = async (form) => {
    const given = Object.fromEntries(["trials", "steps", "device_seconds"].map((name) => [name, Number(form.get(name))]).filter(([, n]) => n > 0));
    await act("extend", given)();
  };
  const toBin = async () => {
    await remove(`/v1/studies/${study.id}`);
    navigate(["studies"]);
    offerUndo([study.id], () => navigate(["study", study.id]), "studies");
  };
  const clone = async () => navigate(["study", (await post(`/v1/studies/${study.id}/clone`, {})).id]);
  return html`<div class="bar">
    ${study.state === "running" ? html`<${ActionButton} label=${t("pause")} act=${act("pause")} disabled=${looks}/>` : null}
    ${study.state === "paused" ? html`<${ActionButton} label=${t("resume")} act=${act("resume")} disabled=${looks}/>` : null}
    ${OVER.has(study.state) ? null : html`<${DialogButton} button=${t("study.stop")} disabled=${looks} kind="danger" title=${t("study.stop.title")} label=${t("study.stop")} act=${act("stop")}><p>${t("study.stop.text")}</p></${DialogButton}>`}
    <${DialogButton} button=${t("study.extend")} disabled=${looks} title=${t("study.extend.title")} label=${t("study.extend")} act=${extend}>
      ${["trials", "steps", "device_seconds"].filter((name) => study.budget[name].limit !== null).map((name) => html`<p key=${name}><label>${t(`budget.${name}`)} <input type="number" name=${name} min="1"/></label></p>`)}</${DialogButton}>
    <${ActionButton} label=${t("study.clone")} act=${clone} disabled=${looks}/>
    ${OVER.has(study.state) ? html`<${DialogButton} button=${t("delete")} disabled=${looks} kind="danger" title=${t("study.delete.title")} label=${t("delete.yes.one")} act=${toBin}><p>${t("study.delete.text")}</p></${DialogButton}>` : null}</div>`;
}

// How much of each limit is used, and what the pruned trials saved.
function Budget({ budget }) {
  const said = { trials: formatCount, steps: formatCount, device_seconds: formatSeconds };
  return html`<dl class="estimate">${Object.entries(said).map(([name, say]) => html`<div key=${name}><dt>${t(`budget.${name}`)}</dt><dd>${say(budget[name].used)}${budget[name].limit === null ? "" : html` <small>${t("budget.of", { limit: say(budget[name].limit) })}</small> <progress max=${budget[name].limit} value=${budget[name].used} aria-label=${t(`budget.${name}`)}></progress>`}</dd></div>`)}
    ${budget.saved_steps ? html`<div><dt>${t("budget.saved")}</dt><dd>${t("budget.saved.steps", { n: formatCount(budget.saved_steps) })}</dd></div>` : null}</dl>`;
}

const shown = (value) => (typeof value === "number" ? formatNumber(value) : escapeInvisible(wordOf(value)));

// The best finished trial as the search sees it, and what makes it sure.
function Best({ study, me, again }) {
  const { best } = study;
  if (!best) return html`<p class="hint">${t("study.best.none")}</p>`;
  const confirm = async (form) => {
    const seeds = Number(form.get("seeds"));
    await post(`/v1/studies/${study.id}/confirm`, seeds ? { seeds } : {});
    again();
  };
  const patch = JSON.stringify(best.patch);
  return html`<section class="panel"><h2>${t("study.best", { n: best.number })}</h2>
    <p class="row"><strong>${escapeInvisible(study.series)} ${around(best.value, best.interval)}</strong>${Object.entries(best.point).map(([name, value]) => html`<span key=${name}><small>${nameOf(name)}</small> ${shown(value)}</span>`)}</p>
    <p class="hint">${t("study.best.flattered", { n: formatCount((study.trials.finished || 0) + (study.trials.pruned || 0)) })}</p>
    <div class="bar">${best.experiment_id ? html`<a class="button" href=${href(["experiment", best.experiment_id])}>${t("experiment")}</a> <a class="button" href=${href(["new"], { from: best.experiment_id })}>${t("try.form")}</a>` : null}
      <${CopyButton} text=${patch} label=${t("study.patch")}/>
      ${study.confirmation || !(study.trials.finished > 1) ? null : html`<${DialogButton} button=${t("study.confirm")} kind="primary" disabled=${me.level === "read"} title=${t("study.confirm.title")} label=${t("study.confirm")} act=${confirm}><p>${t("study.confirm.text")}</p>
        <p><label>${t("study.confirm.seeds")} <input type="number" name="seeds" min="2" max="100" placeholder=${t("study.confirm.auto")}/></label></p></${DialogButton}>`}</div></section>`;
}

function Confirmation({ found, series }) {
  return html`<section class="panel"><h2>${t("study.confirmation")}</h2><p><${Prose} text=${found.report}/></p>
    <table class="list"><thead><tr>${["trial", "fresh", "runs"].map((word) => html`<th key=${word} scope="col">${t(`column.${word}`)}${word === "fresh" ? ` ${escapeInvisible(series)}` : ""}</th>`)}</tr></thead>
    <tbody>${found.fresh.map((each) => html`<tr key=${each.number}><td><a href=${href(["experiment", each.experiment_id])}>${t("trial", { n: each.number })}</a></td><td class="number">${around(each.mean, each.interval)}</td><td class="number">${each.n}</td></tr>`)}</tbody></table>
    <p><a href=${href(["compare"], { experiments: found.fresh.map((each) => each.experiment_id).join(",") })}>${t("place.compare")}</a></p></section>`;
}
