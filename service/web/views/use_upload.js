// A table that was uploaded becomes the dataset of the form: what is to be predicted, and the loss and metrics that fit it.
import { html, useState } from "../lib/html.js";
import { escapeInvisible } from "../lib/format.js";
import { t } from "../lib/words.js";

const MOST_CLASSES = 20; // distinct whole numbers that are taken for classes
const UNEVEN = 0.7; // share of the rows in one class, from which accuracy alone says little

const kindsOf = (names) => names.map((kind) => ({ kind }));

// "classification" of texts and of a few whole numbers, "regression" of other numbers, null where neither fits.
export function taskOf({ type, classes }) {
  const n = classes ? Object.keys(classes).length : 0;
  if (n > 1 && (type === "text" || type === "boolean" || (type === "integer" && n <= MOST_CLASSES))) return "classification";
  return type === "integer" || type === "number" ? "regression" : null;
}

// Beside the accuracy, which is always recorded.
function metricsOf(task, { classes }) {
  if (task === "regression") return ["r2", "mae"];
  const rows = Object.values(classes);
  const isUneven = Math.max(...rows) > UNEVEN * rows.reduce((sum, n) => sum + n, 0);
  return [...(isUneven ? ["balanced_accuracy"] : []), ...(rows.length === 2 ? ["auc"] : [])];
}

// The spec with the upload as its dataset.
export function withUpload(spec, stored, target) {
  const { columns } = stored.report;
  const column = columns.find(({ name }) => name === target);
  const task = taskOf(column);
  const drops = columns.some(({ missing, aside }) => missing > 0 && !aside);
  return {
    ...spec, name: stored.name.replace(/\.\w+$/, "").slice(0, 128) || spec.name, notes: "", tags: [],
    dataset: { kind: "upload", upload: stored.id, predict: target, task, ...(drops ? { missing: "drop" } : {}) },
    loss: { kind: task === "classification" ? "cross_entropy" : "mse" }, metrics: kindsOf(metricsOf(task, column)),
  };
}

export function UseUpload({ stored, use }) {
  const columns = (stored.report.columns || []).filter((column) => taskOf(column) && !(column.shape || []).length);
  const [target, pick] = useState(columns.at(-1)?.name);
  if (!columns.length) return null;
  const told = taskOf(columns.find(({ name }) => name === target));
  return html`<p class="row"><label>${t("upload.target")} <select value=${target} onChange=${(event) => pick(event.target.value)}>${columns.map(({ name }) => html`<option value=${name}>${escapeInvisible(name)}</option>`)}</select></label>
    <button type="button" class="primary" onClick=${() => use((spec) => withUpload(spec, stored, target))}>${t("upload.use")}</button> <small>${t(`upload.task.${told}`)}</small></p>`;
}
