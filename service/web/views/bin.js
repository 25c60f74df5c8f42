// The bin: what was deleted, until when it can be restored, and by whom it was deleted.
import { ActionButton, Ago, DialogButton, EmptyState, escapeInvisible, formatBytes, get, html, isAdmin, List, Pending, post, queryString, refusal, remove, t, useProject, useRequest } from "../lib/page.js";

const PLACES = { experiment: "experiments", study: "studies", dataset: "datasets" };

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
  const project = useProject();
  const { value: items, error, again } = useRequest(everything, []);
  if (!items) return html`<${Pending} error=${error}/>`;
  return html`<h1>${t("place.bin")}</h1><p class="hint">${t("bin.how")}</p>
    ${items.length ? html`<${List} columns=${["name", "actions", "kind", "owner", "#size", "deleted", "until"]} items=${items} cells=${(item) => [
      escapeInvisible(item.name), html`<${Choices} item=${item} me=${me} project=${project} done=${again}/>`, html`${t(`kind.${item.kind}`)}${item.runs ? html` <small>${t("runs.n", { n: item.runs })}</small>` : null}`,
      escapeInvisible(item.owner), formatBytes(item.size_bytes), html`<${Ago} at=${item.deleted_at}/><small> ${escapeInvisible(item.deleted_by)}</small>`, html`<time datetime=${item.erased_after}>${item.erased_after.slice(0, 10)}</time>`]}/>`
    : html`<${EmptyState} title=${t("bin.empty")}/>`}`;
}

function Choices({ item, me, project, done }) {
  const path = `/v1/${PLACES[item.kind]}/${item.id}`;
  const refused = refusal(me, item.owner, project);
  if (refused) return html`<small>${refused}</small>`;
  return html`<${ActionButton} label=${t("restore")} act=${async () => { await post(`${path}/restore`); done(); }}/>${" "}
    <${DialogButton} button=${t("erase")} disabled=${!isAdmin(me) && item.owner !== me.member} kind="danger" title=${t("erase.title")} label=${t("erase")}
      act=${async () => { await remove(`${path}?forever=true`); done(); }}><p>${t("erase.text")}</p><ul><li>${escapeInvisible(item.name)}</li></ul></${DialogButton}>`;
}
