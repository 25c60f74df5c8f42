// Devices, what runs on them, what waits and why.
import { EmptyState, escapeInvisible, formatAge, formatBytes, formatCount, formatSeconds, get, href, html, List, Pending, Said, StateLabel, t, useInterval, useRequest } from "../lib/page.js";

const SILENT_S = 60;

export function Workers() {
  const { value, error, again } = useRequest((signal) => Promise.all([
    get("/v1/workers", { signal }), get("/v1/runs?state=queued&predictions=true&limit=100", { signal }), get("/v1/runs?state=running&predictions=true&limit=100", { signal }),
  ]), []);
  useInterval(2000, again);
  if (!value) return html`<${Pending} error=${error}/>`;
  const [workers, queued, running] = value;
  return html`<h1>${t("place.workers")}</h1>
    ${workers.items.length ? html`<${Devices} workers=${workers.items} running=${running.items}/>`
    : html`<${EmptyState} title=${t("workers.none")}><p>${t("workers.none.text")}</p></${EmptyState}>`}
    <h2>${t("queue", { n: formatCount(queued.items.length) + (queued.next_cursor ? "+" : "") })}</h2>
    ${queued.items.length ? html`<${Queue} runs=${queued.items}/>` : html`<p class="hint">${t("queue.none")}</p>`}`;
}

const linkTo = (id) => html`<a href=${href(["run", id])}><code>${id.slice(-8)}</code></a>`;

// What a list of workers says of each.
export const nameOf = (worker) => html`${escapeInvisible(worker.name)}<small> ${escapeInvisible(worker.host)}</small>`;
export const deviceOf = ({ device }) => escapeInvisible(device.name || device.kind || "");

function Devices({ workers, running }) {
  const byId = Object.fromEntries(running.map((run) => [run.id, run]));
  return html`<${List} name=${t("place.workers")} columns=${["worker", "pool", "device", "#memory", "state", "run", "#beat"]} items=${workers} row=${({ name }) => ({ key: name })} cells=${(worker) => [
    nameOf(worker), escapeInvisible(worker.pool), deviceOf(worker), formatBytes(worker.device.memory_bytes), html`<${WorkerState} worker=${worker}/>`,
    worker.run_id ? html`${linkTo(worker.run_id)}${byId[worker.run_id] ? html` <progress max="1" value=${byId[worker.run_id].progress} aria-label=${t("column.progress")}></progress>` : null}` : "–",
    t("ago", { age: formatSeconds(worker.beat_s) })]}/>`;
}

export function WorkerState({ worker }) {
  const silent = worker.state !== "gone" && worker.beat_s > SILENT_S;
  const word = silent ? "silent" : worker.state;
  return html`<span class=${`state worker-${word}`}>${t(`worker.${word}`)}</span>${worker.detail ? html`<br/><small><${Said} text=${worker.detail}/></small>` : null}`;
}

function Queue({ runs }) {
  return html`<${List} name=${t("admin.queue")} columns=${["run", "pool", "#waits", "state", "why"]} items=${runs} row=${({ id }) => ({ tabindex: 0, "data-row": `run/${id}` })} cells=${(run) => [
    linkTo(run.id), escapeInvisible(run.pool), html`<time datetime=${run.created_at}>${formatAge(run.created_at)}</time>`,
    html`<${StateLabel} state=${run.displayed}/>`, html`<${Said} text=${run.waiting?.reason}/>`]}/>`;
}
