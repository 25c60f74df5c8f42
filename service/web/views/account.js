// One's own account: where it is signed in, its address and password, the projects it is in.
import { absoluteUrl, ActionButton, DialogButton, escapeInvisible, formatSeconds, get, html, patch, post, Problems, remove, request, t, useRequest, useState } from "../lib/page.js";
import { PasswordFields } from "./signin.js";

export function Account({ me, entered }) {
  return html`<h1>${escapeInvisible(me.member)}</h1>
    <p class="facts">${me.project ? `${escapeInvisible(me.project)} · ${t(`role.${me.role}`)}` : t("account.nowhere")}${me.level === "server" ? ` · ${t("account.server")}` : ""}</p>
    ${me.key_id ? html`<p class="hint">${t("account.key")}</p>` : html`<${Own}/>`}
    <${Sessions}/>${me.key_id ? null : html`<${Projects} me=${me} entered=${entered}/>`}`;
}

function Own() {
  const [changes, change] = useState(0);
  const changed = () => change((n) => n + 1);
  const { value, error } = useRequest((signal) => get("/v1/account", { signal }), [changes]);
  const ways = useRequest((signal) => get("/v1/sign_in", { signal }), []).value;
  if (error && !value) return html`<${Problems} error=${error}/>`;
  if (!value) return null;
  const setPassword = async (form) => {
    await request("PUT", "/v1/account/password", { password: form.get("password"), ...(form.get("current") ? { current: form.get("current") } : {}) });
    changed();
  };
  const setEmail = async (form) => { await patch("/v1/account", { email: form.get("email").trim() || null }); changed(); };
  return html`<div class="bar"><span>${value.email ? escapeInvisible(value.email) : t("account.no_email")}</span>
    <${DialogButton} button=${t("account.email")} title=${t("account.email")} label=${t("account.save")} act=${setEmail}>
      <label>${t("invited.email")}<input type="text" name="email" inputmode="email" defaultValue=${value.email || ""}/></label></${DialogButton}>
    <${DialogButton} button=${t(value.has_password ? "account.password" : "invited.set")} title=${t("account.password")} label=${t("account.save")} act=${setPassword}>
      ${value.has_password ? html`<label>${t("account.current")}<input type="password" name="current" required autocomplete="current-password"/></label>` : null}
      <${PasswordFields} fresh/></${DialogButton}>
    ${ways?.provider && !value.providers.length ? html`<a class="button" href=${absoluteUrl("/v1/provider/start")}>${t("account.link", { name: escapeInvisible(ways.provider) })}</a>` : null}</div>`;
}

// The name of a browser and a system, as far as a User-Agent tells.
function deviceName(agent) {
  const browser = /Firefox|Edg|OPR|Chrome|Safari|curl|python/i.exec(agent)?.[0] || agent.slice(0, 30);
  const system = /Android|iPhone|iPad|Windows|Mac OS X|Linux/.exec(agent)?.[0];
  return escapeInvisible(system ? `${browser} · ${system}` : browser) || "–";
}

function Sessions() {
  const [changes, change] = useState(0);
  const { value, error } = useRequest((signal) => get("/v1/sessions?limit=100", { signal }), [changes]);
  const end = (path) => async () => { await remove(path); change((n) => n + 1); };
  if (error && !value) return html`<${Problems} error=${error}/>`;
  if (!value?.items.length) return null;
  return html`<h2>${t("sessions.title")}</h2><div class="scroll"><table class="list"><thead><tr>${["device", "address", "seen"]
    .map((word) => html`<th scope="col">${t(`column.${word}`)}</th>`)}<th><span class="hidden">${t("member.actions")}</span></th></tr></thead>
    <tbody>${value.items.map((each) => html`<tr key=${each.id}><td title=${escapeInvisible(each.device)}>${deviceName(each.device)}${each.key_id ? html` <small>${t("sessions.key")}</small>` : null}</td>
      <td>${escapeInvisible(each.address || "–")}</td><td class="number">${t("ago", { age: formatSeconds((Date.now() - Date.parse(each.seen_at)) / 1000) })}</td>
      <td>${each.current ? t("sessions.here") : html`<${ActionButton} label=${t("sign.out")} act=${end(`/v1/sessions/${each.id}`)}/>`}</td></tr>`)}</tbody></table></div>
    ${value.items.length > 1 ? html`<div class="bar"><${ActionButton} label=${t("sessions.others")} act=${end("/v1/sessions")}/></div>` : null}`;
}

function Projects({ me, entered }) {
  const { value } = useRequest((signal) => get("/v1/projects", { signal }), [me.project_id]);
  const makes = useRequest((signal) => get("/v1/account", { signal }), []).value?.makes_projects;
  const make = async (form) => {
    const made = await post("/v1/projects", { name: form.get("name").trim() });
    entered(await patch("/v1/session", { project_id: made.id }));
  };
  return html`<h2>${t("projects.title")}</h2>
    ${value?.items.length ? html`<div class="scroll"><table class="list"><tbody>${value.items.map((each) => html`<tr key=${each.id}><td>${escapeInvisible(each.name)}</td><td>${t(`role.${each.role}`)}</td>
      <td>${each.id === me.project_id ? t("projects.here") : html`<${ActionButton} label=${t("projects.enter")} act=${async () => entered(await patch("/v1/session", { project_id: each.id }))}/>`}</td></tr>`)}</tbody></table></div>`
    : html`<p class="hint">${t("projects.none")}</p>`}
    ${makes ? html`<div class="bar"><${DialogButton} button=${t("projects.new")} title=${t("projects.new")} label=${t("service.make")} act=${make}>
      <label>${t("column.name")}<input type="text" name="name" required maxlength="128"/></label></${DialogButton}></div>` : null}`;
}

// The header's choice between the projects that somebody is in.
export function ProjectSwitch({ me, entered }) {
  const { value } = useRequest((signal) => (me.key_id ? Promise.resolve(null) : get("/v1/projects", { signal })), [me.account_id, me.project_id]);
  if (!value || value.items.length < 2) return html`<span>${escapeInvisible(me.project)}</span>`;
  return html`<select aria-label=${t("projects.title")} value=${me.project_id} onChange=${async (event) => entered(await patch("/v1/session", { project_id: event.target.value }))}>
    ${value.items.map((each) => html`<option value=${each.id}>${escapeInvisible(each.name)}</option>`)}</select>`;
}
