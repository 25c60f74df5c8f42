// Accounts of the whole server: who there is, and stopping one.
import { html } from "../lib/html.js";
import { post } from "../lib/api.js";
import { ActionButton } from "../lib/components.js";
import { DialogButton } from "../lib/dialog.js";
import { escapeInvisible } from "../lib/format.js";
import { t } from "../lib/words.js";

const COLUMNS = ["name", "kind", "email", "state", "change"];

export function AdminAccounts({ found, again, me }) {
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
