// Who is in the project, and who is invited; admins change it.
import { ActionButton, CopyButton, DialogButton, escapeInvisible, html, isAdmin, List, NameField, patch, Pending, post, Problems, remove, t, useGet, useState } from "../lib/page.js";

const ROLES = ["viewer", "member", "admin"];

export function Members({ me }) {
  const { value, error, again: changed } = useGet("/v1/members?limit=200");
  if (!value) return html`<${Pending} error=${error}/>`;
  const admin = isAdmin(me);
  return html`<h1>${t("place.members")}</h1>
    <${List} columns=${["name", "role", "since", ...(admin ? ["actions"] : [])]} items=${value.items} cells=${(each) => [
      html`${escapeInvisible(each.name)}${each.kind === "service" ? html` <small>${t("account.kind.service")}</small>` : null}`, admin ? html`<${RoleSelect} member=${each} changed=${changed}/>` : t(`role.${each.role}`),
      html`<time datetime=${each.created_at}>${new Date(each.created_at).toLocaleDateString()}</time>`, ...(admin ? [html`<${Remove} member=${each} changed=${changed}/>`] : [])]}/>
    ${admin ? html`<${Invitations}/><${NewService} changed=${changed}/>` : html`<p class="hint">${t("member.ask")}</p>`}`;
}

function Remove({ member, changed }) {
  return html`<${DialogButton} button=${t("remove")} kind="danger" title=${t("member.remove.title", { name: escapeInvisible(member.name) })} label=${t("remove")}
    act=${async () => { await remove(`/v1/members/${member.id}`); changed(); }}><p>${t("member.remove.text")}</p></${DialogButton}>`;
}

function RoleSelect({ member, changed }) {
  const [error, setError] = useState(null);
  const set = (event) => patch(`/v1/members/${member.id}`, { role: event.target.value }).then(() => setError(null), setError).finally(changed);
  return html`<select aria-label=${t("member.role", { name: escapeInvisible(member.name) })} value=${member.role} onChange=${set}>
    ${ROLES.map((role) => html`<option value=${role}>${t(`role.${role}`)}</option>`)}</select><${Problems} error=${error}/>`;
}

function RoleField() {
  return html`<label>${t("column.role")}<select name="role">${ROLES.map((role) => html`<option value=${role} selected=${role === "member"}>${t(`role.${role}`)} – ${t(`role.${role}.text`)}</option>`)}</select></label>`;
}

// The link holds the secret behind the "#", which no server and no proxy sees.
const linkOf = (token) => `${window.location.href.split("#")[0]}#/invitation/${token}`;

function Invitations() {
  const [made, setMade] = useState(null);
  const { value, again } = useGet("/v1/invitations?limit=200");
  const invite = async (form) => {
    const email = form.get("email").trim();
    setMade(await post("/v1/invitations", { role: form.get("role"), lifetime_s: Number(form.get("days")) * 86400, ...(email ? { email } : {}) }));
    again();
  };
  return html`<h2>${t("invite.title")}</h2>
    <${DialogButton} button=${t("invite.button")} title=${t("invite.button")} label=${t("invite.make")} act=${invite}>
      <${RoleField}/><label>${t("invite.email")}<input type="text" name="email" inputmode="email" autocomplete="off"/></label>
      <label>${t("invite.days")}<input type="number" name="days" min="1" max="90" value="7" required/></label></${DialogButton}>
    ${made ? html`<div class="bar made" role="status"><code class="link">${linkOf(made.token)}</code><${CopyButton} text=${linkOf(made.token)} label=${t("copy")}/><small>${t("invite.once")}</small></div>` : null}
    ${value?.items.length ? html`<${List} columns=${["email", "role", "actor", "expires", "actions"]} items=${value.items} cells=${(each) => [
      each.email ? escapeInvisible(each.email) : t("invite.anybody"), t(`role.${each.role}`), escapeInvisible(each.made_by), new Date(each.expires_at).toLocaleDateString(),
      html`<${ActionButton} label=${t("keys.revoke")} act=${async () => { await post(`/v1/invitations/${each.id}/revoke`); again(); }}/>`]}/>` : null}`;
}

function NewService({ changed }) {
  const add = async (form) => { await post("/v1/members", { name: form.get("name").trim(), role: form.get("role") }); changed(); };
  return html`<h2>${t("service.title")}</h2><p class="hint">${t("service.text")}</p>
    <${DialogButton} button=${t("service.button")} title=${t("service.button")} label=${t("service.make")} act=${add}>
      <${NameField} maxlength="60"/><${RoleField}/></${DialogButton}>`;
}
