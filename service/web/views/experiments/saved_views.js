// Views of the table that the project keeps: opened by name, saved, changed and deleted.
import { DialogButton, escapeInvisible, get, href, html, navigate, patch, post, Problems, refusal, remove, t, updateParameters, useProject, useRequest, useState } from "../../lib/page.js";

const PLACE = "experiments";
const OWN = ["view", "top", "marks"]; // of this look at it, not of the view

// The part of the address that a view keeps.
export function keptQuery(search) {
  const kept = new URLSearchParams(search);
  OWN.forEach((name) => kept.delete(name));
  return kept.toString();
}

// {items, current, error, again}: the project's views of the table, and the one that is open.
export function useViews(search) {
  const [round, set] = useState(0);
  const { value, error } = useRequest((signal) => get(`/v1/views?place=${PLACE}&limit=200`, { signal }), [round]);
  const items = value?.items || [];
  return { items, error, current: items.find((each) => each.id === search.get("view")), again: () => set((n) => n + 1) };
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
    ${items.length ? html`<ul class="column-list">${items.map((each) => html`<li key=${each.id}><a href=${addressOf(each)} aria-current=${each === current ? "page" : null} onClick=${close}>${escapeInvisible(each.name)}</a> <small>${escapeInvisible(each.owner)}</small></li>`)}</ul>` : html`<p class="hint">${t("views.none")}</p>`}
    ${me.level === "read" ? null : html`<${DialogButton} button=${t("views.save")} title=${t("views.save")} label=${t("save")} act=${save}><label>${t("column.name")} <input type="text" name="name" required maxlength="128" autofocus/></label><p class="hint">${t("views.how")}</p></${DialogButton}>`}
    ${changed && !isFixed ? html`<button type="button" onClick=${put}>${t("views.update", { name: escapeInvisible(current.name) })}</button>` : null}
    ${current ? html`<button type="button" onClick=${(event) => { close(event); navigate([PLACE]); }}>${t("views.leave")}</button>` : null}
    ${current && !isFixed ? html`<${DialogButton} button=${t("views.delete", { name: escapeInvisible(current.name) })} kind="danger" title=${t("views.delete", { name: escapeInvisible(current.name) })} label=${t("views.delete.yes")} act=${drop}><p>${t("views.delete.text")}</p></${DialogButton}>` : null}</div></details>`;
}
