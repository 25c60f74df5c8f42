// Workers of the whole server: what each trains, and draining one.
import { ActionButton, DialogButton, EmptyState, escapeInvisible, formatSeconds, html, post, t } from "../lib/page.js";
import { Stop } from "./admin.js";
import { WorkerState } from "./workers.js";

const COLUMNS = ["worker", "pool", "device", "state", "trains", "beat", "change"];

export function AdminWorkers({ found, again }) {
  if (!found.items.length) return html`<${EmptyState} title=${t("workers.none")}><p>${t("workers.none.text")}</p></${EmptyState}>`;
  return html`<div class="scroll"><table class="list"><thead><tr>${COLUMNS.map((word) => html`<th scope="col">${t(`column.${word}`)}</th>`)}</tr></thead>
    <tbody>${found.items.map((worker) => html`<${Row} key=${worker.name} worker=${worker} again=${again}/>`)}</tbody></table></div>`;
}

function Row({ worker, again }) {
  const name = escapeInvisible(worker.name);
  return html`<tr><td>${name}<small> ${escapeInvisible(worker.host)}</small></td><td>${escapeInvisible(worker.pool)}</td>
    <td>${escapeInvisible(worker.device.name || worker.device.kind || "")}</td>
    <td><${WorkerState} worker=${worker}/>${worker.drain_since ? html`<br/><small>${t("admin.drained.by", { who: escapeInvisible(worker.drain_by || "") })}</small>` : null}</td>
    <td>${worker.run_id ? html`${escapeInvisible(worker.experiment)} <small>${escapeInvisible(worker.project)} · ${escapeInvisible(worker.member)}</small>
      <progress max=${worker.total_steps} value=${worker.step} aria-label=${t("column.progress")}></progress> <${Stop} run=${worker} again=${again}/>` : "–"}</td>
    <td class="number">${t("ago", { age: formatSeconds(worker.beat_s) })}</td>
    <td><${Drain} worker=${worker} name=${name} again=${again}/></td></tr>`;
}

function Drain({ worker, name, again }) {
  const ask = (action) => async () => { await post(`/v1/admin/workers/${encodeURIComponent(worker.name)}/${action}`); again(); };
  if (worker.drain_since) return html`<${ActionButton} label=${t("admin.undrain")} act=${ask("undrain")}/>`;
  return html`<${DialogButton} button=${t("admin.drain")} title=${t("admin.drain.title", { name })} label=${t("admin.drain")} act=${ask("drain")}>
    <p>${t("admin.drain.text")}</p></${DialogButton}>`;
}
