// API keys: made, rotated and revoked; and what the project lets its members do.
import { ActionButton, CopyButton, DialogButton, escapeInvisible, formatAge, formatCount, get, html, isAdmin, patch, post, Problems, queryString, t, useRequest, useState } from "../lib/page.js";

const COLUMNS = ["name", "actions", "scope", "expires", "member", "used", "age", "key"];
const SCOPES = ["read", "submit", "admin"];
const DAY_S = 86400;
const LIMITS = { runs_per_day: "runs", device_s_per_day: "seconds" }; // of a key -> their word

export function Keys({ me }) {
  const [round, setRound] = useState(0);
  const [made, setMade] = useState(null); // shown once
  const [closed, setClosed] = useState(false);
  const again = () => setRound((n) => n + 1);
  const { value, error } = useRequest((signal) => get(`/v1/keys${queryString({ limit: 200, closed: closed || "" })}`, { signal }), [round, closed]);
  if (error && !value) return html`<${Problems} error=${error}/>`;
  if (!value) return html`<p class="empty">${t("loading")}</p>`;
  const show = (key) => { setMade(key); again(); };
  return html`<h1>${t("place.keys")}</h1><p class="hint">${t(isAdmin(me) ? "keys.all" : "keys.own")}</p>
    <div class="bar"><${DialogButton} button=${t("keys.new")} title=${t("keys.new")} label=${t("keys.make")} act=${(form) => make(form).then(show)}><${NewKey}/></${DialogButton}>
      <label><input type="checkbox" checked=${closed} onChange=${(event) => setClosed(event.target.checked)}/> ${t("keys.closed")}</label></div>
    ${made ? html`<${Made} made=${made} close=${() => setMade(null)}/>` : null}
    <div class="scroll"><table class="list"><thead><tr>${COLUMNS.map((word) => html`<th scope="col">${t(`column.${word}`)}</th>`)}</tr></thead>
      <tbody>${value.items.map((key) => html`<${Key} key=${key.id} item=${key} me=${me} show=${show} again=${again}/>`)}</tbody></table></div>
    <${Project} me=${me}/>`;
}

function make(form) {
  const days = form.get("days");
  const lifetime = days === "" ? {} : { lifetime_s: days === "0" ? null : Number(days) * DAY_S };
  const limits = Object.fromEntries(Object.keys(LIMITS).map((name) => [name, Number(form.get(name))]).filter(([, n]) => n > 0));
  return post("/v1/keys", { name: form.get("name"), scope: form.get("scope"), ...lifetime, ...limits });
}

function NewKey() {
  return html`<label>${t("column.name")} <input type="text" name="name" required maxlength="128" autofocus/></label>
    <label>${t("column.scope")} <select name="scope">${SCOPES.map((scope) => html`<option value=${scope}>${t(`scope.${scope}`)}</option>`)}</select></label>
    <label>${t("column.expires")} <select name="days">${["", "7", "30", "365", "0"].map((days) => html`<option value=${days}>${t(`keys.days.${days || "default"}`)}</option>`)}</select></label>
    ${Object.entries(LIMITS).map(([name, word]) => html`<label key=${name}>${t(`keys.${word}`)} <input type="number" name=${name} min="1" placeholder=${t("keys.unlimited")}/></label>`)}`;
}

function Made({ made, close }) {
  return html`<div class="panel" role="status"><p><strong>${t("keys.once")}</strong></p><p><code>${made.key}</code></p>
    <div class="bar"><${CopyButton} text=${made.key} label=${t("keys.copy")}/> <button type="button" onClick=${close}>${t("close")}</button></div></div>`;
}

function Key({ item, me, show, again }) {
  const path = `/v1/keys/${item.id}`;
  const expires = item.expires_at ? item.expires_at.slice(0, 10) : t("keys.never");
  const state = item.revoked_at ? t("keys.revoked") : item.open ? expires : t("keys.expired");
  const revoke = html`<${DialogButton} button=${t("keys.revoke")} kind="danger" title=${t("keys.revoke.title")} label=${t("keys.revoke")}
    act=${() => post(`${path}/revoke`).then(again)}><p>${t("keys.revoke.text")}</p><ul><li>${escapeInvisible(item.name || item.id)}</li></ul></${DialogButton}>`;
  return html`<tr><td>${escapeInvisible(item.name || "–")}${item.current ? html` <span class="tag">${t("keys.this")}</span>` : null}</td>
    <td>${item.open && item.member === me.member ? html`<${ActionButton} label=${t("keys.rotate")} act=${() => post(`${path}/rotate`).then(show)}/>${" "}` : null}${item.open && !item.current ? revoke : null}</td>
    <td>${t(`scope.${item.scope}`)}${Object.entries(LIMITS).map(([name, word]) => (item[name] === null ? null : html`<br key=${name}/><small>${t(`keys.limit.${word}`, { n: formatCount(item[name]) })}</small>`))}</td><td class=${item.expires_soon ? "wrong" : ""}>${state}${item.expires_soon ? html` <small>${t("keys.soon")}</small>` : null}</td>
    <td>${escapeInvisible(item.member)}</td><td class="number">${item.last_used_at ? t("ago", { age: formatAge(item.last_used_at) }) : "–"}</td>
    <td class="number">${formatAge(item.created_at)}</td><td><code>…${item.id.slice(-8)}</code></td></tr>`;
}

function Project({ me }) {
  const [round, again] = useState(0);
  const { value: project, error } = useRequest((signal) => get("/v1/project", { signal }), [round]);
  if (!project) return html`<${Problems} error=${error}/>`;
  const change = () => patch("/v1/project", { members_manage: !project.members_manage }).then(() => again((n) => n + 1));
  return html`<h2>${t("project.of", { name: escapeInvisible(project.name) })}</h2>
    <p>${t(project.members_manage ? "project.manage" : "project.own")}</p>
    <div class="bar"><${ActionButton} label=${t(project.members_manage ? "project.forbid" : "project.allow")} act=${change} disabled=${!isAdmin(me)}/>
      ${isAdmin(me) ? null : html`<span class="hint">${t("right.admin")}</span>`}</div>`;
}
