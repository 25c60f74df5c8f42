// The project: what it and its people use of their quotas, and who is in it.
import { ActionButton, CopyButton, DialogButton, escapeInvisible, formatBytes, formatCount, formatNumber, get, html, isAdmin, List, NameField, patch, Pending, post, Problems, put, queryString, remove, Select, t, useGet, useInterval, useRequest, useState } from "../lib/page.js";

const EVERY_MS = 5000;

export function Project({ me }) {
  const [member, setMember] = useState(me.member);
  const { value, error, again } = useRequest((signal) => Promise.all([
    get(`/v1/quotas${queryString(member === me.member ? {} : { member })}`, { signal }), get("/v1/members?limit=200", { signal })]), [member]);
  useInterval(EVERY_MS, again);
  if (!value) return html`<${Pending} error=${error}/>`;
  const [found, members] = value;
  const set = (name, everyone) => async (limit, usual) => {
    await put(`/v1/quotas/${name}${usual ? "?default=true" : ""}`, { value: limit, member: everyone ? null : found.member });
    again();
  };
  return html`<h1>${t("project.title", { project: escapeInvisible(found.project) })}</h1>
    <${Quotas} quotas=${found.quotas}/>
    <p class="hint">${t("project.raise")}</p>
    <h2>${t("project.people")}</h2>
    ${isAdmin(me) ? html`<p class="bar"><${Select} label=${t("column.member")} value=${found.member} options=${members.items.map(({ name }) => name)} set=${setMember}/></p>` : null}
    <${Quotas} quotas=${found.own} edit=${isAdmin(me) && ((quota) => [html`<${QuotaEdit} quota=${quota} whose=${escapeInvisible(found.member)} save=${set(quota.name, false)}/>`,
      html`<${QuotaEdit} quota=${{ ...quota, limit: null }} whose=${t("project.everyone")} save=${set(quota.name, true)}/>`])}/>`;
}

function Quotas({ quotas, edit }) {
  return html`<${List} name=${t("place.project")} columns=${["quota", "used.of", ...(edit ? ["own.limit", "common.limit"] : [])]} items=${quotas} cells=${(quota) => [t(`quota.${quota.name}`), html`<${QuotaUse} quota=${quota}/>`, ...(edit ? edit(quota) : [])]}/>`;
}

// One quota: how much is used of it, and a dialog that changes the limit.
const GIB = 2 ** 30;
const amount = (value, unit) => (unit === "bytes" ? formatBytes(value) : unit === "hours" ? formatNumber(value, 3) : formatCount(value));
const inUnit = (value, unit) => (value === null ? "" : unit === "bytes" ? value / GIB : value);

export function QuotaUse({ quota }) {
  const { used, limit, unit } = quota;
  const full = limit !== null && used !== null && used >= 0.9 * limit;
  return html`<span class=${full ? "wrong" : ""}>${used === null ? "" : `${amount(used, unit)} / `}${limit === null ? t("quota.none") : amount(limit, unit)}</span>
    ${limit && used !== null ? html` <progress max=${limit} value=${Math.min(used, limit)} aria-label=${t(`quota.${quota.name}`)}></progress>` : null}`;
}

// `save(value, usual)`: the new limit (null: none), or the less specific one again. `whose`: for the dialog.
export function QuotaEdit({ quota, whose, save }) {
  const act = (form) => {
    const text = form.get("value").trim();
    return save(text === "" ? null : Math.round(Number(text) * (quota.unit === "bytes" ? GIB : 1)), form.get("usual") === "on");
  };
  const unit = quota.unit === "bytes" ? "GiB" : quota.unit === "hours" ? t("quota.hours") : t("quota.runs");
  return html`<${DialogButton} button=${t("change")} title=${`${t(`quota.${quota.name}`)} · ${whose}`} label=${t("save")} act=${act}>
    <label>${t("quota.limit", { unit })}<input type="number" name="value" min="0" step=${quota.unit === "bytes" ? "any" : "1"} defaultValue=${inUnit(quota.limit, quota.unit)} autocomplete="off"/></label>
    <label class="check"><input type="checkbox" name="usual"/> ${t("quota.usual")}</label></${DialogButton}>`;
}

// Who is in the project, and who is invited; admins change it.
const ROLES = ["viewer", "member", "admin"];

export function Members({ me }) {
  const { value, error, again: changed } = useGet("/v1/members?limit=200");
  if (!value) return html`<${Pending} error=${error}/>`;
  const admin = isAdmin(me);
  return html`<h1>${t("place.members")}</h1>
    <${List} name=${t("place.members")} columns=${["name", "role", "since", ...(admin ? ["actions"] : [])]} items=${value.items} cells=${(each) => [
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
