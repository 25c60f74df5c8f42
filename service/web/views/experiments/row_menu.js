// What can be done with one row: opened by its last button or the right mouse button.
import { copyText, Dialog, escapeInvisible, formatAge, get, href, html, navigate, post, refusal, t, useEffect, useProject, useRef, useState } from "../../lib/page.js";

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

// Arrows move, Enter and a click choose, Escape and a click elsewhere close it.
// `at`: {x, y} of its upper right corner; items: [{label, act, disabled, kind}], null where there is a line between.
function Menu({ at, label, items, close }) {
  const node = useRef(null);
  useEffect(() => {
    const opener = document.activeElement;
    const box = node.current;
    box.style.left = `${Math.max(8, Math.min(at.x - box.offsetWidth, window.innerWidth - box.offsetWidth - 8))}px`;
    box.style.top = `${Math.max(8, Math.min(at.y, window.innerHeight - box.offsetHeight - 8))}px`;
    box.querySelector("button:not(:disabled)")?.focus();
    const outside = (event) => box.contains(event.target) || close();
    document.addEventListener("pointerdown", outside);
    window.addEventListener("hashchange", close);
    return () => {
      document.removeEventListener("pointerdown", outside);
      window.removeEventListener("hashchange", close);
      if (box.contains(document.activeElement) || document.activeElement === document.body) opener?.focus?.();
    };
  }, []);
  const keys = (event) => {
    event.stopPropagation(); // the page's own keys rest
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape" || event.key === "Tab") close();
    if (!by) return;
    event.preventDefault();
    const buttons = [...node.current.querySelectorAll("button:not(:disabled)")];
    buttons[(buttons.indexOf(document.activeElement) + by + buttons.length) % buttons.length]?.focus();
  };
  return html`<div class="menu" role="menu" aria-label=${label} ref=${node} onKeyDown=${keys}>${items.map((item, index) => (item === null ? html`<hr key=${index}/>`
    : html`<button key=${index} type="button" role="menuitem" class=${item.kind || ""} disabled=${item.disabled} onClick=${() => { close(); item.act(); }}>${item.label}</button>`))}</div>`;
}
