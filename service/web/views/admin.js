// Administration of the whole server: projects with their quotas, the queue, workers, storage.
import { ActionButton, DialogButton, EmptyState, escapeInvisible, formatBytes, formatCount, formatNumber, formatSeconds, get, href, html, post, Problems, put, t, useInterval, useRequest, useState } from "../lib/page.js";
import { AdminWorkers } from "./admin_workers.js";
import { QuotaEdit, QuotaUse } from "./project.js";

const SECTIONS = { projects: Projects, accounts: AdminAccounts, queue: Queue, workers: AdminWorkers, storage: Storage };
const EVERY_MS = 3000;

export function Admin({ me, path }) {
  const [tick, setTick] = useState(0);
  const again = () => setTick((n) => n + 1);
  useInterval(EVERY_MS, again);
  const section = SECTIONS[path[0]] ? path[0] : "projects";
  const { value, error } = useRequest((signal) => get(`/v1/admin/${section}${section === "workers" ? "" : "?limit=200"}`, { signal }).then((found) => ({ section, found })), [tick, section]);
  const Section = SECTIONS[section];
  return html`<h1>${t("admin.title")}</h1>
    <nav class="bar" aria-label=${t("admin.title")}>${Object.keys(SECTIONS).map((each) => html`<a key=${each} class="button" href=${href(["admin", each])}
      aria-current=${each === section ? "page" : null}>${t(`admin.${each}`)}</a>`)}</nav>
    <${Problems} error=${error}/>
    ${value?.section === section ? html`<${Section} found=${value.found} again=${again} me=${me}/>` : error ? null : html`<p class="empty">${t("loading")}</p>`}`;
}

const head = (words) => html`<thead><tr>${words.map((word) => html`<th scope="col">${t(`column.${word}`)}</th>`)}</tr></thead>`;

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
    <div class="scroll"><table class="list">${head(["quota", "used.of", "change"])}<tbody>${project.quotas.map((quota) => html`<tr key=${quota.name}><td>${t(`quota.${quota.name}`)}</td>
      <td><${QuotaUse} quota=${quota}/></td><td><${QuotaEdit} quota=${quota} whose=${name} save=${save(quota)}/></td></tr>`)}</tbody></table></div></details>`;
}

function Queue({ found, again }) {
  if (!found.items.length) return html`<${EmptyState} title=${t("queue.none")}/>`;
  return html`<p class="hint">${t("admin.waiting", { n: formatCount(found.waiting) })}</p>
    <div class="scroll"><table class="list">${head(["place", "project", "member", "experiment", "pool", "waits", "why", "stop"])}
    <tbody>${found.items.map((run) => html`<tr key=${run.run_id}><td class="number">${run.before + 1}</td><td>${escapeInvisible(run.project)}</td><td>${escapeInvisible(run.member)}</td>
      <td>${escapeInvisible(run.experiment)} <small>${t("admin.seed", { seed: run.seed })}</small></td><td>${escapeInvisible(run.pool)}</td>
      <td class="number">${formatSeconds(run.waited_s)}</td><td>${escapeInvisible(run.reason)}</td><td><${Stop} run=${run} again=${again}/></td></tr>`)}</tbody></table></div>`;
}

// Cancels one run of any project, or all runs of its experiment.
export function Stop({ run, again }) {
  const what = escapeInvisible(run.experiment);
  const act = async (form) => {
    await post(form.get("all") === "on" ? `/v1/admin/experiments/${run.experiment_id}/cancel` : `/v1/admin/runs/${run.run_id}/cancel`);
    again();
  };
  return html`<${DialogButton} button=${t("admin.stop")} kind="danger" title=${t("admin.stop.title", { what, project: escapeInvisible(run.project) })} label=${t("admin.stop")} act=${act}>
    <p>${t("admin.stop.text", { member: escapeInvisible(run.member) })}</p><label class="check"><input type="checkbox" name="all"/> ${t("admin.stop.all")}</label></${DialogButton}>`;
}

function Storage({ found }) {
  return html`<p class="hint">${t("admin.database", { size: formatBytes(found.database_bytes) })}</p>
    <div class="scroll"><table class="list">${head(["project", "experiments", "points", "checkpoints", "uploads"])}
    <tbody>${found.items.map((each) => html`<tr key=${each.project_id}><td>${escapeInvisible(each.project)}</td><td class="number">${formatCount(each.experiments)}</td>
      <td class="number">${formatCount(each.points)}</td><td class="number">${formatBytes(each.checkpoint_bytes)} <small>(${formatCount(each.checkpoints)})</small></td>
      <td class="number">${formatBytes(each.upload_bytes)} <small>(${formatCount(each.uploads)})</small></td></tr>`)}</tbody></table></div>`;
}

// Accounts of the whole server: who there is, and stopping one.
const COLUMNS = ["name", "kind", "email", "state", "change"];

function AdminAccounts({ found, again, me }) {
  return html`<div class="scroll"><table class="list"><thead><tr>${COLUMNS.map((word) => html`<th scope="col">${t(`column.${word}`)}</th>`)}</tr></thead>
    <tbody>${found.items.map((account) => html`<${Row} key=${account.id} account=${account} again=${again} me=${me}/>`)}</tbody></table></div>
    ${found.next_cursor ? html`<p class="hint">${t("admin.accounts.first", { n: found.items.length })}</p>` : null}`;
}

function Row({ account, again, me }) {
  const state = [account.admin && t("admin.accounts.admin"), account.disabled_at && t("admin.accounts.disabled")].filter(Boolean).join(", ");
  return html`<tr><td>${escapeInvisible(account.name)}</td><td>${t(`admin.accounts.${account.kind}`)}</td><td>${escapeInvisible(account.email || "–")}</td><td>${state || "–"}</td>
    <td>${account.id === me.account_id ? "" : html`<${Switch} account=${account} again=${again}/>`}</td></tr>`;
}

function Switch({ account, again }) {
  const ask = (action) => async () => { await post(`/v1/admin/accounts/${account.id}/${action}`); again(); };
  if (account.disabled_at) return html`<${ActionButton} label=${t("admin.enable")} act=${ask("enable")}/>`;
  return html`<${DialogButton} button=${t("admin.disable")} kind="danger" title=${t("admin.disable.title", { name: escapeInvisible(account.name) })} label=${t("admin.disable")} act=${ask("disable")}>
    <p>${t("admin.disable.text")}</p></${DialogButton}>`;
}
