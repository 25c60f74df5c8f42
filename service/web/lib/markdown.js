// Comments as text: paragraphs, code, links and names, and nothing else; every piece is a text node, never HTML.
import { html } from "./html.js";
import { escapeInvisible, escapeProse } from "./format.js";

const BLOCK = /```[^\n]*\n([\s\S]*?)(?:```|$)/;
const INLINE = /(`[^`\n]+`)|\[([^\]\n]+)\]\((https?:\/\/[^\s)]+)\)|(https?:\/\/[^\s<>"')\]]+)|((?:^|(?<=[\s(]))@[^\s@,.:;!?)]+)/g;

const link = (url, text) => html`<a href=${url} rel="noopener noreferrer nofollow" target="_blank">${escapeInvisible(text)}</a>`;

function inline(text) {
  const parts = [];
  let end = 0;
  for (const found of text.matchAll(INLINE)) {
    const [whole, code, label, target, bare, name] = found;
    parts.push(escapeProse(text.slice(end, found.index)));
    if (code) parts.push(html`<code>${escapeInvisible(code.slice(1, -1))}</code>`);
    else if (target) parts.push(link(target, label));
    else if (bare) parts.push(link(bare, bare));
    else parts.push(html`<strong>${escapeInvisible(name)}</strong>`);
    end = found.index + whole.length;
  }
  return [...parts, escapeProse(text.slice(end))];
}

function paragraphs(text) {
  return text.split(/\n{2,}/).filter((part) => part.trim()).map((part) => html`<p class="prose">${inline(part.trim())}</p>`);
}

export function Markdown({ text }) {
  const parts = [];
  let rest = text;
  for (let found = BLOCK.exec(rest); found; found = BLOCK.exec(rest)) {
    parts.push(paragraphs(rest.slice(0, found.index)), html`<pre class="quoted" tabindex="0">${found[1].split("\n").map(escapeInvisible).join("\n")}</pre>`);
    rest = rest.slice(found.index + found[0].length);
  }
  return html`${parts}${paragraphs(rest)}`;
}
