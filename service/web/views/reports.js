// The reports of the project, and how a comparison becomes one.
import { DialogButton, escapeInvisible, formatAge, get, href, html, navigate, post, t, useRequest } from "../lib/page.js";

const DRAWN = ["find", "also"]; // of this look at the comparison, not of the report
export const PARTS = ["ranking", "curves", "differences", "comparability"];

export function Reports({ search, me, canSave }) {
  const { value } = useRequest((signal) => get("/v1/views?place=compare&limit=200", { signal }), []);
  const items = value?.items || [];
  const save = async (form) => {
    const kept = new URLSearchParams(search);
    DRAWN.forEach((name) => kept.delete(name));
    const text = PARTS.slice(0, 3).map((part) => `{${part}}`).join("\n\n");
    navigate(["report", (await post("/v1/views", { place: "compare", name: form.get("name"), query: kept.toString(), text })).id], { edit: "1" });
  };
  return html`<span class="reports">${canSave && me.level !== "read" ? html`<${DialogButton} button=${t("report.save")} title=${t("report.save")} label=${t("save")} act=${save}><label>${t("column.name")} <input type="text" name="name" required maxlength="128" autofocus/></label><p class="hint">${t("report.how")}</p></${DialogButton}>` : null}
    ${items.length ? html`<details class="chooser"><summary>${t("reports")} (${items.length})</summary><div class="panel"><ul class="column-list">${items.map((each) => html`<li key=${each.id}><a href=${href(["report", each.id])}>${escapeInvisible(each.name)}</a> <small>${escapeInvisible(each.owner)}, ${t("ago", { age: formatAge(each.edited_at || each.created_at) })}</small></li>`)}</ul></div></details>` : null}</span>`;
}
