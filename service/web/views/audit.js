// What was done in the project, by whom and from where: for its admins, filtered, and as a file.
import { absoluteUrl, Ago, escapeInvisible, get, html, List, Problems, queryString, t, updateParameters, useGet, useState } from "../lib/page.js";

const FIELDS = ["actor", "action", "target", "since", "until"];

// Days as the server wants moments: from the start of the first to the end of the last, by this browser's clock.
function moments({ since, until, ...others }) {
  const day = (text, more) => (text ? new Date(new Date(`${text}T00:00`).getTime() + more * 86_400_000).toISOString() : "");
  return { ...others, since: day(since, 0), until: day(until, 1) };
}

export function Audit({ search }) {
  const asked = Object.fromEntries(FIELDS.map((name) => [name, search.get(name) || ""]));
  const [more, setMore] = useState({ of: "", rows: [], next: undefined });
  const query = queryString(moments(asked));
  const { value, error } = useGet(`/v1/audit${query}`);
  const added = more.of === query ? more : { rows: [], next: value?.next_cursor };
  const rows = [...(value?.items || []), ...added.rows];
  const load = async () => {
    const page = await get(`/v1/audit${queryString({ ...moments(asked), cursor: added.next })}`);
    setMore({ of: query, rows: [...added.rows, ...page.items], next: page.next_cursor });
  };
  return html`<h1>${t("place.audit")}</h1><${Filter} asked=${asked}/>
    <div class="bar"><a class="button" href=${absoluteUrl(`/v1/audit/export${queryString(moments(asked))}`)} download>${t("audit.csv")}</a>
      <a class="button" href=${absoluteUrl(`/v1/audit/export${queryString({ ...moments(asked), format: "ndjson" })}`)} download>${t("audit.ndjson")}</a></div>
    <${Problems} error=${error}/>
    ${rows.length ? html`<${List} columns=${["#when", "actor", "action", "target", "address", "details"]} items=${rows} cells=${(row) => [
      html`<${Ago} at=${row.at}/>`, only("actor", row.actor), only("action", row.action), row.target ? html`<code title=${row.target}>${only("target", row.target)}</code>` : "–",
      html`${escapeInvisible(row.address || "–")}${row.key_id ? html`<br/><small title=${row.key_id}>${t("audit.key", { key: row.key_id.slice(-8) })}</small>` : null}`,
      html`<small>${escapeInvisible(inWords(row.data))}</small>`]}/>`
    : html`<p class="empty">${value ? t("audit.none") : t("loading")}</p>`}
    ${added.next ? html`<p><button type="button" onClick=${load}>${t("audit.more")}</button></p>` : null}`;
}

function Filter({ asked }) {
  const apply = (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    updateParameters(Object.fromEntries(FIELDS.map((name) => [name, (form.get(name) || "").trim()])));
  };
  return html`<form class="bar controls" onSubmit=${apply}>${FIELDS.map((name) => html`<label key=${name}>${t(`audit.${name}`)}
      <input type=${name === "since" || name === "until" ? "date" : "text"} name=${name} value=${asked[name]} size="14" spellcheck="false"/></label>`)}
    <button type="submit">${t("audit.apply")}</button></form>`;
}

const inWords = (data) => Object.entries(data).map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ");

const only = (name, text) => html`<button type="button" class="plain" onClick=${() => updateParameters({ [name]: text })}>${escapeInvisible(text)}</button>`;
