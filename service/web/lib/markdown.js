// Markdown as text: paragraphs, code, links and names, in reports headings, lists and emphasis too; every piece is a text
// node, never HTML.
import { html } from "./html.js";
import { escapeInvisible, escapeProse } from "./format.js";

const FENCE = /```[^\n]*\n([\s\S]*?)(?:```|$)/;
const INLINE = /(`[^`\n]+`)|\[([^\]\n]+)\]\((https?:\/\/[^\s)]+)\)|(https?:\/\/[^\s<>"')\]]+)|((?:^|(?<=[\s(]))@[^\s@,.:;!?)]+)/g;
const EMPHASIS = /\*\*([^*\n]+)\*\*|(?<![*\w])\*([^*\s][^*\n]*)\*(?![*\w])/g;
const HEADING = /^(#{1,3})\s+(.+)$/;
const ITEM = /^\s*(?:[-*]|(\d+)[.)])\s+(.*)$/;

const link = (url, text) => html`<a href=${url} rel="noopener noreferrer nofollow" target="_blank">${escapeInvisible(text)}</a>`;

// The text with what `pattern` finds in place of it, drawn by `draw`; the rest drawn by `plain`.
function replaced(text, pattern, draw, plain) {
  const parts = [];
  let end = 0;
  for (const found of text.matchAll(pattern)) {
    parts.push(plain(text.slice(end, found.index)), draw(found));
    end = found.index + found[0].length;
  }
  return [...parts, plain(text.slice(end))];
}

const emphasised = (text) => replaced(text, EMPHASIS, ([, strong, soft]) => (strong ? html`<strong>${escapeProse(strong)}</strong>` : html`<em>${escapeProse(soft)}</em>`), escapeProse);

function inline(text, rich) {
  const draw = ([, code, label, target, bare, name]) => {
    if (code) return html`<code>${escapeInvisible(code.slice(1, -1))}</code>`;
    if (target) return link(target, label);
    return bare ? link(bare, bare) : html`<strong>${escapeInvisible(name)}</strong>`;
  };
  return replaced(text, INLINE, draw, rich ? emphasised : escapeProse);
}

const paragraphs = (text, rich) => text.split(/\n{2,}/).filter((part) => part.trim()).map((part) => html`<p class="prose">${inline(part.trim(), rich)}</p>`);

// Lines in runs of one kind: a heading, the items of a list, other text.
function blocks(text) {
  const parts = [];
  for (const line of text.split("\n")) {
    const [heading, item, last] = [line.match(HEADING), line.match(ITEM), parts[parts.length - 1]];
    const kind = heading ? "heading" : item ? (item[1] ? "ol" : "ul") : "text";
    const content = heading ? line : item ? item[2] : line;
    if (last?.kind === kind && kind !== "heading") last.lines.push(content);
    else parts.push({ kind, lines: [content] });
  }
  return parts;
}

function rendered({ kind, lines }) {
  if (kind === "text") return paragraphs(lines.join("\n"), true);
  if (kind === "heading") {
    const [, marks, text] = lines[0].match(HEADING);
    return html`<${`h${marks.length + 1}`}>${inline(text, true)}</${`h${marks.length + 1}`}>`; // the page has the one of the first level
  }
  return html`<${kind}>${lines.map((line) => html`<li>${inline(line, true)}</li>`)}</${kind}>`;
}

// `rich`: with headings, lists and emphasis.
export function Markdown({ text, rich = false }) {
  const prose = (part) => (rich ? blocks(part).map(rendered) : paragraphs(part));
  const parts = [];
  let rest = text;
  for (let found = FENCE.exec(rest); found; found = FENCE.exec(rest)) {
    parts.push(prose(rest.slice(0, found.index)), html`<pre class="quoted" tabindex="0">${found[1].split("\n").map(escapeInvisible).join("\n")}</pre>`);
    rest = rest.slice(found.index + found[0].length);
  }
  return html`${parts}${prose(rest)}`;
}
