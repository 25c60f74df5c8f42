// Which fields of the spec, and which figures, the table has columns for; the address keeps them.
import { html } from "../lib/html.js";
import { updateParameters } from "../lib/address.js";
import { escapeInvisible } from "../lib/format.js";
import { t } from "../lib/words.js";

const USUAL = ["optimizer.kind", "optimizer.lr", "optimizer.weight_decay", "model.kind", "dataset.kind", "batch_size", "schedule.kind", "epochs", "steps",
  "best(loss)", "last(loss)", "best(val/accuracy)", "last(val/accuracy)"];

export function Columns({ columns }) {
  const put = (names) => updateParameters({ columns: names.join(",") });
  const add = (event) => {
    event.preventDefault();
    const name = new FormData(event.target).get("name").trim();
    if (name && !columns.includes(name)) put([...columns, name]);
    event.target.reset();
  };
  return html`<details class="chooser"><summary>${t("columns")}${columns.length ? ` (${columns.length})` : ""}</summary><div class="panel">
    ${columns.map((name) => html`<button type="button" key=${name} aria-label=${t("columns.less", { name: escapeInvisible(name) })}
      onClick=${() => put(columns.filter((each) => each !== name))}>${escapeInvisible(name)} ×</button>`)}
    <form onSubmit=${add} class="bar"><input name="name" type="text" list="fields" aria-label=${t("columns.more")} placeholder="optimizer.lr" spellcheck="false" autocomplete="off"/>
      <datalist id="fields">${USUAL.filter((name) => !columns.includes(name)).map((name) => html`<option value=${name}></option>`)}</datalist>
      <button>${t("columns.add")}</button></form><p class="hint">${t("columns.hint")}</p></div></details>`;
}
