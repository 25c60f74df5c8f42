// The project's studies, and one of them: the best so far and how sure, what it cost, its trials in pictures and as a table.
import { ActionButton, CopyButton, DialogButton, EmptyState, escapeInvisible, formatAge, formatCount, formatNumber, formatSeconds, get, href, html, List, navigate, Pending, post, Problems, Prose, queryString, remove, StateLabel, t, useEffect, useGet, useInterval, useMemo, useRef, useRequest, useState, useTitle } from "../lib/page.js";
import { Profile } from "../lib/chart.js";
import { wordOf } from "../lib/scatter.js";
import { offerUndo } from "../lib/undo.js";
import { AnyTime } from "./confirmation.js";
import { around, nameOf, ParallelTrials, Progress, Rungs, Slices, TrialCurves, TrialTable } from "./study_charts.js";
import { ContourTrials } from "./study_contour.js";

const [LOOK_MS, LIST_LOOK_MS] = [2500, 3000];
const SELDOM = 8; // looks
const PAGES = 20;
const OVER = new Set(["finished", "stopped", "failed"]);

const OUTCOMES = ["running", "waiting", "finished", "pruned", "failed"];

// How many trials are in each state, in words.
const outcomesOf = (trials) => OUTCOMES.filter((state) => trials[state]).map((state) => `${formatCount(trials[state])} ${t(`trial.${state}`)}`).join(", ") || "–";

export function Studies({ search }) {
  const cursor = search.get("cursor") || undefined;
  const { value, error, again } = useGet(`/v1/studies${queryString({ limit: 50, cursor })}`);
  useInterval(LIST_LOOK_MS, again);
  if (!value) return html`<${Pending} error=${error}/>`;
  if (!value.items.length && !cursor) return html`<h1>${t("place.studies")}</h1><${EmptyState} title=${t("studies.none")}><p>${t("studies.none.text")}</p><pre class="code">saddle sweep tune-lr --help</pre><a class="button" href=${href(["new"])}>${t("place.new")}</a></${EmptyState}>`;
  return html`<h1>${t("place.studies")}</h1><${List} name=${t("place.studies")} columns=${["name", "state", "trials", "owner", "#age"]} items=${value.items} row=${({ id }) => ({ "data-row": `study/${id}`, tabindex: 0 })} cells=${(each) => [
    html`<a href=${href(["study", each.id])}>${escapeInvisible(each.name)}</a>`, html`<${StateLabel} state=${each.state}/>${each.why ? html` <small><${Prose} text=${each.why}/></small>` : null}`, outcomesOf(each.trials),
    escapeInvisible(each.owner), formatAge(each.created_at)]}/>
    ${value.next_cursor ? html`<p><a class="button" href=${href(["studies"], { cursor: value.next_cursor })}>${t("older")}</a></p>` : null}`;
}

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

const countsOf = (trials) => trials.reduce((counts, { state }) => ({ ...counts, [state]: (counts[state] || 0) + 1 }), {});

// {study, trials, analysis}, asked for at once; the last two are long, and asked for again where the study counts its trials
// differently, and seldom for what trains meanwhile.
function useStudy(id, tick) {
  const known = useRef({});
  return useRequest(async (signal) => {
    const load = () => Promise.all([allTrials(id, signal), get(`/v1/studies/${id}/analysis`, { signal })]);
    let [study, found] = await Promise.all([get(`/v1/studies/${id}`, { signal }), known.current.found || load()]);
    const news = JSON.stringify(study.trials);
    if ((news !== known.current.news && news !== JSON.stringify(countsOf(found[0]))) || tick % SELDOM === SELDOM - 1) found = await load();
    known.current = { news, found };
    return { study, trials: found[0], analysis: found[1] };
  }, [id, tick]);
}

// One more of the parts with each frame, so that the first are seen at once.
function InTurn({ parts }) {
  const [shownParts, show] = useState(1);
  useEffect(() => { if (shownParts < parts.length) requestAnimationFrame(() => setTimeout(() => show(shownParts + 1))); }, [shownParts]);
  return html`<div class=${shownParts < parts.length ? "panels growing" : "panels"}>${parts.slice(0, shownParts)}</div>`;
}

export function StudyPage({ path, me }) {
  const [id] = path;
  const [tick, setTick] = useState(0);
  const { value: found, error } = useStudy(id, tick);
  const { study, trials, analysis } = found || {};
  useTitle(study?.name);
  const isOpen = !study || !OVER.has(study.state) || study.confirmation?.state === "running";
  useInterval(LOOK_MS, () => isOpen && setTick((n) => n + 1), [isOpen]);
  const parts = useMemo(() => study && [ // what is drawn stays as it is until there are other trials
    html`<${Progress} trials=${trials} study=${study}/>`, html`<${Importance} found=${analysis} space=${study.document.space}/>`, ...[Slices, ContourTrials, TrialCurves, Rungs, ParallelTrials].map((Part) => html`<${Part} trials=${trials} study=${study} analysis=${analysis}/>`)], [trials]);
  if (!found && error) return html`<${Problems} error=${error}/>`;
  if (!study) return html`<p class="empty">${t("loading")}</p>`;
  const again = () => setTick((n) => n + 1);
  return html`<h1>${escapeInvisible(study.name)}</h1>
    <p class="facts row"><${StateLabel} state=${study.state}/><span>${outcomesOf(study.trials)}</span><span>${t("study.objective", { figure: t(`choice.${study.document.objective.figure}`), series: escapeInvisible(study.series), direction: t(`study.${study.direction}`) })}</span>
      <span>${escapeInvisible(study.document.sampler.kind)}, ${escapeInvisible(study.document.pruner.kind)}</span><a href=${href(["experiments"], { filter: `study = ${study.id}` })}>${t("place.experiments")}</a>${study.cloned_from ? html`<a href=${href(["study", study.cloned_from])}>${t("study.cloned")}</a>` : null}</p>
    ${study.why ? html`<p class="warnings"><${Prose} text=${study.why}/></p>` : null}
    <${Commands} study=${study} me=${me} again=${again}/>
    <${Budget} budget=${study.budget}/>
    <${Best} study=${study} me=${me} again=${again}/>
    ${study.confirmation ? html`<${Confirmation} found=${study.confirmation} series=${study.series} again=${again}/>` : null}
    <${Duel} found=${analysis} series=${study.series}/>
    <${InTurn} parts=${parts}/>
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
  const ended = (study.trials.finished || 0) + (study.trials.pruned || 0);
  const confirm = async (form) => {
    const seeds = Number(form.get("seeds"));
    await post(`/v1/studies/${study.id}/confirm`, seeds ? { seeds } : {});
    again();
  };
  const patch = JSON.stringify(best.patch);
  return html`<section class="panel"><h2>${t("study.best", { n: best.number })}</h2>
    <p class="row"><strong>${escapeInvisible(study.series)} ${around(best.value, best.interval)}</strong>${Object.entries(best.point).map(([name, value]) => html`<span key=${name}><small>${nameOf(name)}</small> ${shown(value)}</span>`)}</p>
    ${ended > 1 ? html`<p class="hint">${t("study.best.flattered", { n: formatCount(ended) })}</p>` : null}
    <div class="bar">${best.experiment_id ? html`<a class="button" href=${href(["experiment", best.experiment_id])}>${t("column.experiment")}</a> <a class="button" href=${href(["new"], { from: best.experiment_id })}>${t("try.form")}</a>` : null}
      <${CopyButton} text=${patch} label=${t("study.patch")}/>
      ${study.confirmation || !OVER.has(study.state) ? null : html`<${DialogButton} button=${t("study.confirm")} kind="primary" disabled=${me.level === "read"} title=${t("study.confirm.title")} label=${t("study.confirm")} act=${confirm}><p>${t("study.confirm.text")}</p>
        <p><label>${t("study.confirm.seeds")} <input type="number" name="seeds" min="2" max="100" placeholder=${t("study.confirm.auto")}/></label></p></${DialogButton}>`}</div></section>`;
}

function Confirmation({ found, series, again }) {
  return html`<section class="panel"><h2>${t("study.confirmation")}</h2><p><${Prose} text=${found.report}/></p>
    <${List} name=${t("study.confirmation")} columns=${["trial", { text: `${t("column.fresh")} ${escapeInvisible(series)}`, kind: "number" }, "#runs"]} items=${found.fresh} row=${({ number }) => ({ key: number })} cells=${(each) => [
      html`<a href=${href(["experiment", each.experiment_id])}>${each.number === null ? t("study.base") : t("trial", { n: each.number })}</a>`, around(each.mean, each.interval), each.n]}/>${found.confirmation.sequential ? html`<${AnyTime} found=${found.confirmation} id=${found.comparison_id} again=${again}/>` : null}
    <p><a href=${href(["compare"], { experiments: found.fresh.map((each) => each.experiment_id).join(",") })}>${t("place.compare")}</a></p></section>`;
}

// What the trials of a study say together: the duel of its scientific values, and which dimensions matter.
const say = (value) => formatNumber(value);
const number = (text) => ({ text, kind: "number" });

// Each scientific value with the same number of trials: its best, and how good a trial of it is that nobody tuned.
export function Duel({ found, series }) {
  const rivals = found.contestants;
  if (!rivals.some(({ trials }) => trials)) return null;
  const borders = rivals.flatMap((rival) => rival.borders.map((border) => ({ ...border, label: rival.label })));
  return html`${rivals.length > 1 ? html`<section class="panel"><h2>${t("duel")}</h2>${found.even ? null : html`<p class="warnings">${t("duel.uneven")}</p>`}
    <${List} name=${t("duel")} columns=${["rival", "#trials", number(`${t("column.best")} ${escapeInvisible(series)}`), "#median", "#quartiles", "#sensitivity", number(`${t("column.steps")} → ${found.targets.map(say).join(" | ")}`)]} items=${rivals} row=${({ label }) => ({ key: label })} cells=${(each) => [
      escapeInvisible(each.label), html`${formatCount(each.trials)}${each.diverged ? html` <small>${t("duel.diverged", { n: each.diverged })}</small>` : null}`, around(each.best_value, each.interval), say(each.median), each.quartiles.map(say).join(" – "), say(each.sensitivity),
      found.steps_to_target.map((steps) => say(steps[rivals.indexOf(each)])).join(" | ")]}/>
    <p class="hint">${t("duel.how")}</p><${Profile} x=${found.profile.map(({ ratio }) => ratio)} shares=${rivals.map((_, at) => found.profile.map(({ shares }) => shares[at]))} of=${rivals}/></section>` : null}
    ${borders.length ? html`<ul class="warnings">${borders.map((each) => html`<li key=${`${each.label} ${each.pointer}`}>${t("border", { label: escapeInvisible(each.label), name: nameOf(each.pointer), value: formatNumber(each.value), bound: formatNumber(each.bound) })} <${CopyButton} text=${JSON.stringify([each.patch])} label=${t("border.patch")}/></li>`)}</ul>` : null}`;
}

// A dimension with the options that it depends on: "optimizer lr (adamw)" of "/optimizer=1 > /optimizer/lr".
function labelOf(name, space) {
  const steps = name.split(" > ");
  const pointer = steps.pop();
  const options = [];
  let within = space;
  for (const step of steps) {
    const [, outer, at] = step.match(/^(.*)=(\d+)$/) || [];
    const option = within?.[outer]?.options?.[Number(at)];
    options.push(option ? option.name || wordOf(option.value) : step);
    within = option?.space;
  }
  return nameOf(pointer) + (options.length ? ` (${options.map(escapeInvisible).join(", ")})` : "");
}

export function Importance({ found, space }) {
  const known = found.importance.filter(({ share }) => share !== null);
  if (known.length < 2) return null;
  return html`<section class="panel"><h2>${t("importance")}</h2><dl class="shares">${known.map((each) => html`<div key=${each.name}><dt>${labelOf(each.name, space)}</dt><dd><progress max="1" value=${each.share} aria-label=${labelOf(each.name, space)}></progress> ${Math.round(100 * each.share)} %</dd></div>`)}</dl>
    <p class="hint">${t("importance.how")}</p></section>`;
}
