// A data file of one's own: sent as it is, answered with a report of its columns.
import { html, useState } from "../lib/html.js";
import { ask, query } from "../lib/api.js";
import { count, figure, visible } from "../lib/format.js";
import { Copy, Problems } from "../lib/parts.js";
import { t } from "../lib/words.js";

export function Upload() {
  const [state, set] = useState({});
  const send = async (event) => {
    const [file] = event.target.files;
    if (!file) return;
    set({ busy: true });
    try {
      set({ stored: await ask("POST", `/v1/datasets${query({ name: file.name })}`, file, { headers: { "Content-Type": "application/octet-stream" } }) });
    } catch (error) {
      set({ error });
    }
  };
  return html`<span class="upload"><label class="button">${state.busy ? t("upload.busy") : t("upload")}<input type="file" class="hidden" onChange=${send}/></label>
    <${Problems} error=${state.error}/>${state.stored ? html`<${Report} stored=${state.stored}/>` : null}</span>`;
}

function Report({ stored }) {
  const columns = stored.report.columns || [];
  return html`<div class="report"><p><strong>${visible(stored.name)}</strong> ${t("rows", { n: count(stored.report.rows) })} <code>${stored.id}</code> <${Copy} text=${stored.id} label=${t("copy")}/></p>
    <div class="scroll"><table class="list"><thead><tr>${["name", "type", "missing", "min", "max", "classes"].map((word) => html`<th scope="col">${t(`column.${word}`)}</th>`)}</tr></thead>
    <tbody>${columns.map((column) => html`<tr><td>${visible(column.name)}</td><td>${visible(column.type)}</td><td class="number">${count(column.missing)}</td>
      <td class="number">${figure(column.min)}</td><td class="number">${figure(column.max)}</td><td>${column.classes ? visible(column.classes.slice(0, 8).join(", ")) : ""}</td></tr>`)}</tbody></table></div></div>`;
}
