// Better values of a spec: a study of a usual question, and from the form a grid of values or a study of ranges, each with what
// all of it costs.
import { ActionButton, ask, DialogButton, escapeInvisible, formatBytes, formatCount, formatSeconds, get, html, navigate, Pending, post, Problems, Said, t, useEffect, useGet, useRequest, useState } from "../lib/page.js";
import { gridOf, MOST_SPECS, parseSweep, sizeOf, spaceOf } from "../lib/sweep.js";

const CHECK_MS = 350;
const AT_ONCE = 4;
const newTag = () => `sweep-${Date.now().toString(36)}`;

// Each of the items once, a few at a time; the results in order. The first failure stops the rest.
async function eachOf(items, act) {
  const results = new Array(items.length);
  let next = 0;
  const work = async () => {
    while (next < items.length) {
      const at = next;
      next += 1;
      results[at] = await act(items[at], at);
    }
  };
  await Promise.all([...Array(Math.min(AT_ONCE, items.length)).keys()].map(work));
  return results;
}

// What `check(signal)` comes to, a moment after `key` changed last: {answer, error, isCurrent}.
export function useChecked(key, check) {
  const [checked, set] = useState({});
  useEffect(() => {
    const control = new AbortController();
    const timer = setTimeout(async () => {
      try {
        set({ key, answer: await check(control.signal) });
      } catch (error) {
        control.abort();
        if (error.name !== "AbortError") set({ key, error });
      }
    }, CHECK_MS);
    return () => { clearTimeout(timer); control.abort(); };
  }, [key]);
  return { ...checked, isCurrent: checked.key === key };
}

// The server checks every combination and says what it costs.
const useCost = (grid) => useChecked(JSON.stringify(grid), (signal) => eachOf(grid, ({ name, spec }) => ask("/v1/experiments?dry_run=true", spec, { signal }).catch((error) => {
  throw Object.assign(error, { of: name });
})));

const sum = (values) => values.reduce((one, other) => one + other, 0);

const Costs = ({ facts }) => html`<dl class="estimate">${Object.entries(facts).map(([word, value]) => html`<div key=${word}><dt>${t(word)}</dt><dd>${value}</dd></div>`)}</dl>`;

function Total({ answers, grid }) {
  const runs = grid.map(({ spec }) => spec.restarts?.count || spec.seeds?.length || 1);
  const seconds = answers.map((answer, at) => (answer.duration ? answer.duration.seconds * runs[at] : null));
  return html`<${Costs} facts=${{
    "sweep.runs": formatCount(sum(runs)), steps: formatCount(sum(answers.map(({ derived }, at) => derived.total_steps * runs[at]))),
    "sweep.time": seconds.includes(null) ? t("duration.unknown") : formatSeconds(sum(seconds)), memory: formatBytes(Math.max(...answers.map(({ derived }) => derived.memory_bytes || 0))),
  }}/>`;
}

export function SweepLines({ text, set }) {
  return html`<label class="sweep">${t("sweep")}<textarea rows=${Math.max(2, text.split("\n").length)} spellcheck="false" value=${text} placeholder="lr: 1e-4, 1e-3, 1e-2" onInput=${(event) => set(event.target.value)}></textarea>
    <small class="hint">${t("sweep.how")}</small></label>`;
}

// What stands in place of a single experiment's cost and button: those of the grid, or of a study where a line is a range.
export function Sweep({ text, spec, done }) {
  const { axes, wrong } = parseSweep(text, spec);
  const About = axes.some(({ range }) => range) ? Study : Grid;
  return html`${wrong.map(({ line, why, among = [] }) => html`<p class="wrong" key=${line} role="alert"><code>${escapeInvisible(line)}</code> ${t(`sweep.wrong.${why}`, { among: among.join(", ") })}</p>`)}
    <${About} axes=${axes} wrong=${wrong} spec=${spec} done=${done}/>`;
}

function Grid({ axes, wrong, spec, done }) {
  const [tag] = useState(newTag);
  const size = sizeOf(axes);
  const many = size > MOST_SPECS;
  const grid = wrong.length || many ? [] : gridOf(spec, axes, tag);
  const { answer, error, isCurrent } = useCost(grid);
  const isKnown = isCurrent && answer?.length > 0;
  const submit = async () => {
    // the key makes a second try after a broken connection find what the first one made
    const made = await eachOf(grid, (each, at) => post("/v1/experiments", each.spec, { headers: { "Idempotency-Key": `${tag}-${at}` } }));
    done();
    navigate(["compare"], { experiments: made.map(({ id }) => id).join(",") });
  };
  return html`${many ? html`<p class="wrong" role="alert">${t("sweep.many", { n: size, most: MOST_SPECS })}</p>` : null}
    ${error ? html`<p><strong>${escapeInvisible(error.of || "")}</strong></p><${Problems} error=${error}/>` : null}
    ${isKnown ? html`<${Total} answers=${answer} grid=${grid}/><p class="hint">${t("sweep.tag", { tag })}</p>` : null}
    <${ActionButton} kind="primary" label=${t("sweep.submit", { n: size })} disabled=${!isKnown} act=${submit}/>`;
}

const TRIALS = 20;
const DEFAULTS = { sampler: "tpe", pruner: "none" };

function Study({ axes, wrong, spec, done }) {
  const [chosen, choose] = useState({ trials: TRIALS });
  const { name, seeds } = spec;
  const { trials, ...parts } = chosen;
  const document = { name: `${name || t("place.studies")}: ${axes.map(({ path }) => path).join(", ")}`.slice(0, 128), base: spec, space: spaceOf(spec, axes), ...parts, budget: { trials }, ...(seeds ? { seeds } : {}) };
  const { answer, error, isCurrent } = useChecked(JSON.stringify(document), (signal) => ask("/v1/studies?dry_run=true", document, { signal }));
  const submit = async () => {
    const made = await post("/v1/studies", document);
    done();
    navigate(["study", made.id]);
  };
  return html`<div onInput=${({ target }) => choose({ ...chosen, [target.name]: target.name === "trials" ? Number(target.value) || TRIALS : target.value || undefined })}><${HowSearched} usual=${DEFAULTS} trials=${TRIALS}/></div>
    <${Problems} error=${error}/>${isCurrent && answer ? html`<${Costs} facts=${{ "budget.trials": formatCount(answer.trials), steps: formatCount(answer.trials * answer.steps_per_trial), "sweep.time": answer.duration ? formatSeconds(answer.duration.seconds) : t("duration.unknown") }}/><${Warnings} answer=${answer}/>` : null}
    <${ActionButton} kind="primary" label=${t("search.from.yes")} disabled=${wrong.length > 0 || !isCurrent || !answer} act=${submit}/>`;
}

export function Warnings({ answer }) {
  if (!answer?.warnings?.length) return null;
  return html`<div class="warnings"><h3>${t("warnings")}</h3><ul>${answer.warnings.map((each) => html`<li><code>${escapeInvisible(each.pointer)}</code> <${Said} text=${each.detail} code=${each.code} limit=${each.limit}/></li>`)}</ul></div>`;
}

// A study of one experiment's spec: a usual question, and how many trials may answer it.
const PARTS = { sampler: "samplers", pruner: "pruners" }; // field of a study -> family of the catalogue
const BOUNDS = ["low", "high"];

export function SearchFrom({ experiment, disabled }) {
  const search = async (form) => {
    const trials = Number(form.get("trials"));
    const chosen = Object.fromEntries(Object.keys(PARTS).map((part) => [part, form.get(part)]).filter(([, kind]) => kind));
    const space = {};
    for (const [name, value] of form) {
      const [pointer, part] = name.split(" ");
      if (part && value) space[pointer] = { ...space[pointer], [part]: part === "kind" ? value : Number(value) };
    }
    const made = await post("/v1/studies", { preset: form.get("preset"), base: experiment.spec, name: `${experiment.name}, ${form.get("preset")}`.slice(0, 128), ...(trials ? { budget: { trials } } : {}), ...chosen, ...(Object.keys(space).length ? { space } : {}) });
    navigate(["study", made.id]);
  };
  return html`<${DialogButton} button=${t("search.from")} disabled=${disabled} title=${t("search.from.title")} label=${t("search.from.yes")} act=${search}><${Questions}/></${DialogButton}>`;
}

function Questions() {
  const { value, error } = useGet("/v1/studies/presets");
  const { value: dimensions } = useGet("/v1/catalog/dimensions");
  const [chosen, choose] = useState(0);
  if (!value) return html`<${Pending} error=${error}/>`;
  const { budget, space, ...usual } = value.items[chosen].document;
  return html`${value.items.map((each, at) => html`<p key=${each.name}><label class="check"><input type="radio" name="preset" value=${each.name} checked=${at === chosen} onChange=${() => choose(at)}/> ${escapeInvisible(each.question)}</label></p>`)}
    <${HowSearched} usual=${usual} trials=${budget.trials}/>
    ${Object.entries(space).filter(([, { low }]) => low !== undefined).map(([pointer, given]) => html`<p key=${chosen + pointer} class="range"><${Range} pointer=${pointer} given=${given} kinds=${dimensions?.items ?? []}/></p>`)}`;
}

// How many trials, who chooses their points, and what stops them.
function HowSearched({ usual, trials }) {
  const { value: families } = useRequest((signal) => Promise.all(Object.values(PARTS).map((family) => get(`/v1/catalog/${family}`, { signal }))), []);
  return html`<p><label>${t("budget.trials")} <input type="number" name="trials" min="1" max="10000" placeholder=${String(trials)}/></label></p>
    ${Object.keys(PARTS).map((part, at) => html`<p key=${part}><${Part} name=${part} kinds=${families?.[at].items ?? []} usual=${usual[part] ?? "none"}/></p>`)}`;
}

// Where a number is searched, and on which scale.
function Range({ pointer, given, kinds }) {
  const [kind, choose] = useState(given.kind);
  return html`${escapeInvisible(pointer.slice(1).replaceAll("/", " "))} ${BOUNDS.map((end) => html`<input key=${end} type="number" step="any" name=${`${pointer} ${end}`} aria-label=${`${pointer} ${end}`} defaultValue=${given[end]}/> `)}
    <select name=${`${pointer} kind`} aria-label=${`${pointer} kind`} value=${kind} onChange=${(event) => choose(event.target.value)}>${kinds.filter((each) => each.kind.endsWith("uniform")).map((each) => html`<option key=${each.kind} value=${each.kind} title=${each.summary}>${each.kind}</option>`)}</select>`;
}

// One of the catalogue's kinds, or what the question itself has.
function Part({ name, kinds, usual }) {
  const [kind, choose] = useState("");
  const found = kinds.find((each) => each.kind === (kind || usual));
  return html`<label>${t(`study.${name}`)} <select name=${name} value=${kind} onChange=${(event) => choose(event.target.value)}>
    <option value="">${t("study.usual", { kind: usual })}</option>${kinds.map((each) => html`<option key=${each.kind} value=${each.kind}>${each.kind}</option>`)}</select></label>
    ${found ? html` <small>${found.summary.split("\n")[0]}</small>` : null}`;
}
