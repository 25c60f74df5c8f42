// Administration of the whole server: projects with their quotas, accounts, the queue, workers, storage.
import { ActionButton, DialogButton, EmptyState, escapeInvisible, formatBytes, formatCount, formatNumber, formatSeconds, get, href, html, List, post, Problems, put, t, useInterval, useRequest } from "../lib/page.js";
import { QuotaEdit, QuotaUse } from "./project.js";
import { deviceOf, nameOf, WorkerState } from "./workers.js";

const SECTIONS = { projects: Projects, accounts: AdminAccounts, queue: Queue, workers: AdminWorkers, storage: Storage };
const EVERY_MS = 3000;

export function Admin({ me, path }) {
  const section = SECTIONS[path[0]] ? path[0] : "projects";
  const { value, error, again } = useRequest((signal) => get(`/v1/admin/${section}${section === "workers" ? "" : "?limit=200"}`, { signal }).then((found) => ({ section, found })), [section]);
  useInterval(EVERY_MS, again);
  const Section = SECTIONS[section];
  return html`<h1>${t("admin.title")}</h1>
    <nav class="bar" aria-label=${t("admin.title")}>${Object.keys(SECTIONS).map((each) => html`<a key=${each} class="button" href=${href(["admin", each])}
      aria-current=${each === section ? "page" : null}>${t(`admin.${each}`)}</a>`)}</nav>
    <${Problems} error=${error}/>
    ${value?.section === section ? html`<${Section} found=${value.found} again=${again} me=${me}/>` : error ? null : html`<p class="empty">${t("loading")}</p>`}`;
}

function Projects({ found, again }) {
  return html`${found.items.map((project) => html`<${OneProject} key=${project.id} project=${project} again=${again}/>`)}
    ${found.next_after ? html`<p class="hint">${t("admin.first", { n: found.items.length })}</p>` : null}`;
}

function OneProject({ project, again }) {
  const name = escapeInvisible(project.name);
  const save = (quota) => async (value, usual) => {
    await put(`/v1/admin/quotas/${quota.name}${usual ? "?default=true" : ""}`, { value, subject: "project", project: project.name });
    again();
  };
  const people = project.members.map((each) => `${escapeInvisible(each.name)} (${t(`role.${each.role}`)})`).join(", ");
  const facts = [
    t("admin.running", { n: formatCount(project.running) }), t("admin.queued", { n: formatCount(project.queued) }),
    t("admin.recent", { time: formatSeconds(project.recent_s) }), t("admin.month", { n: formatNumber(project.device_hours, 3) }),
  ];
  return html`<details class="finding" open><summary><strong>${name}</strong> · ${facts.join(" · ")}</summary>
    <p class="hint">${people}</p>
    <${List} columns=${["quota", "used.of", "change"]} items=${project.quotas} cells=${(quota) => [t(`quota.${quota.name}`), html`<${QuotaUse} quota=${quota}/>`, html`<${QuotaEdit} quota=${quota} whose=${name} save=${save(quota)}/>`]}/></details>`;
}

function Queue({ found, again }) {
  if (!found.items.length) return html`<${EmptyState} title=${t("queue.none")}/>`;
  return html`<p class="hint">${t("admin.waiting", { n: formatCount(found.waiting) })}</p>
    <${List} name=${t("admin.queue")} columns=${["#place", "project", "member", "experiment", "pool", "#waits", "why", "stop"]} items=${found.items} row=${(run) => ({ key: run.run_id })} cells=${(run) => [
    run.before + 1, escapeInvisible(run.project), escapeInvisible(run.member), html`${escapeInvisible(run.experiment)} <small>${t("seed", { seed: run.seed })}</small>`, escapeInvisible(run.pool),
    formatSeconds(run.waited_s), escapeInvisible(run.reason), html`<${Stop} run=${run} again=${again}/>`]}/>`;
}

// Cancels one run of any project, or all runs of its experiment.
export function Stop({ run, again }) {
  const what = escapeInvisible(run.experiment);
  const act = async (form) => {
    await post(form.get("all") === "on" ? `/v1/admin/experiments/${run.experiment_id}/cancel` : `/v1/admin/runs/${run.run_id}/cancel`);
    again();
  };
  return html`<${DialogButton} button=${t("stop")} kind="danger" title=${t("admin.stop.title", { what, project: escapeInvisible(run.project) })} label=${t("stop")} act=${act}>
    <p>${t("admin.stop.text", { member: escapeInvisible(run.member) })}</p><label class="check"><input type="checkbox" name="all"/> ${t("admin.stop.all")}</label></${DialogButton}>`;
}

function Storage({ found }) {
  return html`<p class="hint">${t("admin.database", { size: formatBytes(found.database_bytes) })}</p>
    <${List} name=${t("admin.storage")} columns=${["project", "#experiments", "#points", "#checkpoints", "#uploads"]} items=${found.items} cells=${(each) => [escapeInvisible(each.project), formatCount(each.experiments), formatCount(each.points),
    ...[[each.checkpoint_bytes, each.checkpoints], [each.upload_bytes, each.uploads]].map(([bytes, n]) => html`${formatBytes(bytes)} <small>(${formatCount(n)})</small>`)]}/>`;
}

// Accounts of the whole server: who there is, and stopping one.
function AdminAccounts({ found, again, me }) {
  const stateOf = (account) => [account.admin && t("account.server"), account.disabled_at && t("admin.accounts.disabled")].filter(Boolean).join(", ") || "–";
  return html`<${List} columns=${["name", "kind", "email", "state", "change"]} items=${found.items} cells=${(account) => [
    escapeInvisible(account.name), t(`account.kind.${account.kind}`), escapeInvisible(account.email || "–"), stateOf(account), account.id === me.account_id ? "" : html`<${Switch} account=${account} again=${again}/>`]}/>
    ${found.next_cursor ? html`<p class="hint">${t("admin.accounts.first", { n: found.items.length })}</p>` : null}`;
}

function Switch({ account, again }) {
  const ask = (action) => async () => { await post(`/v1/admin/accounts/${account.id}/${action}`); again(); };
  if (account.disabled_at) return html`<${ActionButton} label=${t("admin.enable")} act=${ask("enable")}/>`;
  return html`<${DialogButton} button=${t("admin.disable")} kind="danger" title=${t("admin.disable.title", { name: escapeInvisible(account.name) })} label=${t("admin.disable")} act=${ask("disable")}>
    <p>${t("admin.disable.text")}</p></${DialogButton}>`;
}

// Workers of the whole server: what each trains, and draining one.
export function AdminWorkers({ found, again }) {
  if (!found.items.length) return html`<${EmptyState} title=${t("workers.none")}><p>${t("workers.none.text")}</p></${EmptyState}>`;
  return html`<${List} name=${t("admin.workers")} columns=${["worker", "pool", "device", "state", "trains", "#beat", "change"]} items=${found.items} row=${({ name }) => ({ key: name })} cells=${(worker) => [
    nameOf(worker), escapeInvisible(worker.pool), deviceOf(worker),
    html`<${WorkerState} worker=${worker}/>${worker.drain_since ? html`<br/><small>${t("admin.drained.by", { who: escapeInvisible(worker.drain_by || "") })}</small>` : null}`,
    worker.run_id ? html`${escapeInvisible(worker.experiment)} <small>${escapeInvisible(worker.project)} · ${escapeInvisible(worker.member)}</small>
      <progress max=${worker.total_steps} value=${worker.step} aria-label=${t("column.progress")}></progress> <${Stop} run=${worker} again=${again}/>` : "–",
    t("ago", { age: formatSeconds(worker.beat_s) }), html`<${Drain} worker=${worker} name=${escapeInvisible(worker.name)} again=${again}/>`]}/>`;
}

function Drain({ worker, name, again }) {
  const ask = (action) => async () => { await post(`/v1/admin/workers/${encodeURIComponent(worker.name)}/${action}`); again(); };
  if (worker.drain_since) return html`<${ActionButton} label=${t("admin.undrain")} act=${ask("undrain")}/>`;
  return html`<${DialogButton} button=${t("admin.drain")} title=${t("admin.drain.title", { name })} label=${t("admin.drain")} act=${ask("drain")}>
    <p>${t("admin.drain.text")}</p></${DialogButton}>`;
}
