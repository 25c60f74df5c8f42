// A new experiment: a form and the JSON that will be sent, each editing the other, checked by the server as one types.
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { get, post } from "../lib/api.js";
import { go } from "../lib/address.js";
import { bytes, count, visible } from "../lib/format.js";
import { Fields } from "../lib/form.js";
import { Action, Problems, useAsked } from "../lib/parts.js";
import { t } from "../lib/words.js";
import { Preview } from "./preview.js";
import { Upload } from "./upload.js";

const FAMILIES = [["dataset", "datasets"], ["model", "models"], ["loss", "losses"], ["optimizer", "optimizers"], ["schedule", "schedules"]];
const START = "digits-adam";
const CHECK_MS = 350;

async function startOf(search) {
  const fork = search.get("fork");
  if (fork) {
    const run = await get(`/v1/runs/${fork}`);
    const { spec } = await get(`/v1/experiments/${run.experiment_id}`);
    return { ...spec, seeds: [run.seed], restarts: null };
  }
  if (search.get("from")) return (await get(`/v1/experiments/${search.get("from")}`)).spec;
  return get(`/v1/presets/${search.get("preset") || START}`);
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
  const [checked, set] = useState({});
  useEffect(() => {
    const control = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const spec = JSON.parse(text);
        set({ answer: await send(spec, true, control.signal) });
      } catch (error) {
        if (error.name === "AbortError") return;
        const known = error instanceof SyntaxError ? { message: t("json.broken", { why: error.message }), problems: [] } : error;
        set({ error: known });
      }
    }, CHECK_MS);
    return () => { clearTimeout(timer); control.abort(); };
  }, [text]);
  return checked;
}

export function New({ search }) {
  const { value: start, error } = useAsked(() => startOf(search), [search.toString()]);
  if (error) return html`<${Problems} error=${error}/>`;
  if (!start) return html`<p class="empty">${t("loading")}</p>`;
  return html`<${Editor} key=${search.toString()} start=${start} search=${search}/>`;
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

function Editor({ start, search }) {
  const fork = search.get("fork");
  const step = search.get("step");
  const [text, setText] = useState(JSON.stringify(start, null, 2));
  const send = (spec, dry, signal) => {
    const path = fork ? `/v1/runs/${fork}/forks` : "/v1/experiments";
    const body = fork ? { ...(step ? { step: Number(step) } : {}), changes: patchOf(start, spec) } : spec;
    return post(`${path}${dry ? "?dry_run=true" : ""}`, body, { signal });
  };
  const { answer, error } = useCheck(text, send);
  const draft = useParsed(text, start); // not the checked one, which is behind: the next field would undo the last
  const problems = (error?.problems || []).map((each) => ({ ...each, pointer: (each.pointer || "").replace(/^\/changes/, "") }));
  const change = (changed) => setText(JSON.stringify(changed, null, 2));
  const submit = async () => {
    const made = await send(JSON.parse(text), false);
    go(["experiment", made.id]);
  };
  return html`<h1>${fork ? t("fork.of", { step: step ? count(Number(step)) : t("latest") }) : t("place.new")}</h1>
    ${fork ? null : html`<${Starts} chosen=${search.get("preset") || ""}/>`}
    <div class="editor"><div class="form"><${Parts} spec=${draft} change=${change} problems=${problems}/></div>
    <div class="document"><label>${t("json.sent")}<textarea spellcheck="false" rows="34" value=${text} onInput=${(event) => setText(event.target.value)}></textarea></label>
      <${Problems} error=${error}/><${Warnings} answer=${answer}/><${Estimate} answer=${answer}/>
      <${Action} kind="primary" label=${t("submit", { n: draft.seeds?.length || 1 })} disabled=${Boolean(error) || !answer} act=${submit}/>
    </div></div>`;
}

function Starts({ chosen }) {
  const { value } = useAsked((signal) => get("/v1/presets", { signal }), []);
  return html`<div class="bar"><label>${t("preset")} <select value=${chosen} onChange=${(event) => go(["new"], { preset: event.target.value })}>
    <option value="">–</option>${(value?.items || []).map((each) => html`<option value=${each.name} title=${each.notes}>${each.name}</option>`)}</select></label>
    <${Upload} done=${() => {}}/></div>`;
}

function Parts({ spec, change, problems }) {
  const { value: catalog } = useAsked((signal) => get("/v1/catalog", { signal }), []);
  const simple = ["name", "batch_size", "steps", "epochs", "seeds"];
  const schema = { properties: Object.fromEntries(simple.map((name) => [name, name === "name" ? { type: "string" } : { anyOf: [{ type: "array" }, { type: "integer" }, { type: "null" }] }])) };
  return html`<fieldset><legend>${t("spec.run")}</legend><${Fields} schema=${schema} value=${spec} at="" problems=${problems} set=${(name, value) => change({ ...spec, [name]: value })}/></fieldset>
    ${FAMILIES.map(([name, family]) => html`<${Part} key=${name} name=${name} family=${family} kinds=${kindsOf(catalog, family)} value=${spec[name] || {}} problems=${problems}
      set=${(value) => change({ ...spec, [name]: value })}/>`)}
    <${Preview} spec=${spec}/>`;
}

const kindsOf = (catalog, family) => (catalog?.items || []).find((each) => each.family === family)?.items.map((item) => item.kind) || [];

function Part({ name, family, kinds, value, set, problems }) {
  const { value: detail } = useAsked((signal) => (value.kind ? get(`/v1/catalog/${family}/${value.kind}`, { signal }) : Promise.resolve(null)), [family, value.kind]);
  const options = kinds.includes(value.kind) || !value.kind ? kinds : [value.kind, ...kinds];
  const wrong = problems.find(({ pointer }) => pointer === `/${name}` || pointer === `/${name}/kind`);
  return html`<fieldset><legend>${name}</legend><label class=${wrong ? "field wrong" : "field"}><span>kind</span>
    <select value=${value.kind} onChange=${(event) => set({ kind: event.target.value })}>${options.map((each) => html`<option value=${each}>${each}</option>`)}</select>
    <small class=${wrong ? "wrong" : "hint"}>${wrong ? visible(wrong.detail) : visible(detail?.summary || detail?.formula || "")}</small></label>
    ${detail && detail.kind === value.kind ? html`<${Fields} schema=${detail.json_schema} value=${value} at=${`/${name}`} problems=${problems}
      set=${(field, changed) => set({ ...value, [field]: changed })}/>` : null}</fieldset>`;
}

function Warnings({ answer }) {
  if (!answer?.warnings?.length) return null;
  return html`<div class="warnings"><h3>${t("warnings")}</h3><ul>${answer.warnings.map((each) => html`<li><code>${visible(each.pointer)}</code> ${visible(each.detail)}</li>`)}</ul></div>`;
}

function Estimate({ answer }) {
  if (!answer?.derived) return null;
  const { parameters, memory_bytes: memory, steps_per_epoch: perEpoch, total_steps: total } = answer.derived;
  return html`<dl class="estimate"><div><dt>${t("parameters")}</dt><dd>${count(parameters)}</dd></div><div><dt>${t("memory")}</dt><dd>${bytes(memory)}</dd></div>
    <div><dt>${t("steps")}</dt><dd>${count(total)}</dd></div><div><dt>${t("steps.epoch")}</dt><dd>${count(perEpoch)}</dd></div></dl>`;
}

