// A report: a text with the parts of a comparison in it, drawn from the runs as they are now; read, printed, edited.
import { Boundary } from "../lib/boundary.js";
import { useDraft } from "../lib/kept.js";
import { printPage } from "../lib/look.js";
import { Markdown } from "../lib/markdown.js";
import { ActionButton, Ago, CopyButton, DialogButton, escapeInvisible, href, html, navigate, patch, Pending, Problems, refusal, remove, t, updateParameters, useGet, useProject, useState, useTitle } from "../lib/page.js";
import { Curves, looksOf, questionOf, useCompared } from "./compare_curves.js";
import { Comparability, Difference, Ranking } from "./compare_tables.js";
import { PARTS } from "./saved_views.js";

const PART = new RegExp(`^\\s*\\{(${PARTS.join("|")})\\}\\s*$`);
const ROWS = 16; // lines of the field

export function Report({ path: [id], search, me }) {
  const { value: report, error, again } = useGet(`/v1/views/${id}`);
  const project = useProject();
  useTitle(report?.name);
  if (!report) return html`<${Pending} error=${error}/>`;
  const isFixed = Boolean(refusal(me, report.owner, project));
  const isEdited = search.get("edit") === "1" && !isFixed;
  const saved = () => { updateParameters({ edit: "" }); again(); };
  return html`<article class="report"><h1>${escapeInvisible(report.name)}</h1>
    <p class="facts">${escapeInvisible(report.owner)} · <${Ago} at=${report.edited_at || report.created_at}/></p>
    <div class="bar">${isFixed || isEdited ? null : html`<button type="button" onClick=${() => updateParameters({ edit: "1" })}>${t("edit")}</button>`}
      <button type="button" onClick=${printPage}>${t("report.print")}</button>
      <${CopyButton} text=${window.location.href} label=${t("export.link")}/>
      <a class="button" href=${href(["compare"], Object.fromEntries(new URLSearchParams(report.query)))}>${t("report.comparison")}</a>
      ${isFixed ? null : html`<${DialogButton} button=${t("delete")} kind="danger" title=${t("report.delete", { name: escapeInvisible(report.name) })} label=${t("report.delete.yes")} act=${async () => { await remove(`/v1/views/${id}`); navigate(["compare"]); }}><p>${t("report.delete.text")}</p></${DialogButton}>`}</div>
    ${isEdited ? html`<${Editor} key=${id} report=${report} search=${search} saved=${saved}/>` : html`<${Body} text=${report.text} query=${report.query} search=${search}/>`}</article>`;
}

function Editor({ report, search, saved }) {
  const { text, setText, isKept, discard, forget } = useDraft(`report.${report.id}`, report.text);
  const [name, setName] = useState(report.name);
  const save = async () => {
    await patch(`/v1/views/${report.id}`, { name, text });
    forget();
    saved();
  };
  return html`<section class="panel report-editor"><label>${t("column.name")} <input type="text" value=${name} maxlength="128" required onInput=${(event) => setName(event.target.value)}/></label>
    ${isKept ? html`<p class="hint">${t("draft.kept")} <button type="button" onClick=${discard}>${t("draft.discard")}</button></p>` : null}
    <label>${t("report.text")} <textarea rows=${ROWS} maxlength="20000" value=${text} onInput=${(event) => setText(event.target.value)}></textarea></label>
    <p class="hint">${t("report.parts", { parts: PARTS.map((part) => `{${part}}`).join(", ") })}</p>
    <div class="bar"><${ActionButton} label=${t("save")} kind="primary" act=${save}/> <button type="button" onClick=${() => updateParameters({ edit: "" })}>${t("leave")}</button></div></section>
    <${Body} text=${text} query=${report.query} search=${search}/>`;
}

// Text and parts in their order; a text that names no part is followed by the usual ones.
export function piecesOf(text) {
  const pieces = [];
  for (const line of text.split("\n")) {
    const part = line.match(PART)?.[1];
    const last = pieces[pieces.length - 1];
    if (part) pieces.push({ part });
    else if (last?.lines) last.lines.push(line);
    else pieces.push({ lines: [line] });
  }
  return pieces.some(({ part }) => part) ? pieces : [...pieces, ...PARTS.slice(0, 3).map((part) => ({ part }))];
}

// The address of the report may hide a line or zoom; what it says goes before what was saved.
function Body({ text, query, search }) {
  const looked = new URLSearchParams(query);
  for (const [name, value] of search) looked.set(name, value);
  const { value, curves, error } = useCompared(questionOf(looked));
  const pieces = piecesOf(text);
  return html`<${Problems} error=${error}/>${pieces.map((piece, index) => (piece.lines ? html`<${Markdown} key=${index} text=${piece.lines.join("\n")} rich=${true}/>`
    : value ? html`<${Boundary} key=${index}><${Part} name=${piece.part} value=${value} curves=${curves} search=${looked}/></${Boundary}>` : error ? null : html`<p class="empty" key=${index}>${t("loading")}</p>`))}`;
}

function Part({ name, value, curves, search }) {
  const { ranking, groups, difference, comparability } = value;
  const looks = looksOf(value, curves);
  const names = [...new Set(groups.flatMap((group) => Object.keys(group.series)))];
  if (name === "ranking") return html`<${Ranking} ranking=${ranking} groups=${groups} looks=${looks}/>`;
  if (name === "curves") return html`<${Curves} value=${value} groups=${curves} looks=${looks} names=${names} search=${search}/>`;
  if (name === "differences") return html`<${Difference} difference=${difference} groups=${groups} looks=${looks}/>`;
  return html`<${Comparability} found=${comparability}/>`;
}
