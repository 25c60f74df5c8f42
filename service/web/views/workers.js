// Devices, what runs on them, what waits and why.
import { EmptyState, escapeInvisible, formatBytes, formatCount, formatSeconds, get, href, html, Problems, Prose, StateLabel, t, useInterval, useRequest, useState } from "../lib/page.js";

const SILENT_S = 60;

export function Workers() {
  const [tick, setTick] = useState(0);
  useInterval(2000, () => setTick((n) => n + 1));
  const { value, error } = useRequest((signal) => Promise.all([
    get("/v1/workers", { signal }), get("/v1/runs?state=queued&predictions=true&limit=100", { signal }), get("/v1/runs?state=running&predictions=true&limit=100", { signal }),
  ]), [tick]);
  if (error && !value) return html`<${Problems} error=${error}/>`;
  if (!value) return html`<p class="empty">${t("loading")}</p>`;
  const [workers, queued, running] = value;
  return html`<h1>${t("place.workers")}</h1>
    ${workers.items.length ? html`<${Devices} workers=${workers.items} running=${running.items}/>`
    : html`<${EmptyState} title=${t("workers.none")}><p>${t("workers.none.text")}</p></${EmptyState}>`}
    <h2>${t("queue", { n: formatCount(queued.items.length) + (queued.next_cursor ? "+" : "") })}</h2>
    ${queued.items.length ? html`<${Queue} runs=${queued.items}/>` : html`<p class="hint">${t("queue.none")}</p>`}`;
}

function Devices({ workers, running }) {
  const byId = Object.fromEntries(running.map((run) => [run.id, run]));
  return html`<div class="scroll"><table class="list"><thead><tr>${["worker", "pool", "device", "memory", "state", "run", "beat"]
    .map((word) => html`<th scope="col">${t(`column.${word}`)}</th>`)}</tr></thead><tbody>${workers.map((worker) => html`<tr key=${worker.name}>
      <td>${escapeInvisible(worker.name)}<small> ${escapeInvisible(worker.host)}</small></td><td>${escapeInvisible(worker.pool)}</td>
      <td>${escapeInvisible(worker.device.name || worker.device.kind || "")}</td><td class="number">${formatBytes(worker.device.memory_bytes)}</td>
      <td><${WorkerState} worker=${worker}/></td>
      <td>${worker.run_id ? html`<a href=${href(["run", worker.run_id])}><code>${worker.run_id.slice(-8)}</code></a>
        ${byId[worker.run_id] ? html` <progress max="1" value=${byId[worker.run_id].progress} aria-label=${t("column.progress")}></progress>` : null}` : "–"}</td>
      <td class="number">${t("ago", { age: formatSeconds(worker.beat_s) })}</td></tr>`)}</tbody></table></div>`;
}

export function WorkerState({ worker }) {
  const silent = worker.state !== "gone" && worker.beat_s > SILENT_S;
  const word = silent ? "silent" : worker.state;
  return html`<span class=${`state worker-${word}`}>${t(`worker.${word}`)}</span>${worker.detail ? html`<br/><small><${Prose} text=${worker.detail}/></small>` : null}`;
}

function Queue({ runs }) {
  return html`<div class="scroll"><table class="list"><thead><tr>${["run", "pool", "waits", "state", "why"]
    .map((word) => html`<th scope="col">${t(`column.${word}`)}</th>`)}</tr></thead><tbody>${runs.map((run) => html`<tr key=${run.id} tabindex="0" data-row=${`run/${run.id}`}>
      <td><a href=${href(["run", run.id])}><code>${run.id.slice(-8)}</code></a></td><td>${escapeInvisible(run.pool)}</td>
      <td class="number"><time datetime=${run.created_at}>${formatSeconds((Date.now() - Date.parse(run.created_at)) / 1000)}</time></td>
      <td><${StateLabel} state=${run.displayed}/></td><td>${run.waiting ? escapeInvisible(run.waiting.reason || "") : ""}</td></tr>`)}</tbody></table></div>`;
}
