// The same experiment as a command, as Python, as YAML: to paste elsewhere.
import { absoluteUrl, CopyButton, html, t, useState } from "../lib/page.js";

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
