// The bin: what was deleted, until when it can be restored, and by whom it was deleted.
import { ActionButton, DialogButton, EmptyState, escapeInvisible, formatAge, formatBytes, get, html, isAdmin, post, Problems, queryString, refusal, remove, t, useProject, useRequest, useState } from "../lib/page.js";

const PLACES = { experiment: "experiments", study: "studies", dataset: "datasets" };
const COLUMNS = ["name", "actions", "kind", "owner", "size", "deleted", "until"];

async function everything(signal) {
  const items = [];
  let cursor;
  do {
    const page = await get(`/v1/bin${queryString({ limit: 200, cursor })}`, { signal });
    items.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor);
  return items;
}

export function Bin({ me }) {
  const [round, again] = useState(0);
  const project = useProject();
  const { value: items, error } = useRequest(everything, [round]);
  if (error && !items) return html`<${Problems} error=${error}/>`;
  if (!items) return html`<p class="empty">${t("loading")}</p>`;
  const done = () => again((n) => n + 1);
  return html`<h1>${t("place.bin")}</h1><p class="hint">${t("bin.how")}</p>
    ${items.length ? html`<div class="scroll"><table class="list"><thead><tr>${COLUMNS.map((word) => html`<th scope="col">${t(`column.${word}`)}</th>`)}</tr></thead>
      <tbody>${items.map((item) => html`<${Item} key=${item.id} item=${item} me=${me} project=${project} done=${done}/>`)}</tbody></table></div>`
    : html`<${EmptyState} title=${t("bin.empty")}/>`}`;
}

function Item({ item, me, project, done }) {
  const path = `/v1/${PLACES[item.kind]}/${item.id}`;
  const refused = refusal(me, item.owner, project);
  const erasable = isAdmin(me) || (!refused && item.owner === me.member);
  return html`<tr><td>${escapeInvisible(item.name)}</td>
    <td>${refused ? html`<small>${refused}</small>` : html`<${ActionButton} label=${t("restore")} act=${async () => { await post(`${path}/restore`); done(); }}/>${" "}
      <${DialogButton} button=${t("erase")} disabled=${!erasable} kind="danger" title=${t("erase.title")} label=${t("erase.yes")}
        act=${async () => { await remove(`${path}?forever=true`); done(); }}><p>${t("erase.text")}</p><ul><li>${escapeInvisible(item.name)}</li></ul></${DialogButton}>`}</td>
    <td>${t(`kind.${item.kind}`)}${item.runs ? html` <small>${t("runs.n", { n: item.runs })}</small>` : null}</td>
    <td>${escapeInvisible(item.owner)}</td><td class="number">${formatBytes(item.size_bytes)}</td>
    <td>${t("ago", { age: formatAge(item.deleted_at) })}<small> ${escapeInvisible(item.deleted_by)}</small></td>
    <td><time datetime=${item.erased_after}>${item.erased_after.slice(0, 10)}</time></td></tr>`;
}
