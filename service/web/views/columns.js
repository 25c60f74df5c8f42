// Which columns the table has: shown and hidden, moved, held in view, and fields of the spec or figures added.
import { html } from "../lib/html.js";
import { escapeInvisible } from "../lib/format.js";
import { t } from "../lib/words.js";
import { hideColumn, moveBefore, showColumn, togglePin } from "./experiments/layout.js";

const USUAL = ["optimizer.kind", "optimizer.lr", "optimizer.weight_decay", "model.kind", "dataset.kind", "batch_size", "schedule.kind", "epochs", "steps",
  "best(loss)", "last(loss)", "best(val/accuracy)", "last(val/accuracy)"];

export function Columns({ search, layout }) {
  const { columns, fields, hidden } = layout;
  const add = (event) => {
    event.preventDefault();
    const name = new FormData(event.target).get("name").trim();
    if (name) showColumn(search, name);
    event.target.reset();
  };
  const labelOf = (column) => (column.isUsual ? t(`column.${column.name}`) : escapeInvisible(column.name));
  return html`<details class="chooser"><summary>${t("columns")}${fields.length ? ` (${fields.length})` : ""}</summary><div class="panel">
    <ul class="column-list">${columns.map((column, at) => html`<${Line} key=${column.name} column=${column} label=${labelOf(column)} search=${search}
      up=${at > 0 ? () => moveBefore(columns, column.name, columns[at - 1].name) : null} down=${at < columns.length - 1 ? () => moveBefore(columns, column.name, columns[at + 2]?.name ?? null) : null}/>`)}</ul>
    ${hidden.length ? html`<p>${hidden.map((name) => html`<button type="button" key=${name} aria-label=${t("columns.show", { name: t(`column.${name}`) })} onClick=${() => showColumn(search, name)}>+ ${t(`column.${name}`)}</button> `)}</p>` : null}
    <form onSubmit=${add} class="bar"><input name="name" type="text" list="fields" aria-label=${t("columns.more")} placeholder="optimizer.lr" spellcheck="false" autocomplete="off"/>
      <datalist id="fields">${USUAL.filter((name) => !fields.includes(name)).map((name) => html`<option value=${name}></option>`)}</datalist>
      <button>${t("columns.add")}</button></form><p class="hint">${t("columns.hint")}</p></div></details>`;
}

function Line({ column: { name, left }, label, search, up, down }) {
  return html`<li><span>${label}</span>
    <button type="button" class="plain" disabled=${!up} aria-label=${t("columns.earlier", { name: label })} title=${t("columns.earlier", { name: label })} onClick=${up}>↑</button>
    <button type="button" class="plain" disabled=${!down} aria-label=${t("columns.later", { name: label })} title=${t("columns.later", { name: label })} onClick=${down}>↓</button>
    <button type="button" class="plain" aria-pressed=${String(left !== null)} aria-label=${t("columns.pin", { name: label })} title=${t("columns.pin", { name: label })} onClick=${() => togglePin(search, name)}>${left === null ? "○" : "●"}</button>
    <button type="button" class="plain" disabled=${name === "name"} aria-label=${t("columns.less", { name: label })} title=${t("columns.less", { name: label })} onClick=${() => hideColumn(search, name)}>×</button></li>`;
}
