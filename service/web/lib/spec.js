// A spec: as fields, those that differ from their defaults and folded the others, and as code.
import { absoluteUrl, CopyButton, escapeInvisible, html, t, useGet, useState } from "./page.js";
import { fieldType, resolve } from "./schema.js";

const TOLD = new Set(["kind", "lr", "batch_size", "steps", "epochs"]); // always, unless they are null

const isEqual = (one, other) => JSON.stringify(one) === JSON.stringify(other);

// The fields of an object, of a chosen kind or of an item of a list: {name: schema}; nothing where the schema does not say.
function fieldsOf(value, schema, defs) {
  const type = fieldType(schema, defs);
  const found = type.item || type;
  const chosen = found.type === "choice" ? found.kinds[value?.kind] : found.schema; // a plug-in's kind may be gone
  return resolve(chosen, defs).properties || {};
}

// [[name, value]] of an object twice: what somebody chose or everybody asks for, and what is as it is by default.
export function splitByDefaults(value, properties) {
  const chosen = [];
  const usual = [];
  for (const entry of Object.entries(value)) {
    const [name, each] = entry;
    const field = properties[name];
    const isTold = TOLD.has(name) && each !== null;
    (!isTold && field && "default" in field && isEqual(each, field.default) ? usual : chosen).push(entry);
  }
  return { chosen, usual };
}

const isObject = (value) => value && typeof value === "object" && !Array.isArray(value);

function Entries({ entries, properties, defs }) {
  return html`<dl>${entries.map(([name, each]) => html`<div key=${name} class=${name === "kind" ? "given" : ""}><dt>${escapeInvisible(name)}</dt>
    <dd>${isObject(each) || each?.some?.(isObject) ? [each].flat().map((item) => html`<${Within} value=${item} properties=${fieldsOf(item, properties[name], defs)} defs=${defs}/>`) : html`<code>${escapeInvisible(JSON.stringify(each))}</code>`}</dd></div>`)}</dl>`;
}

// A part of a part: only what is not as by default.
function Within({ value, properties, defs }) {
  return html`<${Entries} entries=${splitByDefaults(value, properties).chosen} properties=${properties} defs=${defs}/>`;
}

function Part({ title, value, properties, defs }) {
  const { chosen, usual } = splitByDefaults(value, properties);
  if (!chosen.length && !usual.length) return null;
  return html`<fieldset><legend>${title}</legend><${Entries} entries=${chosen} properties=${properties} defs=${defs}/>
    ${usual.length ? html`<details><summary>${t("spec.usual", { n: usual.length })}</summary><${Entries} entries=${usual} properties=${properties} defs=${defs}/></details>` : null}</fieldset>`;
}

export function Spec({ spec }) {
  const { value: schema } = useGet("/v1/catalog/experiment");
  const properties = schema?.properties || {};
  const defs = schema?.$defs || {};
  const { chosen, usual } = splitByDefaults(spec, properties);
  const parts = chosen.filter(([, value]) => isObject(value));
  const plain = Object.fromEntries([...chosen, ...usual].filter(([name]) => !parts.some(([part]) => part === name)));
  return html`<section class="spec"><h2>${t("tab.spec")}</h2><div class="parts"><${Part} title=${t("spec.run")} value=${plain} properties=${properties} defs=${defs}/>
    ${parts.map(([name, value]) => html`<${Part} key=${name} title=${escapeInvisible(name)} value=${value} properties=${fieldsOf(value, properties[name], defs)} defs=${defs}/>`)}</div></section>`;
}

// The same experiment as a command, as Python, as YAML: to paste elsewhere.
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

const plain = (text) => /^[A-Za-z_][\w./-]*$/.test(text) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(text);

export function yaml(value, indent = "") {
  if (value === null || typeof value !== "object") return typeof value === "string" && plain(value) ? value : JSON.stringify(value);
  if (Array.isArray(value)) {
    if (value.every((each) => each === null || typeof each !== "object")) return `[${value.map((each) => yaml(each)).join(", ")}]`;
    return value.map((each) => `\n${indent}- ${yaml(each, `${indent}  `).replace(/^\n\s*/, "")}`).join("");
  }
  const fields = Object.entries(value);
  if (!fields.length) return "{}";
  return fields.map(([name, each]) => `\n${indent}${plain(name) ? name : JSON.stringify(name)}: ${yaml(each, `${indent}  `)}`).join("");
}

const python = (value) => JSON.stringify(value, null, 4)
  .replace(/(?<=[:[,]\s*)(true|false|null)(?=[,\]\s}])/g, (word) => ({ true: "True", false: "False", null: "None" })[word]);

const FORMS = {
  curl: (spec) => `curl -sS ${absoluteUrl("/v1/experiments")} -H 'Content-Type: application/json' -H "Authorization: Bearer $SADDLE_KEY" -d ${quoted(JSON.stringify(spec))}`,
  Python: (spec) => `from service.client import Client\n\nmade = Client().submit(${python(spec)})`,
  YAML: (spec) => `${yaml(spec).trimStart()}\n`,
  JSON: (spec) => JSON.stringify(spec, null, 2),
};

export function AsCode({ spec }) {
  const [form, setForm] = useState("");
  const text = form ? FORMS[form](spec) : "";
  return html`<section><h2>${t("as.code")}</h2><div class="bar">${Object.keys(FORMS).map((each) => html`<button type="button" key=${each}
    aria-pressed=${form === each} onClick=${() => setForm(form === each ? "" : each)}>${each}</button>`)}
    ${form ? html`<${CopyButton} text=${text} label=${t("copy")}/>` : null}</div>${form ? html`<pre class="code">${text}</pre>` : null}</section>`;
}
