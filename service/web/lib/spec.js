// A spec as a tree of fields, with those that differ from the defaults highlighted.
import { html } from "./html.js";
import { get } from "./api.js";
import { useRequest } from "./components.js";
import { escapeInvisible } from "./format.js";
import { t } from "./words.js";

const isEqual = (one, other) => JSON.stringify(one) === JSON.stringify(other);

// {"/optimizer/lr": default} from the JSON Schemas of the parts that a spec names by kind.
function defaultsIn(schema) {
  const found = {};
  for (const [name, field] of Object.entries(schema.properties || {})) if ("default" in field) found[name] = field.default;
  return found;
}

async function loadDefaults(spec, signal) {
  const { items } = await get("/v1/catalog", { signal });
  const chosen = items.filter(({ field, items: kinds }) => field && kinds.some(({ kind }) => kind === spec[field]?.kind)); // a plug-in may be gone
  const schemas = chosen.map(({ field, family }) => get(`/v1/catalog/${family}/${spec[field].kind}`, { signal }));
  return Object.fromEntries((await Promise.all(schemas)).map(({ json_schema: schema }, index) => [chosen[index].field, defaultsIn(schema)]));
}

export function useDefaults(spec) {
  const kinds = Object.entries(spec).map(([name, part]) => [name, part?.kind]).filter(([, kind]) => kind);
  const { value } = useRequest((signal) => loadDefaults(spec, signal), [JSON.stringify(kinds)]);
  return value || {};
}

function Leaf({ value }) {
  return html`<code>${escapeInvisible(JSON.stringify(value))}</code>`;
}

function Fields({ value, defaults = {} }) {
  return html`<dl>${Object.entries(value).map(([name, each]) => {
    const given = name !== "kind" && name in defaults && !isEqual(each, defaults[name]);
    const deep = each && typeof each === "object" && !Array.isArray(each);
    return html`<div key=${name} class=${given || name === "kind" ? "given" : ""}><dt>${escapeInvisible(name)}</dt>
      <dd>${deep ? html`<${Fields} value=${each}/>` : html`<${Leaf} value=${each}/>`}</dd></div>`;
  })}</dl>`;
}

export function Spec({ spec }) {
  const defaults = useDefaults(spec);
  const parts = Object.entries(spec).filter(([, value]) => value && typeof value === "object" && !Array.isArray(value));
  const plain = Object.fromEntries(Object.entries(spec).filter(([name]) => !parts.some(([part]) => part === name)));
  return html`<section class="spec"><h2>${t("spec")}</h2><p class="hint">${t("spec.given")}</p>
    <div class="parts"><fieldset><legend>${t("spec.run")}</legend><${Fields} value=${plain}/></fieldset>
    ${parts.map(([name, value]) => html`<fieldset key=${name}><legend>${escapeInvisible(name)}</legend>
      <${Fields} value=${value} defaults=${defaults[name]}/></fieldset>`)}</div></section>`;
}
