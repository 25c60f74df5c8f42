// What was done in the project, by whom and from where: for its admins, filtered, and as a file.
import { absoluteUrl, escapeInvisible, formatAge, get, html, Problems, queryString, t, updateParameters, useRequest, useState } from "../lib/page.js";

const FIELDS = ["actor", "action", "target", "since", "until"];
const COLUMNS = ["when", "actor", "action", "target", "address", "details"];

// Days as the server wants moments: from the start of the first to the end of the last, by this browser's clock.
function moments({ since, until, ...others }) {
  const day = (text, more) => (text ? new Date(new Date(`${text}T00:00`).getTime() + more * 86_400_000).toISOString() : "");
  return { ...others, since: day(since, 0), until: day(until, 1) };
}

export function Audit({ search }) {
  const asked = Object.fromEntries(FIELDS.map((name) => [name, search.get(name) || ""]));
  const [more, setMore] = useState({ of: "", rows: [], next: undefined });
  const query = queryString(moments(asked));
  const { value, error } = useRequest((signal) => get(`/v1/audit${query}`, { signal }), [query]);
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
    ${rows.length ? html`<div class="scroll"><table class="list"><thead><tr>${COLUMNS.map((word) => html`<th scope="col">${t(`column.${word}`)}</th>`)}</tr></thead>
      <tbody>${rows.map((row) => html`<${Entry} key=${row.id} row=${row}/>`)}</tbody></table></div>`
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

function Entry({ row }) {
  const only = (name, text) => html`<button type="button" class="plain" onClick=${() => updateParameters({ [name]: text })}>${escapeInvisible(text)}</button>`;
  return html`<tr><td class="number"><time datetime=${row.at} title=${row.at}>${t("ago", { age: formatAge(row.at) })}</time></td>
    <td>${only("actor", row.actor)}</td><td>${only("action", row.action)}</td>
    <td>${row.target ? html`<code title=${row.target}>${only("target", row.target)}</code>` : "–"}</td>
    <td>${escapeInvisible(row.address || "–")}${row.key_id ? html`<br/><small title=${row.key_id}>${t("audit.key", { key: row.key_id.slice(-8) })}</small>` : null}</td>
    <td class="details"><small>${escapeInvisible(inWords(row.data))}</small></td></tr>`;
}
