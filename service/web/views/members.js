// Who is in the project, and who is invited; admins change it.
import { ActionButton, CopyButton, DialogButton, escapeInvisible, get, html, patch, post, Problems, remove, t, useRequest, useState } from "../lib/page.js";

const ROLES = ["viewer", "member", "admin"];
const mayAdminister = (me) => me.level === "admin" || me.level === "server";

export function Members({ me }) {
  const [changes, change] = useState(0);
  const changed = () => change((n) => n + 1);
  const { value, error } = useRequest((signal) => get("/v1/members?limit=200", { signal }), [changes]);
  if (error && !value) return html`<${Problems} error=${error}/>`;
  if (!value) return html`<p class="empty">${t("loading")}</p>`;
  const admin = mayAdminister(me);
  return html`<h1>${t("place.members")}</h1>
    <div class="scroll"><table class="list"><thead><tr>${["name", "role", "since"].map((word) => html`<th scope="col">${t(`column.${word}`)}</th>`)}
      ${admin ? html`<th><span class="hidden">${t("member.actions")}</span></th>` : null}</tr></thead>
      <tbody>${value.items.map((each) => html`<${Member} key=${each.id} member=${each} admin=${admin} changed=${changed}/>`)}</tbody></table></div>
    ${admin ? html`<${Invitations}/><${NewService} changed=${changed}/>` : html`<p class="hint">${t("member.ask")}</p>`}`;
}

function Member({ member, admin, changed }) {
  const name = escapeInvisible(member.name);
  return html`<tr><td>${name}${member.kind === "service" ? html` <small>${t("member.service")}</small>` : null}</td>
    <td>${admin ? html`<${RoleSelect} member=${member} changed=${changed}/>` : t(`role.${member.role}`)}</td>
    <td><time datetime=${member.created_at}>${new Date(member.created_at).toLocaleDateString()}</time></td>
    ${admin ? html`<td><${DialogButton} button=${t("member.remove")} kind="danger" title=${t("member.remove.title", { name })} label=${t("member.remove")}
      act=${async () => { await remove(`/v1/members/${member.id}`); changed(); }}><p>${t("member.remove.text")}</p></${DialogButton}></td>` : null}</tr>`;
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
  const [changes, change] = useState(0);
  const [made, setMade] = useState(null);
  const { value } = useRequest((signal) => get("/v1/invitations?limit=200", { signal }), [changes]);
  const invite = async (form) => {
    const email = form.get("email").trim();
    setMade(await post("/v1/invitations", { role: form.get("role"), lifetime_s: Number(form.get("days")) * 86400, ...(email ? { email } : {}) }));
    change((n) => n + 1);
  };
  return html`<h2>${t("invite.title")}</h2>
    <${DialogButton} button=${t("invite.button")} title=${t("invite.button")} label=${t("invite.make")} act=${invite}>
      <${RoleField}/><label>${t("invite.email")}<input type="text" name="email" inputmode="email" autocomplete="off"/></label>
      <label>${t("invite.days")}<input type="number" name="days" min="1" max="90" value="7" required/></label></${DialogButton}>
    ${made ? html`<div class="bar made" role="status"><code class="link">${linkOf(made.token)}</code><${CopyButton} text=${linkOf(made.token)} label=${t("copy")}/><small>${t("invite.once")}</small></div>` : null}
    ${value?.items.length ? html`<div class="scroll"><table class="list"><tbody>${value.items.map((each) => html`<tr key=${each.id}>
      <td>${each.email ? escapeInvisible(each.email) : t("invite.anybody")}</td><td>${t(`role.${each.role}`)}</td><td>${escapeInvisible(each.made_by)}</td>
      <td>${t("invite.until", { date: new Date(each.expires_at).toLocaleDateString() })}</td>
      <td><${ActionButton} label=${t("invite.revoke")} act=${async () => { await post(`/v1/invitations/${each.id}/revoke`); change((n) => n + 1); }}/></td></tr>`)}</tbody></table></div>` : null}`;
}

function NewService({ changed }) {
  const add = async (form) => { await post("/v1/members", { name: form.get("name").trim(), role: form.get("role") }); changed(); };
  return html`<h2>${t("service.title")}</h2><p class="hint">${t("service.text")}</p>
    <${DialogButton} button=${t("service.button")} title=${t("service.button")} label=${t("service.make")} act=${add}>
      <label>${t("column.name")}<input type="text" name="name" required maxlength="60"/></label><${RoleField}/></${DialogButton}>`;
}
