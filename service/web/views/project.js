// What the project and its people use of their quotas; admins set the limits of people.
import { DialogButton, escapeInvisible, formatBytes, formatCount, formatNumber, get, html, isAdmin, List, Pending, put, queryString, Select, t, useInterval, useRequest, useState } from "../lib/page.js";

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
  return html`<${List} columns=${["quota", "used.of", ...(edit ? ["own.limit", "common.limit"] : [])]} items=${quotas} cells=${(quota) => [t(`quota.${quota.name}`), html`<${QuotaUse} quota=${quota}/>`, ...(edit ? edit(quota) : [])]}/>`;
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
