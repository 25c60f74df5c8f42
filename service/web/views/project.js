// What the project and its people use of their quotas; admins set the limits of people.
import { html, useState } from "../lib/html.js";
import { get, put, queryString } from "../lib/api.js";
import { Problems, useInterval, useRequest } from "../lib/components.js";
import { escapeInvisible } from "../lib/format.js";
import { isAdmin } from "../lib/rights.js";
import { t } from "../lib/words.js";
import { QuotaEdit, QuotaUse } from "./quota.js";

const EVERY_MS = 5000;

export function Project({ me }) {
  const [tick, setTick] = useState(0);
  const [member, setMember] = useState(me.member);
  const again = () => setTick((n) => n + 1);
  useInterval(EVERY_MS, again);
  const { value, error } = useRequest((signal) => Promise.all([
    get(`/v1/quotas${queryString(member === me.member ? {} : { member })}`, { signal }), get("/v1/members?limit=200", { signal })]), [tick, member]);
  if (error && !value) return html`<${Problems} error=${error}/>`;
  if (!value) return html`<p class="empty">${t("loading")}</p>`;
  const [found, members] = value;
  const set = (name, everyone) => async (limit, usual) => {
    await put(`/v1/quotas/${name}${usual ? "?default=true" : ""}`, { value: limit, member: everyone ? null : found.member });
    again();
  };
  return html`<h1>${t("project.title", { project: escapeInvisible(found.project) })}</h1>
    <${Quotas} quotas=${found.quotas}/>
    <p class="hint">${t("project.raise")}</p>
    <h2>${t("project.people")}</h2>
    ${isAdmin(me) ? html`<p class="bar"><label>${t("column.member")} <select value=${found.member} onChange=${(event) => setMember(event.target.value)}>
      ${members.items.map((each) => html`<option value=${each.name}>${escapeInvisible(each.name)}</option>`)}</select></label></p>` : null}
    <${Quotas} quotas=${found.own} edit=${isAdmin(me) && ((quota) => html`<td><${QuotaEdit} quota=${quota} whose=${escapeInvisible(found.member)} save=${set(quota.name, false)}/></td>
      <td><${QuotaEdit} quota=${{ ...quota, limit: null }} whose=${t("project.everyone")} save=${set(quota.name, true)}/></td>`)}/>`;
}

function Quotas({ quotas, edit }) {
  return html`<div class="scroll"><table class="list"><thead><tr>${["quota", "used.of"].map((word) => html`<th scope="col">${t(`column.${word}`)}</th>`)}
    ${edit ? ["own.limit", "common.limit"].map((word) => html`<th scope="col">${t(`column.${word}`)}</th>`) : null}</tr></thead>
    <tbody>${quotas.map((quota) => html`<tr key=${quota.name}><td>${t(`quota.${quota.name}`)}</td><td><${QuotaUse} quota=${quota}/></td>${edit ? edit(quota) : null}</tr>`)}</tbody></table></div>`;
}
