// API keys: made, rotated and revoked; and what the project lets its members do.
import { ActionButton, Ago, CopyButton, DialogButton, escapeInvisible, formatAge, formatCount, html, isAdmin, List, NameField, patch, Pending, post, Problems, queryString, t, useGet, useState } from "../lib/page.js";

const SCOPES = ["read", "submit", "admin"];
const DAY_S = 86400;
const LIMITS = { runs_per_day: "runs", device_s_per_day: "seconds" }; // of a key -> their word

export function Keys({ me }) {
  const [made, setMade] = useState(null); // shown once
  const [closed, setClosed] = useState(false);
  const { value, error, again } = useGet(`/v1/keys${queryString({ limit: 200, closed: closed || "" })}`);
  if (!value) return html`<${Pending} error=${error}/>`;
  const show = (key) => { setMade(key); again(); };
  return html`<h1>${t("place.keys")}</h1><p class="hint">${t(isAdmin(me) ? "keys.all" : "keys.own")}</p>
    <div class="bar"><${DialogButton} button=${t("keys.new")} title=${t("keys.new")} label=${t("keys.make")} act=${(form) => make(form).then(show)}><${NewKey}/></${DialogButton}>
      <label><input type="checkbox" checked=${closed} onChange=${(event) => setClosed(event.target.checked)}/> ${t("keys.closed")}</label></div>
    ${made ? html`<${Made} made=${made} close=${() => setMade(null)}/>` : null}
    <${List} columns=${["name", "actions", "scope", "expires", "member", "#used", "#age", "key"]} items=${value.items} cells=${(key) => cellsOf(key, me, show, again)}/>
    <${Project} me=${me}/>`;
}

function make(form) {
  const days = form.get("days");
  const lifetime = days === "" ? {} : { lifetime_s: days === "0" ? null : Number(days) * DAY_S };
  const limits = Object.fromEntries(Object.keys(LIMITS).map((name) => [name, Number(form.get(name))]).filter(([, n]) => n > 0));
  return post("/v1/keys", { name: form.get("name"), scope: form.get("scope"), ...lifetime, ...limits });
}

function NewKey() {
  return html`<${NameField}/>
    <label>${t("column.scope")} <select name="scope">${SCOPES.map((scope) => html`<option value=${scope}>${t(`scope.${scope}`)}</option>`)}</select></label>
    <label>${t("column.expires")} <select name="days">${["", "7", "30", "365", "0"].map((days) => html`<option value=${days}>${t(`keys.days.${days || "default"}`)}</option>`)}</select></label>
    ${Object.entries(LIMITS).map(([name, word]) => html`<label key=${name}>${t(`keys.${word}`)} <input type="number" name=${name} min="1" placeholder=${t("quota.none")}/></label>`)}`;
}

function Made({ made, close }) {
  return html`<div class="panel" role="status"><p><strong>${t("keys.once")}</strong></p><p><code>${made.key}</code></p>
    <div class="bar"><${CopyButton} text=${made.key} label=${t("keys.copy")}/> <button type="button" onClick=${close}>${t("close")}</button></div></div>`;
}

function cellsOf(item, me, show, again) {
  const path = `/v1/keys/${item.id}`;
  const expires = item.expires_at ? item.expires_at.slice(0, 10) : t("keys.days.0");
  const state = item.revoked_at ? t("keys.revoked") : item.open ? expires : t("keys.expired");
  const revoke = html`<${DialogButton} button=${t("keys.revoke")} kind="danger" title=${t("keys.revoke.title")} label=${t("keys.revoke")}
    act=${() => post(`${path}/revoke`).then(again)}><p>${t("keys.revoke.text")}</p><ul><li>${escapeInvisible(item.name || item.id)}</li></ul></${DialogButton}>`;
  return [html`${escapeInvisible(item.name || "–")}${item.current ? html` <span class="tag">${t("keys.this")}</span>` : null}`,
    html`${item.open && item.member === me.member ? html`<${ActionButton} label=${t("keys.rotate")} act=${() => post(`${path}/rotate`).then(show)}/>${" "}` : null}${item.open && !item.current ? revoke : null}`,
    html`${t(`scope.${item.scope}`)}${Object.entries(LIMITS).map(([name, word]) => (item[name] === null ? null : html`<br key=${name}/><small>${t(`keys.limit.${word}`, { n: formatCount(item[name]) })}</small>`))}`,
    html`<span class=${item.expires_soon ? "wrong" : ""}>${state}${item.expires_soon ? html` <small>${t("keys.soon")}</small>` : null}</span>`,
    escapeInvisible(item.member), item.last_used_at ? html`<${Ago} at=${item.last_used_at}/>` : "–", formatAge(item.created_at), html`<code>…${item.id.slice(-8)}</code>`];
}

function Project({ me }) {
  const { value: project, error, again } = useGet("/v1/project");
  if (!project) return html`<${Problems} error=${error}/>`;
  const change = () => patch("/v1/project", { members_manage: !project.members_manage }).then(again);
  return html`<h2>${t("project.of", { name: escapeInvisible(project.name) })}</h2>
    <p>${t(project.members_manage ? "project.manage" : "project.own")}</p>
    <div class="bar"><${ActionButton} label=${t(project.members_manage ? "project.forbid" : "project.allow")} act=${change} disabled=${!isAdmin(me)}/>
      ${isAdmin(me) ? null : html`<span class="hint">${t("right.admin")}</span>`}</div>`;
}
