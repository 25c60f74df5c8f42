// What the project keeps of its addresses under names: views of the table, and comparisons with a text, which are reports.
import { Ago, DialogButton, escapeInvisible, href, html, NameField, navigate, patch, post, Problems, refusal, remove, t, updateParameters, useGet, useProject } from "../lib/page.js";

const PLACE = "experiments";
const OWN = ["view", "top", "marks"]; // of this look at it, not of the view

// Their names, with those who made them and when they last changed them.
function Kept({ items, current, addressOf, close }) {
  return html`<ul class="column-list">${items.map((each) => html`<li key=${each.id}><a href=${addressOf(each)} aria-current=${each === current ? "page" : null} onClick=${close}>${escapeInvisible(each.name)}</a> <small>${escapeInvisible(each.owner)}, <${Ago} at=${each.edited_at || each.created_at}/></small></li>`)}</ul>`;
}

function Save({ title, how, act }) {
  return html`<${DialogButton} button=${title} title=${title} label=${t("save")} act=${act}><${NameField}/><p class="hint">${how}</p></${DialogButton}>`;
}

// The part of the address that a view keeps.
function keptQuery(search, own = OWN) {
  const kept = new URLSearchParams(search);
  own.forEach((name) => kept.delete(name));
  return kept.toString();
}

// {items, current, error, again}: the project's views of the table, and the one that is open.
export function useViews(search) {
  const { value, error, again } = useGet(`/v1/views?place=${PLACE}&limit=200`);
  const items = value?.items || [];
  return { items, error, current: items.find((each) => each.id === search.get("view")), again };
}

const addressOf = (view) => href([PLACE], { ...Object.fromEntries(new URLSearchParams(view.query)), view: view.id });

export function SavedViews({ search, me, views: { items, error, current, again } }) {
  const project = useProject();
  const query = keptQuery(search);
  const changed = current && current.query !== query;
  const isFixed = current && Boolean(refusal(me, current.owner, project));
  const save = async (form) => {
    const made = await post("/v1/views", { place: PLACE, name: form.get("name"), query });
    again();
    updateParameters({ view: made.id });
  };
  const put = async () => { await patch(`/v1/views/${current.id}`, { query }); again(); };
  const drop = async () => { await remove(`/v1/views/${current.id}`); updateParameters({ view: "" }); again(); };
  const close = (event) => event.target.closest("details").removeAttribute("open");
  return html`<details class="chooser views"><summary>${current ? `${escapeInvisible(current.name)}${changed ? " *" : ""}` : t("views")}</summary><div class="panel">
    <${Problems} error=${error}/>
    ${items.length ? html`<${Kept} items=${items} current=${current} addressOf=${addressOf} close=${close}/>` : html`<p class="hint">${t("views.none")}</p>`}
    ${me.level === "read" ? null : html`<${Save} title=${t("views.save")} how=${t("views.how")} act=${save}/>`}
    ${changed && !isFixed ? html`<button type="button" onClick=${put}>${t("views.update", { name: escapeInvisible(current.name) })}</button>` : null}
    ${current ? html`<button type="button" onClick=${(event) => { close(event); navigate([PLACE]); }}>${t("views.leave")}</button>` : null}
    ${current && !isFixed ? html`<${DialogButton} button=${t("views.delete", { name: escapeInvisible(current.name) })} kind="danger" title=${t("views.delete", { name: escapeInvisible(current.name) })} label=${t("views.delete.yes")} act=${drop}><p>${t("views.delete.text")}</p></${DialogButton}>` : null}</div></details>`;
}

// The reports of the project, and how a comparison becomes one.
const DRAWN = ["find", "also"]; // of this look at the comparison, not of the report
export const PARTS = ["ranking", "curves", "differences", "comparability"];

export function Reports({ search, me, canSave }) {
  const { value } = useGet("/v1/views?place=compare&limit=200");
  const items = value?.items || [];
  const save = async (form) => {
    const text = PARTS.slice(0, 3).map((part) => `{${part}}`).join("\n\n");
    navigate(["report", (await post("/v1/views", { place: "compare", name: form.get("name"), query: keptQuery(search, DRAWN), text })).id], { edit: "1" });
  };
  return html`<span class="reports">${canSave && me.level !== "read" ? html`<${Save} title=${t("report.save")} how=${t("report.how")} act=${save}/>` : null}
    ${items.length ? html`<details class="chooser"><summary>${t("reports")} (${items.length})</summary><div class="panel"><${Kept} items=${items} addressOf=${({ id }) => href(["report", id])}/></div></details>` : null}</span>`;
}
