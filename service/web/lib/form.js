// Form fields drawn from a JSON Schema: values, objects within, choices by kind, and lists of these.
import { html, useState } from "./html.js";
import { Said } from "./components.js";
import { escapeInvisible } from "./format.js";
import { fieldType, inputText, parseInput, resolve } from "./schema.js";
import { t } from "./words.js";

// Keeps the draft while somebody types, whatever arrives meanwhile; commits it when the field is left.
export function TextInput({ value, onCommit, ...rest }) {
  const [draft, setDraft] = useState(null);
  return html`<input type="text" spellcheck="false" ...${rest} value=${draft ?? value} onInput=${(event) => setDraft(event.target.value)}
    onChange=${(event) => onCommit(event.target.value)} onBlur=${() => setDraft(null)}/>`;
}

export const UPLOADS = "uploads"; // id of the list of uploads that a page offers where a field names one

const under = (pointer, at) => pointer === at || pointer.startsWith(`${at}/`);
const shown = (each, none = "–") => (each === null ? none : escapeInvisible(each));

function Problem({ problem, hint }) {
  if (!problem) return html`<small class="hint">${hint ? escapeInvisible(hint) : ""}</small>`;
  return html`<small class="wrong"><${Said} text=${problem.detail} code=${problem.code} limit=${problem.limit}/>${problem.did_you_mean ? ` ${t("problem.meant", { word: escapeInvisible(problem.did_you_mean) })}` : ""}</small>`;
}

function Select({ value, options, none, onChoose, ...rest }) {
  return html`<select ...${rest} value=${JSON.stringify(value ?? null)} onChange=${(event) => onChoose(JSON.parse(event.target.value))}>
    ${options.map((each) => html`<option value=${JSON.stringify(each)}>${shown(each, none)}</option>`)}</select>`;
}

function Control({ kind, value, set, ...rest }) {
  const { type, options, nullable } = kind;
  if (type === "boolean" && !nullable) return html`<input type="checkbox" checked=${Boolean(value)} ...${rest} onChange=${(event) => set(event.target.checked)}/>`;
  if (type === "enum" || type === "boolean") return html`<${Select} ...${rest} value=${value} options=${[...(nullable ? [null] : []), ...(options || [true, false])]} onChoose=${set}/>`;
  const list = kind.pattern?.startsWith("^dat_") ? UPLOADS : undefined;
  return html`<${TextInput} ...${rest} list=${list} inputmode=${type === "number" || type === "integer" ? "decimal" : "text"} value=${inputText(value, kind)} onCommit=${(text) => set(parseInput(text, kind))}/>`;
}

function Field({ name, field, defs, value, at, set, problems }) {
  const kind = fieldType(field, defs);
  if (kind.type === "const" || name === "kind" || field.readOnly) return null;
  const Group = { object: ObjectField, choice: ChoiceField, list: ListField }[kind.type];
  if (Group) return html`<${Group} kind=${kind} name=${name} hint=${resolve(field, defs).description} defs=${defs} value=${value} at=${at} set=${set} problems=${problems}/>`;
  const range = [kind.low !== undefined ? `≥ ${kind.low}` : "", kind.high !== undefined ? `≤ ${kind.high}` : ""].filter(Boolean).join(", ");
  const hint = [field.description, range].filter(Boolean).join("; ");
  const problem = problems.find(({ pointer }) => under(pointer, at));
  return html`<label class=${problem ? "field wrong" : "field"}><span>${name}</span>
    <${Control} kind=${kind} value=${value} set=${set} aria-invalid=${Boolean(problem)} title=${hint}/><${Problem} problem=${problem} hint=${hint}/></label>`;
}

// The head of a group: what chooses or adds, and the problem of the group itself.
function Head({ name, hint, at, problems, label, options, none, value, choose }) {
  const problem = problems.find(({ pointer }) => pointer === at || pointer === `${at}/kind`);
  return html`<label class=${problem ? "field wrong" : "field"}><span>${name}</span>
    <${Select} aria-label=${label || name} value=${value} options=${options} none=${none} onChoose=${choose}/><${Problem} problem=${problem} hint=${hint}/></label>`;
}

function Inner({ schema, defs, value, at, set, problems, children }) {
  return html`<div class="inner">${children}<${Fields} schema=${schema} defs=${defs} value=${value} at=${at} problems=${problems} set=${(name, changed) => set({ ...value, [name]: changed })}/></div>`;
}

function ObjectField({ kind, name, hint, ...rest }) {
  const { value, set } = rest;
  const head = kind.nullable ? html`<${Head} ...${rest} name=${name} hint=${hint} options=${[null, t("form.set")]} value=${value ? t("form.set") : null} choose=${(chosen) => set(chosen && {})}/>`
    : html`<p class="field"><span>${name}</span><small class="hint">${hint ? escapeInvisible(hint) : ""}</small></p>`;
  return html`${head}${value || !kind.nullable ? html`<${Inner} ...${rest} value=${value || {}} schema=${kind.schema}/>` : null}`;
}

function ChoiceField({ kind, name, hint, ...rest }) {
  const { value, set, defs } = rest;
  const { tag, kinds } = kind;
  const chosen = kinds[value?.[tag]];
  return html`<${Head} ...${rest} name=${name} hint=${hint} options=${[...(kind.nullable ? [null] : []), ...Object.keys(kinds)]} value=${value?.[tag]} choose=${(word) => set(word && { [tag]: word })}/>
    ${chosen ? html`<${Inner} ...${rest} schema=${resolve(chosen, defs)}/>` : null}`;
}

// Each item in turn with a button that removes it, then what adds one.
function ListField({ kind, name, hint, ...rest }) {
  const { value, set, defs, at, problems } = rest;
  const items = Array.isArray(value) ? value : [];
  const { tag, kinds, schema } = kind.item;
  const replace = (index, changed) => set(items.map((each, other) => (other === index ? changed : each)));
  return html`<${Head} ...${rest} name=${name} hint=${hint} label=${t("form.add", { name })} options=${[null, ...(kinds ? Object.keys(kinds) : [t("form.more")])]} none=${t("form.another")} value=${null}
      choose=${(chosen) => chosen && set([...items, kinds ? { [tag]: chosen } : {}])}/>
    ${items.map((item, index) => html`<${Inner} key=${index} schema=${kinds ? resolve(kinds[item?.[tag]], defs) : schema} defs=${defs} value=${item || {}} at=${`${at}/${index}`} problems=${problems} set=${(changed) => replace(index, changed)}>
      <p class="item"><strong>${shown(item?.[tag] ?? `${name} ${index + 1}`)}</strong> <button type="button" aria-label=${t("form.remove", { name: `${name} ${index + 1}` })} onClick=${() => set(items.filter((_, other) => other !== index))}>×</button></p></${Inner}>`)}`;
}

// `at` is the pointer of this part; `set(name, value)` tells what changed; `defs` holds what the schema refers to.
export function Fields({ schema, defs = schema.$defs, value, at, set, problems }) {
  return html`${Object.entries(schema.properties || {}).map(([name, field]) => html`<${Field} key=${name} name=${name} field=${field} defs=${defs}
    value=${value[name] === undefined ? field.default : value[name]} at=${`${at}/${name}`} set=${(changed) => set(name, changed)} problems=${problems}/>`)}`;
}
