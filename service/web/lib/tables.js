// Tables of plain rows, and any table as text for elsewhere: CSV, Markdown, LaTeX. A cell there is a text, a number, or
// {mean, half} with half an interval.
import { html } from "./html.js";
import { copyText } from "./components.js";
import { decimalsOf, formatFixed } from "./format.js";
import { t } from "./words.js";

// A table of plain rows; on a phone a row is a card, each cell beside its heading. `columns`: words of the headings, with #
// before those of numbers, or {text, kind, head} of their own; `cells(item)`: what stands in each; `row(item)`: attributes of
// the row beside its key. With a `name` it has a menu of files, of what it shows or of the {head, rows} of `read`.
export function List({ columns, items, cells, row = () => null, name, read = (button) => readTable(button.closest(".listed")), kind = "" }) {
  const heads = columns.map((word) => (word.text ? word : { word, kind: word.startsWith("#") ? "number" : "", text: t(`column.${word.replace("#", "")}`) }));
  const table = html`<div class=${`scroll ${kind}`}><table class="list cards"><thead><tr>${heads.map(({ text, head }) => html`<th key=${text} scope="col">${head ?? text}</th>`)}</tr></thead>
    <tbody>${items.map((item, at) => html`<tr key=${item.id ?? at} ...${row(item)}>${cells(item).map((cell, place) => html`<td class=${heads[place].kind} data-column=${heads[place].word} data-label=${heads[place].text}>${cell}</td>`)}</tr>`)}</tbody></table></div>`;
  return name ? html`<div class="listed"><${TableExport} name=${name} read=${read}/>${table}</div>` : table;
}

const there = (value) => value !== null && value !== undefined && !Number.isNaN(value);
const isMean = (cell) => cell !== null && typeof cell === "object";

// A text that a spreadsheet would take for a formula begins with an apostrophe.
export function csvCell(value) {
  if (!there(value)) return "";
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function tableCsv({ head, rows }) {
  const wide = head.map((_, at) => rows.some((row) => isMean(row[at])));
  const names = head.flatMap((name, at) => (wide[at] ? [name, `${name} ±`] : [name]));
  const lines = rows.map((row) => head.flatMap((_, at) => (wide[at] ? [row[at]?.mean, row[at]?.half] : [row[at]])));
  return `${[names, ...lines].map((row) => row.map(csvCell).join(",")).join("\r\n")}\r\n`;
}

// Each column with equal decimals, as texts.
function written({ head, rows }, plusMinus) {
  const decimals = head.map((_, at) => {
    const numbers = rows.map((row) => (isMean(row[at]) ? row[at].mean : row[at])).filter((value) => typeof value === "number");
    return numbers.every(Number.isInteger) ? 0 : decimalsOf(numbers);
  });
  const cell = (value, at) => {
    if (isMean(value)) return there(value.mean) ? `${formatFixed(value.mean, decimals[at])}${there(value.half) ? ` ${plusMinus} ${formatFixed(value.half, decimals[at])}` : ""}` : "–";
    return typeof value === "number" ? formatFixed(value, decimals[at]) : there(value) ? String(value) : "–";
  };
  return rows.map((row) => head.map((_, at) => ({ text: cell(row[at], at), isNumber: isMean(row[at]) || typeof row[at] === "number" })));
}

export function tableMarkdown(table) {
  const safe = (text) => text.replace(/[\\|`*_<]/g, (each) => `\\${each}`).replace(/\s+/g, " ");
  const cells = written(table, "±");
  const right = table.head.map((_, at) => cells.some((row) => row[at].isNumber));
  const line = (words) => `| ${words.join(" | ")} |`;
  return `${[line(table.head.map(safe)), line(right.map((is) => (is ? "---:" : "---"))), ...cells.map((row) => line(row.map(({ text }) => safe(text))))].join("\n")}\n`;
}

const TEX = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}" };
const tex = (text) => text.replace(/[\\~^&%$#_{}]/g, (each) => TEX[each] || `\\${each}`).replaceAll("–", "--").replace(/\s+/g, " ");

// For booktabs; numbers are set in mathematics, a mean with its interval too.
export function tableLatex(table) {
  const cells = written(table, "\\pm");
  const right = table.head.map((_, at) => cells.some((row) => row[at].isNumber));
  const number = (text) => (text === "–" ? "--" : `$${text.replace(/e([+-]?)0*(\d+)/g, (_, sign, power) => ` \\cdot 10^{${sign === "-" ? "-" : ""}${power}}`)}$`);
  const line = (row) => `${row.map(({ text, isNumber }) => (isNumber ? number(text) : tex(text))).join(" & ")} \\\\`;
  return `\\begin{tabular}{${right.map((is) => (is ? "r" : "l")).join("")}}\n\\toprule\n${table.head.map(tex).join(" & ")} \\\\\n\\midrule\n${cells.map(line).join("\n")}\n\\bottomrule\n\\end{tabular}\n`;
}

export function download(name, content, type) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export const fileName = (text, ending) => `${text.replace(/[^\p{L}\p{N}._-]+/gu, "-").replace(/^-+|-+$/g, "").slice(0, 80) || "saddle"}.${ending}`;

// What an element's table holds, as it is written there.
export function readTable(node) {
  const text = (cell) => cell.innerText.replace(/\s+/g, " ").trim();
  const table = node.querySelector("table") || node;
  const lines = [...table.tBodies].flatMap((body) => [...body.rows]);
  const told = [...table.tHead.rows[0].cells].map((_, at) => !lines.some((row) => row.cells[at]?.querySelector("button"))); // not what is pressed
  const cells = (row) => [...row.cells].filter((_, at) => told[at]).map(text);
  const rows = lines.map(cells);
  const numbers = rows.map((row) => row.map((each) => (/^[-+]?[\d,]*\.?\d+(e[-+]?\d+)?$/i.test(each) ? Number(each.replaceAll(",", "")) : each)));
  return { head: cells(table.tHead.rows[0]), rows: numbers };
}

// A menu of what can be made of something that `read(button)` returns: {label: make(it)}.
export function ExportMenu({ name, read, items }) {
  const act = (make) => async ({ target }) => { target.closest("details").removeAttribute("open"); await make(await read(target)); };
  return html`<details class="export"><summary aria-label=${t("export.of", { name })} title=${t("export")}>⤓</summary><div class="panel">
    ${Object.entries(items).map(([label, make]) => html`<button type="button" key=${label} onClick=${act(make)}>${label}</button>`)}</div></details>`;
}

// A table's: `read` gives {head, rows} when it is asked.
export function TableExport({ name, read }) {
  const file = (ending, type, write) => (table) => download(fileName(name, ending), write(table), type);
  return html`<${ExportMenu} name=${name} read=${read} items=${{
    CSV: file("csv", "text/csv", tableCsv), Markdown: file("md", "text/markdown", tableMarkdown), LaTeX: file("tex", "text/x-tex", tableLatex),
    [t("export.copy")]: (table) => copyText(tableMarkdown(table)),
  }}/>`;
}
