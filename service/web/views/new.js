// A new experiment: a form and the JSON that will be sent, each editing the other, checked by the server as one types.
import { Chart, colour } from "../lib/chart.js";
import { useDraft } from "../lib/kept.js";
import { Fields, UPLOADS } from "../lib/form.js";
import { applyPatch } from "../lib/json_patch.js";
import { ActionButton, ask, escapeInvisible, formatBytes, formatCount, formatSeconds, get, html, navigate, Pending, Picture, post, Problems, Said, StateLabel, t, useEffect, useGet, useRef, useRequest, useState } from "../lib/page.js";
import { putLines, takeLists } from "../lib/sweep.js";
import { Sweep, SweepLines, useChecked, Warnings } from "./searching.js";
import { Upload } from "./upload.js";

const START = "digits-adam";
const PHONE = "(max-width: 700px)"; // as the sheet says too

// {start, draft}: the spec that is sent whole or changed, and what the form shows first.
async function startOf(search) {
  const fork = search.get("fork");
  if (!fork) {
    const start = await specOf(search);
    return { start, draft: start };
  }
  const run = await get(`/v1/runs/${fork}`);
  const { spec } = await get(`/v1/experiments/${run.experiment_id}`);
  const start = { ...spec, seeds: [run.seed], restarts: null };
  const from = Number(search.get("step")) || run.checkpoint_step;
  return { start, draft: from < run.total_steps ? start : longer(start) };
}

// A run that has ended goes on for as long again.
const longer = (spec) => ({ ...spec, ...(spec.epochs ? { epochs: 2 * spec.epochs } : { steps: 2 * spec.steps }) });

async function specOf(search) {
  if (search.get("from")) return remedied((await get(`/v1/experiments/${search.get("from")}`)).spec, search.get("patch"));
  if (search.get("symptom")) return whole((await get(`/v1/symptoms/${search.get("symptom")}`)).document);
  return get(`/v1/presets/${search.get("preset") || START}`);
}

// A document may name a preset and say only what differs: the server fills it in.
const whole = async (document) => (await ask("/v1/experiments?dry_run=true", document)).spec;

// A diagnosis leads here with its patch: the spec as it would be with the remedy.
function remedied(spec, operations) {
  return operations ? applyPatch(spec, JSON.parse(operations)) : spec;
}

// What must be sent to fork: only what differs, as a merge patch; a part of another kind is sent whole.
export function patchOf(before, after) {
  const changes = {};
  for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const [old, now] = [before[name], after[name]];
    if (JSON.stringify(old) === JSON.stringify(now)) continue;
    const parts = [old, now].every((each) => each && typeof each === "object" && !Array.isArray(each));
    changes[name] = now === undefined ? null : parts && old.kind === now.kind ? patchOf(old, now) : now;
  }
  return changes;
}

function useCheck(text, send) {
  return useChecked(text, (signal) => {
    try {
      return send(JSON.parse(text), true, signal);
    } catch (error) {
      throw Object.assign(error, { message: t("json.broken", { why: error.message }), problems: [] });
    }
  });
}

export function New({ search, me }) {
  const key = search.toString();
  const { value: found, error } = useRequest(async () => ({ key, ...await startOf(search) }), [key]); // of this address, not of one that was left
  if (found?.key !== key) return html`<${Pending} error=${error}/>`;
  return html`<${Editor} ...${found} search=${search} me=${me}/>`;
}

// What the text says now, or while it is no JSON what it said before.
function useParsed(text, start) {
  const last = useRef(start);
  try {
    const value = JSON.parse(text);
    if (value && typeof value === "object" && !Array.isArray(value)) last.current = value;
  } catch {
    // somebody is typing
  }
  return last.current;
}

function titleOf(fork, step) {
  if (!fork) return t("place.new");
  return step ? t("fork.of", { step: formatCount(Number(step)) }) : t("fork.latest");
}

function Editor({ start, draft: first, search, me }) {
  const fork = search.get("fork");
  const step = search.get("step");
  const { text, setText, isKept, discard, forget } = useDraft(`${me.account_id} ${search}`, JSON.stringify(first, null, 2));
  const send = (spec, dry, signal) => {
    const path = fork ? `/v1/runs/${fork}/forks` : "/v1/experiments";
    const body = fork ? { ...(step ? { step: Number(step) } : {}), changes: patchOf(start, spec) } : spec;
    return dry ? ask(`${path}?dry_run=true`, body, { signal }) : post(path, body);
  };
  const { answer, error } = useCheck(text, send);
  const draft = useParsed(text, first); // not the checked one, which is behind: the next field would undo the last
  const problems = (error?.problems || []).map((each) => ({ ...each, pointer: (each.pointer || "").replace(/^\/changes/, "") }));
  const [sweep, setSweep] = useState("");
  const change = (changed) => { // several numbers typed where one belongs are a sweep
    const { spec, lines } = fork ? { spec: changed, lines: [] } : takeLists(draft, changed);
    if (lines.length) setSweep((before) => putLines(before, lines));
    setText(JSON.stringify(spec, null, 2));
  };
  const submit = async () => {
    const made = await send(JSON.parse(text), false);
    forget();
    navigate(["experiment", made.id]);
  };
  return html`<h1>${titleOf(fork, step)}</h1>
    ${fork ? null : html`<${Starts} chosen=${search.get("preset") || ""} symptom=${search.get("symptom") || ""} use=${(put) => change(put(draft))}/>`}
    ${isKept ? html`<p class="warnings">${t("draft.kept")} <button type="button" onClick=${discard}>${t("draft.discard")}</button></p>` : null}
    <div class="editor"><div class="form"><${Parts} spec=${draft} change=${change} problems=${problems}/></div>
    <div class="document"><label>${t("json.sent")}<textarea spellcheck="false" rows="34" value=${text} onInput=${(event) => setText(event.target.value)}></textarea></label>
      ${fork ? null : html`<${SweepLines} text=${sweep} set=${setSweep}/>`}<${Problems} error=${error}/><${Warnings} answer=${answer}/>
      ${sweep.trim() ? html`<${Sweep} text=${sweep} spec=${draft} done=${forget}/>` : html`<${Estimate} answer=${answer}/>
      <${ActionButton} kind="primary" label=${t("submit", { n: (answer?.spec || draft).seeds?.length || 1 })} disabled=${Boolean(error) || !answer} act=${submit}/>`}
    </div></div>`;
}

function Starts({ chosen, symptom, use }) {
  const { value } = useGet("/v1/presets");
  const { value: symptoms } = useGet("/v1/symptoms");
  return html`<div class="bar"><label>${t("preset")} <select value=${chosen} onChange=${(event) => navigate(["new"], { preset: event.target.value })}>
    <option value="">–</option>${(value?.items || []).map((each) => html`<option value=${each.name} title=${each.notes}>${each.name}</option>`)}</select></label>
    ${symptoms?.items?.length ? html`<label>${t("symptom")} <select value=${symptom} onChange=${(event) => navigate(["new"], { symptom: event.target.value })}>
      <option value="">–</option>${symptoms.items.map((each) => html`<option value=${each.name} title=${escapeInvisible(each.about)}>${escapeInvisible(each.name)}</option>`)}</select></label>` : null}
    <${Upload} use=${use}/></div>`;
}

const MAIN = ["name", "notes", "tags", "batch_size", "steps", "epochs", "seeds"];
const pick = (properties, chosen) => Object.fromEntries(Object.entries(properties).filter(([name]) => chosen(name)));

// The form: what every training says, a part of each family, then everything else that a spec can say.
function Parts({ spec, change, problems }) {
  const { value: catalog } = useGet("/v1/catalog");
  const { value: schema } = useGet("/v1/catalog/experiment");
  const set = (name, value) => change({ ...spec, [name]: value });
  const families = familiesOf(catalog);
  const more = pick(schema?.properties || {}, (name) => !MAIN.includes(name) && !families.some(({ field }) => field === name));
  const wrong = problems.some(({ pointer }) => Object.keys(more).some((name) => pointer === `/${name}` || pointer.startsWith(`/${name}/`)));
  const names = Object.keys(more);
  const isAbove = (name) => names.indexOf(name) <= names.indexOf("augment");
  const fields = (properties) => html`<${Fields} schema=${{ properties }} defs=${schema?.$defs} value=${spec} at="" problems=${problems} set=${set}/>`;
  return html`<${Section} title=${t("spec.run")} isFirst=${true} wrong=${problems.some(({ pointer }) => MAIN.some((name) => pointer.startsWith(`/${name}`)))}>${fields(pick(schema?.properties || {}, (name) => MAIN.includes(name)))}</${Section}>
    ${families.map(({ field, family, items }) => html`<${Part} key=${field} name=${field} family=${family} kinds=${items} pool=${spec.pool} value=${spec[field] || {}} problems=${problems}
      set=${(value) => set(field, value)}/>`)}
    <${Section} title=${t("more.fields")} wrong=${wrong}><details open=${wrong || Boolean(spec.start)}><summary>${Object.keys(more).join(", ")}</summary>${fields(pick(more, isAbove))}
      ${spec.augment?.length ? html`<${Augmented} key=${JSON.stringify(DRAWN_FROM.map((name) => spec[name]))} spec=${spec}/>` : null}${fields(pick(more, (name) => !isAbove(name)))}</details></${Section}>
    <${Uploads}/><${Preview} spec=${spec}/>`;
}

// The project's newest uploads by name, for the fields that name one; asked for again when a field is entered.
function Uploads() {
  const [items, set] = useState([]);
  useEffect(() => {
    const load = async () => set((await get("/v1/datasets?limit=100")).items);
    const enter = (event) => event.target.getAttribute?.("list") === UPLOADS && load().catch(() => {});
    document.addEventListener("focusin", enter);
    return () => document.removeEventListener("focusin", enter);
  }, []);
  return html`<datalist id=${UPLOADS}>${items.map((each) => html`<option value=${each.id}>${escapeInvisible(each.name)} (${each.format})</option>`)}</datalist>`;
}

// The families of which a spec names one, in the catalogue's order.
const familiesOf = (catalog) => (catalog?.items || []).filter(({ field }) => field);

// A part of the form; on a phone each but the first opens when it is wanted.
function Section({ title, told = "", isFirst = false, wrong = false, children }) {
  const [isFolding] = useState(() => window.matchMedia(PHONE).matches);
  const [open, set] = useState(isFirst);
  if (!isFolding) return html`<fieldset><legend>${title}</legend>${children}</fieldset>`;
  const isOpen = open || wrong;
  return html`<fieldset class="folding"><legend><button type="button" class="plain" aria-expanded=${String(isOpen)} onClick=${() => set(!open)}>${isOpen ? "▾" : "▸"} ${title}${told ? html` <small>${told}</small>` : null}</button></legend>${isOpen ? children : null}</fieldset>`;
}

// Whether a worker that is served now can build this kind; in the spec's pool, if it names one.
function isBuildable({ pools }, pool) {
  const served = pool ? [pools[pool]].filter((each) => each !== undefined) : Object.values(pools);
  return !served.length || served.some(Boolean);
}

function Part({ name, family, kinds: known, pool, value, set, problems }) {
  const kinds = known.map((each) => each.kind);
  const lacking = new Map(known.filter((each) => !isBuildable(each, pool)).map((each) => [each.kind, each.needs.join(", ")]));
  const { value: detail } = useGet(value.kind && `/v1/catalog/${family}/${value.kind}`);
  const options = kinds.includes(value.kind) || !value.kind ? kinds : [value.kind, ...kinds];
  const wrong = problems.find(({ pointer }) => pointer === `/${name}` || pointer === `/${name}/kind`);
  return html`<${Section} title=${name} told=${value.kind || ""} wrong=${problems.some(({ pointer }) => pointer === `/${name}` || pointer.startsWith(`/${name}/`))}><label class=${wrong ? "field wrong" : "field"}><span>kind</span>
    <select value=${value.kind} onChange=${(event) => set({ kind: event.target.value })}>${options.map((each) => html`<option value=${each}>${lacking.has(each) ? t("kind.lacking", { kind: each, needs: lacking.get(each) }) : each}</option>`)}</select>
    <small class=${wrong ? "wrong" : "hint"}><${Said} text=${(wrong?.detail || detail?.summary || detail?.formula || "").replace(/\s+/g, " ")} code=${wrong?.code} limit=${wrong?.limit}/></small></label>
    ${detail && detail.kind === value.kind ? html`<${Fields} schema=${detail.json_schema} value=${value} at=${`/${name}`} problems=${problems}
      set=${(field, changed) => set({ ...value, [field]: changed })}/>` : null}</${Section}>`;
}

function Estimate({ answer }) {
  if (!answer?.derived) return null;
  const { parameters, memory_bytes: memory, steps_per_epoch: perEpoch, total_steps: total, alone } = answer.derived;
  const { duration } = answer;
  return html`<dl class="estimate"><div><dt>${t("parameters")}</dt><dd>${formatCount(parameters)}</dd></div><div><dt>${t("memory")}</dt><dd>${formatBytes(memory)}</dd></div>
    <div><dt>${t("steps")}</dt><dd>${formatCount(total)}</dd></div><div><dt>${t("steps.epoch")}</dt><dd>${formatCount(perEpoch)}</dd></div>
    <div><dt>${t("duration")}</dt><dd>${duration ? html`${formatSeconds(duration.seconds)} <small>${t("duration.range", { low: formatSeconds(duration.low), high: formatSeconds(duration.high), n: duration.runs })}</small>` : html`<small>${t("duration.unknown")}</small>`}</dd></div>
    <div><dt>${t("packed")}</dt><dd>${alone ? html`${t("packed.alone")} <small><${Said} text=${alone}/></small>` : t("packed.together")}</dd></div></dl>`;
}

const DRAWN_FROM = ["augment", "dataset", "batch_size", "seeds", "shuffle", "sampler", "pool"];
const GOING = ["queued", "running"];
const AGAIN_MS = 1000;

// Images as a run of this spec would begin with; a worker draws them when they are asked for.
function Augmented({ spec }) {
  const [job, set] = useState({});
  useEffect(() => {
    const look = async () => set(await get(`/v1/augmentations/previews/${job.id}`).catch(() => ({ ...job })));
    const timer = GOING.includes(job.state) && setTimeout(look, AGAIN_MS);
    return () => clearTimeout(timer);
  }, [job]);
  return html`<div class="inner preview"><p><${ActionButton} label=${t("augmented")} disabled=${GOING.includes(job.state)} act=${async () => set(await post("/v1/augmentations/preview", spec))}/></p>
    ${job.png ? html`<${Picture} png=${job.png} label=${t("reading.augmented_samples")}/>` : job.id ? html`<p role="status"><${StateLabel} state=${job.state}/> <${Said} text=${job.error || job.waits}/></p>` : null}</div>`;
}

// The planned rate, drawn as it is typed.
function Preview({ spec }) {
  const lr = Array.isArray(spec.optimizer) ? spec.optimizer[0]?.lr : spec.optimizer?.lr;
  const steps = spec.steps || spec.epochs || 100;
  const asked = { schedule: spec.schedule || { kind: "constant" }, lr, steps, points: 300 };
  const { value } = useRequest((signal) => (lr ? ask("/v1/schedules/preview", asked, { signal }).catch((error) => {
    if (error.name === "AbortError") throw error;
    return null; // the check says what is wrong, at its field
  }) : Promise.resolve(null)), [JSON.stringify(asked)]);
  if (!value) return null;
  const lines = [{ label: "lr", y: value.rates, colour: colour(0), dash: [] }];
  return html`<section class="panel"><h3>${t("preview")}</h3><${Chart} x=${value.steps} lines=${lines} height=${150}
    xLabel=${spec.schedule_unit === "epoch" || !spec.steps ? t("choice.epoch") : t("axis.step")} label=${t("preview")}/></section>`;
}
