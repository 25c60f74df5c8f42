// What can be done with one row: opened by its last button or the right mouse button.
import { html, useState } from "../../lib/html.js";
import { href, navigate } from "../../lib/address.js";
import { get, post } from "../../lib/api.js";
import { copyText } from "../../lib/components.js";
import { Dialog } from "../../lib/dialog.js";
import { escapeInvisible, formatAge } from "../../lib/format.js";
import { Menu } from "../../lib/menu.js";
import { refusal, useProject } from "../../lib/rights.js";
import { t } from "../../lib/words.js";

const MOST_OFFERED = 8; // experiments to compare with

// `menu`: {item, at} or null; `bin` asks whether to delete.
export function RowMenu({ menu, items, marked, me, bin, close }) {
  const project = useProject();
  const [compared, compareWith] = useState(null);
  const { item } = menu || {};
  const readOnly = me.level === "read" || item?.shared;
  const trainAgain = async () => navigate(["experiment", (await post("/v1/experiments", (await get(`/v1/experiments/${item.id}`)).spec)).id]);
  const others = marked.filter((each) => each.id !== item?.id);
  const entries = item ? [
    { label: t("row.compare"), act: () => (others.length ? navigate(["compare"], { experiments: [item, ...others].map((each) => each.id).join(",") }) : compareWith(item)) },
    { label: t("row.fork"), disabled: readOnly || !item.main, act: () => navigate(["new"], { fork: item.main.run_id }) },
    { label: t("again"), act: () => navigate(["new"], { from: item.id }) },
    { label: t("row.resubmit"), disabled: readOnly, act: trainAgain },
    { label: t("export.link"), act: () => copyText(new URL(href(["experiment", item.id]), window.location.href).href) },
    null,
    { label: t("delete"), kind: "danger", disabled: Boolean(refusal(me, item.owner, project, item.shared)), act: () => bin([item]) },
  ] : [];
  return html`${menu ? html`<${Menu} key=${item.id} at=${menu.at} label=${t("row.menu", { name: escapeInvisible(item.name) })} items=${entries} close=${close}/>` : null}
    ${compared ? html`<${CompareWith} item=${compared} items=${items} close=${() => compareWith(null)}/>` : null}`;
}

function CompareWith({ item, items, close }) {
  const [typed, type] = useState("");
  const [chosen, choose] = useState([]);
  const fits = (each) => each.id !== item.id && (chosen.includes(each.id) || each.name.toLowerCase().includes(typed.trim().toLowerCase()));
  const flip = (id) => choose(chosen.includes(id) ? chosen.filter((each) => each !== id) : [...chosen, id]);
  const act = async () => navigate(["compare"], { experiments: [item.id, ...chosen].join(",") });
  return html`<${Dialog} title=${t("row.compare.title", { name: escapeInvisible(item.name) })} label=${t("compare")} disabled=${!chosen.length} act=${act} close=${close}>
    <input type="search" aria-label=${t("column.name")} placeholder=${t("column.name")} value=${typed} onInput=${(event) => type(event.target.value)} autofocus/>
    ${items.filter(fits).slice(0, MOST_OFFERED + chosen.length).map((each) => html`<label class="check" key=${each.id}><input type="checkbox" checked=${chosen.includes(each.id)} onChange=${() => flip(each.id)}/> ${escapeInvisible(each.name)} <small>${t("ago", { age: formatAge(each.created_at) })}</small></label>`)}</${Dialog}>`;
}
