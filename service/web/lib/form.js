// Form fields drawn from a JSON Schema.
import { html, useState } from "./html.js";
import { escapeInvisible } from "./format.js";
import { t } from "./words.js";

const choicesWithout = (schema, name) => (schema.anyOf || []).filter((each) => each.type !== name);

// {type, options, nullable} of a field; type "json" where only text in JSON can say it.
export function fieldType(field) {
  const nullable = (field.anyOf || []).some((each) => each.type === "null");
  const choices = choicesWithout(field, "null");
  const inner = choices.length === 1 ? { ...field, ...choices[0] } : field;
  if (inner.const !== undefined) return { type: "const", nullable };
  if (inner.enum) return { type: "enum", options: inner.enum, nullable };
  if (["boolean", "integer", "number", "string"].includes(inner.type) && !field.anyOf?.some((each) => each.type && each.type !== inner.type && each.type !== "null")) {
    return { type: inner.type, nullable, low: inner.minimum ?? inner.exclusiveMinimum, high: inner.maximum ?? inner.exclusiveMaximum };
  }
  return { type: "json", nullable };
}

function parseInput(text, type, nullable) {
  if (text === "" && nullable) return null;
  if (type === "string") return text;
  if (type === "integer" || type === "number") {
    const value = Number(text);
    return text.trim() === "" || Number.isNaN(value) ? text : value;
  }
  try {
    return JSON.parse(text);
  } catch {
    return text; // the server says what is wrong with it
  }
}

const inputText = (value, type) => (value === null || value === undefined ? "" : type === "json" ? JSON.stringify(value) : String(value));

// Keeps the draft while somebody types, whatever arrives meanwhile; commits it when the field is left.
export function TextInput({ value, onCommit, ...rest }) {
  const [draft, setDraft] = useState(null);
  return html`<input type="text" spellcheck="false" ...${rest} value=${draft ?? value} onInput=${(event) => setDraft(event.target.value)}
    onChange=${(event) => onCommit(event.target.value)} onBlur=${() => setDraft(null)}/>`;
}

function Field({ name, field, value, set, problem }) {
  const { type, options, nullable, low, high } = fieldType(field);
  if (type === "const" || name === "kind") return null;
  const range = [low !== undefined ? `≥ ${low}` : "", high !== undefined ? `≤ ${high}` : ""].filter(Boolean).join(", ");
  const hint = [field.description, range].filter(Boolean).join("; ");
  const common = { "aria-invalid": Boolean(problem), title: hint };
  let control;
  if (type === "boolean" && !nullable) {
    control = html`<input type="checkbox" checked=${Boolean(value)} ...${common} onChange=${(event) => set(event.target.checked)}/>`;
  } else if (type === "enum" || type === "boolean") {
    const choices = [...(nullable ? [null] : []), ...(options || [true, false])];
    control = html`<select ...${common} value=${JSON.stringify(value ?? null)} onChange=${(event) => set(JSON.parse(event.target.value))}>
      ${choices.map((each) => html`<option value=${JSON.stringify(each)}>${each === null ? "–" : escapeInvisible(each)}</option>`)}</select>`;
  } else {
    control = html`<${TextInput} ...${common} inputmode=${type === "number" || type === "integer" ? "decimal" : "text"}
      value=${inputText(value, type)} onCommit=${(text) => set(parseInput(text, type, nullable))}/>`;
  }
  return html`<label class=${problem ? "field wrong" : "field"}><span>${name}</span>${control}
    ${problem ? html`<small class="wrong">${escapeInvisible(problem.detail)}${problem.did_you_mean ? ` ${t("problem.meant", { word: escapeInvisible(problem.did_you_mean) })}` : ""}</small>`
    : html`<small class="hint">${hint ? escapeInvisible(hint) : ""}</small>`}</label>`;
}

// `at` is the pointer of this part; `set(name, value)` tells what changed.
export function Fields({ schema, value, at, set, problems }) {
  return html`${Object.entries(schema.properties || {}).map(([name, field]) => html`<${Field} key=${name} name=${name} field=${field}
    value=${value[name] === undefined ? field.default : value[name]} set=${(changed) => set(name, changed)}
    problem=${problems.find(({ pointer }) => pointer === `${at}/${name}` || pointer.startsWith(`${at}/${name}/`))}/>`)}`;
}
