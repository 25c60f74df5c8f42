// One's own account: where it is signed in, its address and password, the projects it is in.
import { absoluteUrl, ActionButton, Ago, DialogButton, escapeInvisible, html, List, NameField, patch, post, Problems, remove, request, t, useGet } from "../lib/page.js";
import { PasswordFields } from "./signin.js";

export function Account({ me, entered }) {
  return html`<h1>${escapeInvisible(me.member)}</h1>
    <p class="facts">${me.project ? `${escapeInvisible(me.project)} · ${t(`role.${me.role}`)}` : t("account.nowhere")}${me.level === "server" ? ` · ${t("account.server")}` : ""}</p>
    ${me.key_id ? html`<p class="hint">${t("account.key")}</p>` : html`<${Own}/>`}
    <${Sessions}/>${me.key_id ? null : html`<${Projects} me=${me} entered=${entered}/>`}`;
}

function Own() {
  const { value, error, again: changed } = useGet("/v1/account");
  const ways = useGet("/v1/sign_in").value;
  if (error && !value) return html`<${Problems} error=${error}/>`;
  if (!value) return null;
  const setPassword = async (form) => {
    await request("PUT", "/v1/account/password", { password: form.get("password"), ...(form.get("current") ? { current: form.get("current") } : {}) });
    changed();
  };
  const setEmail = async (form) => { await patch("/v1/account", { email: form.get("email").trim() || null }); changed(); };
  return html`<div class="bar"><span>${value.email ? escapeInvisible(value.email) : t("account.no_email")}</span>
    <${DialogButton} button=${t("account.email")} title=${t("account.email")} label=${t("save")} act=${setEmail}>
      <label>${t("invited.email")}<input type="text" name="email" inputmode="email" defaultValue=${value.email || ""}/></label></${DialogButton}>
    <${DialogButton} button=${t(value.has_password ? "account.password" : "invited.set")} title=${t("account.password")} label=${t("save")} act=${setPassword}>
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
  const { value, error, again } = useGet("/v1/sessions?limit=100");
  const end = (path) => async () => { await remove(path); again(); };
  if (error && !value) return html`<${Problems} error=${error}/>`;
  if (!value?.items.length) return null;
  return html`<h2>${t("sessions.title")}</h2><${List} columns=${["device", "address", "#beat", "actions"]} items=${value.items} cells=${(each) => [
    html`<span title=${escapeInvisible(each.device)}>${deviceName(each.device)}</span>${each.key_id ? html` <small>${t("sessions.key")}</small>` : null}`, escapeInvisible(each.address || "–"), html`<${Ago} at=${each.seen_at}/>`,
    each.current ? t("sessions.here") : html`<${ActionButton} label=${t("sign.out")} act=${end(`/v1/sessions/${each.id}`)}/>`]}/>
    ${value.items.length > 1 ? html`<div class="bar"><${ActionButton} label=${t("sessions.others")} act=${end("/v1/sessions")}/></div>` : null}`;
}

function Projects({ me, entered }) {
  const { value } = useGet("/v1/projects", [me.project_id]);
  const makes = useGet("/v1/account").value?.makes_projects;
  const make = async (form) => {
    const made = await post("/v1/projects", { name: form.get("name").trim() });
    entered(await patch("/v1/session", { project_id: made.id }));
  };
  return html`<h2>${t("admin.projects")}</h2>
    ${value?.items.length ? html`<${List} columns=${["project", "role", "actions"]} items=${value.items} cells=${(each) => [escapeInvisible(each.name), t(`role.${each.role}`),
      each.id === me.project_id ? t("projects.here") : html`<${ActionButton} label=${t("projects.enter")} act=${async () => entered(await patch("/v1/session", { project_id: each.id }))}/>`]}/>`
    : html`<p class="hint">${t("projects.none")}</p>`}
    ${makes ? html`<div class="bar"><${DialogButton} button=${t("projects.new")} title=${t("projects.new")} label=${t("service.make")} act=${make}>
      <${NameField}/></${DialogButton}></div>` : null}`;
}

// The header's choice between the projects that somebody is in.
export function ProjectSwitch({ me, entered }) {
  const { value } = useGet(me.key_id ? null : "/v1/projects", [me.account_id, me.project_id]);
  if (!value || value.items.length < 2) return html`<span>${escapeInvisible(me.project)}</span>`;
  return html`<select aria-label=${t("admin.projects")} value=${me.project_id} onChange=${async (event) => entered(await patch("/v1/session", { project_id: event.target.value }))}>
    ${value.items.map((each) => html`<option value=${each.id}>${escapeInvisible(each.name)}</option>`)}</select>`;
}
