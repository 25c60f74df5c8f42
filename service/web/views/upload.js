// A data file of one's own: sent as it is, answered with a report of its columns, and put into the form by a button.
import { Boundary } from "../lib/boundary.js";
import { CopyButton, escapeInvisible, formatCount, formatNumber, html, List, Problems, Prose, queryString, requestJson, t, useState } from "../lib/page.js";

// `use` puts an upload into the form.
export function Upload({ use }) {
  const [state, set] = useState({});
  const send = async (file, more = {}) => {
    set({ busy: true });
    try {
      set({ file, stored: await requestJson("POST", `/v1/datasets${queryString({ name: file.name, ...more })}`, file, { headers: { "Content-Type": "application/octet-stream" } }) });
    } catch (error) {
      set({ file, more, error });
    }
  };
  const choose = (event) => {
    const [file] = event.target.files;
    if (file) send(file);
    event.target.value = ""; // so that the same file, mended, can be chosen again
  };
  return html`<span class="upload"><label class="button">${state.busy ? t("upload.busy") : t("upload")}<input type="file" class="hidden" onChange=${choose}/></label>
    <${Problems} error=${state.error}/><${Otherwise} state=${state} send=${send}/>${state.stored ? html`<${Boundary}><${Report} stored=${state.stored} use=${use}/></${Boundary}>` : null}</span>`;
}

// What a report or a refusal asks for beside the file: whether its first line names the columns, or that it is a table.
function Otherwise({ state, send }) {
  const { file, stored, error, more } = state;
  const choices = error?.problems?.some((each) => each.detail.includes("header=false"))
    ? [["header.false", { ...more, header: false }], ["header.true", { ...more, header: true }]]
    : stored?.format === "text" ? [["as.table", { format: "csv" }]] : [];
  return choices.map(([word, asked]) => html`<button type="button" key=${word} onClick=${() => send(file, asked)}>${t(`upload.${word}`)}</button> `);
}

const LISTED = 8; // values of one column

// A column's values with their rows, as {value: rows}, as pairs, as {value, rows} or as values alone.
export function valuesOf(classes) {
  if (!classes || typeof classes !== "object") return "";
  const pairs = Array.isArray(classes) ? classes.map((each) => (Array.isArray(each) ? each : [each?.value ?? each, each?.rows])) : Object.entries(classes);
  const told = pairs.slice(0, LISTED).map(([value, rows]) => escapeInvisible(value) + (typeof rows === "number" ? ` (${formatCount(rows)})` : ""));
  return told.join(", ") + (pairs.length > LISTED ? ` … ${t("and.more", { n: formatCount(pairs.length - LISTED) })}` : "");
}

function Report({ stored, use }) {
  const columns = stored.report.columns || [];
  const notes = stored.report.notes || [];
  return html`<div class="report"><p><strong>${escapeInvisible(stored.name)}</strong> ${stored.report.rows ? t("rows", { n: formatCount(stored.report.rows) }) : escapeInvisible(stored.format)} <code>${stored.id}</code> <${CopyButton} text=${stored.id} label=${t("copy")}/></p>
    <${UseUpload} key=${stored.id} stored=${stored} use=${use}/>
    ${notes.length ? html`<ul class="warnings">${notes.map((note) => html`<li key=${note}><${Prose} text=${note}/></li>`)}</ul>` : null}
    ${columns.length ? html`<${List} kind="tall" name=${stored.name} columns=${isWeights(stored) ? ["name", "type", "shape"] : ["name", "type", "#missing", "#min", "#max", "classes"]} items=${columns} cells=${({ name, type, holds, shape, missing, min, max, classes }) => [
      escapeInvisible(name), ...(isWeights(stored) ? [escapeInvisible(holds), shape.join(" × ")] : [escapeInvisible(type), formatCount(missing), formatNumber(min), formatNumber(max), valuesOf(classes)])]}/>` : null}</div>`;
}

const isWeights = ({ format }) => format === "safetensors";

const MOST_CLASSES = 20; // distinct whole numbers that are taken for classes
const UNEVEN = 0.7; // share of the rows in one class, from which accuracy alone says little

const kindsOf = (names) => names.map((kind) => ({ kind }));
const countOf = ({ classes }) => Object.keys(classes || {}).length;
const TARGET = /^(y|labels?|targets?|class(es)?)$/i; // how what is to be predicted is often called

// "classification" of texts and of a few whole numbers, "regression" of other numbers, "distribution" of an array of
// shares of classes, null where none fits.
function taskOf(column) {
  const { name, type, shape, min, max, class_names: names } = column;
  const n = countOf(column);
  if (shape.length) return shape.length === 1 && TARGET.test(name) && min >= 0 && max <= 1 ? "distribution" : null;
  if (n > 1 && (type === "text" || type === "boolean" || names.length || (type === "integer" && n <= MOST_CLASSES))) return "classification";
  return type === "integer" || type === "number" ? "regression" : null;
}

// Beside the accuracy, which is always recorded.
function metricsOf(task, { classes }) {
  if (task !== "classification") return task === "regression" ? ["r2", "mae"] : [];
  const rows = Object.values(classes);
  const isUneven = Math.max(...rows) > UNEVEN * rows.reduce((sum, n) => sum + n, 0);
  return [...(isUneven ? ["balanced_accuracy"] : []), ...(rows.length === 2 ? ["auc"] : [])];
}

const isText = ({ type }) => type === "text";

// Blanks are filled, then categories become numbers.
function preparationOf(features) {
  const blank = features.filter(({ missing }) => missing);
  return [
    blank.some((each) => !isText(each)) && { kind: "impute", strategy: "median" },
    blank.some(isText) && { kind: "impute", strategy: "most_frequent" },
    features.some(isText) && { kind: "one_hot" },
  ].filter(Boolean);
}

// What a model can learn from beside the target: the first array alone, or numbers and categories that are no names of rows.
function featuresOf(columns, rows) {
  const array = columns.find(({ shape }) => shape.length);
  return array ? [array] : columns.filter((each) => each.type !== "other" && !each.infinite && each.missing < rows && (!isText(each) || (each.classes && countOf(each) <= rows / 2)));
}

const isImage = ({ holds }) => holds === "image";
const MODELS = { images: "cnn", text: "transformer", upload: "mlp" }; // one takes the place of another

// The spec with the upload as its dataset, or as the weights to start from.
function withUpload(spec, stored, target) {
  const { id, format, name, report: { columns, rows } } = stored;
  if (isWeights(stored)) return { ...spec, start: { upload: id, head: "new" } };
  const column = columns.find((each) => each.name === target);
  const image = columns.find(isImage);
  const task = column && !image ? taskOf(column) : "classification";
  const drops = column?.missing > 0;
  const others = columns.filter((each) => each !== column && !each.aside);
  const features = featuresOf(others, rows);
  const kind = image ? "images" : format === "text" ? format : "upload";
  const model = features[0]?.shape.length === 3 ? "cnn" : MODELS[kind];
  return {
    ...spec, name: name.replace(/\.\w+$/, "").slice(0, 128) || spec.name, notes: "", tags: [],
    dataset: { kind, upload: id, ...(kind === "upload" ? { predict: target, task, ...(features.length < others.length ? { features: features.map((each) => each.name) } : {}), prepare: preparationOf(features), ...(drops ? { missing: "drop" } : {}) }
      : format === "parquet" ? { image: image.name, label: target } : {}) },
    ...(spec.model.kind !== model && Object.values(MODELS).includes(spec.model.kind) ? { model: { kind: model } } : {}),
    ...(kind === "images" ? {} : { augment: [] }),
    loss: { kind: task === "regression" ? "mse" : "cross_entropy" }, metrics: kindsOf(column ? metricsOf(task, column) : []),
  };
}

// What is to be predicted where there is a choice, and the loss and metrics that fit it.
function UseUpload({ stored, use }) {
  const columns = stored.report.columns.filter(taskOf);
  const [target, pick] = useState((columns.find(({ name }) => TARGET.test(name)) || columns.at(-1))?.name);
  if (!columns.length && !isWeights(stored) && stored.format !== "text") return null;
  return html`<p class="row">${columns.length ? html`<label>${t("upload.target")} <select value=${target} onChange=${(event) => pick(event.target.value)}>${columns.map(({ name }) => html`<option value=${name}>${escapeInvisible(name)}</option>`)}</select></label>` : null}
    <button type="button" class="primary" onClick=${() => use((spec) => withUpload(spec, stored, target))}>${t("upload.use")}</button> ${columns.length ? html`<small>${t(`upload.task.${taskOf(columns.find(({ name }) => name === target))}`)}</small>` : null}</p>`;
}
