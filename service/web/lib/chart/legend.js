// The legend is ours: it is read by screen readers, wraps, and shows shapes and dashes beside colours.
import { html } from "../html.js";
import { t } from "../words.js";
import { MOST_COLOURED, shapePath } from "./palette.js";

export function Swatch({ line }) {
  return html`<svg width="26" height="10" aria-hidden="true"><line x1="0" x2="26" y1="5" y2="5" stroke=${line.colour}
    stroke-width="2" stroke-dasharray=${(line.dash || []).join(" ")}/>${line.shape ? html`<path d=${shapePath(line.shape, 13, 5, 4)} fill=${line.colour} stroke=${line.colour} stroke-width="1.5"/>` : null}</svg>`;
}

// Without `onToggle` it only tells. What is beyond the coloured ones is folded.
export function Legend({ lines, onToggle, hidden = new Set() }) {
  const own = lines.filter((line) => !line.faint);
  const item = (line) => html`<li key=${line.label}>
    ${onToggle ? html`<button type="button" class=${hidden.has(line.label) ? "off" : ""} aria-pressed=${!hidden.has(line.label)}
      onClick=${() => onToggle(line.label)}><${Swatch} line=${line}/>${line.label}</button>` : html`<span class="key"><${Swatch} line=${line}/>${line.label}</span>`}</li>`;
  const rest = own.slice(MOST_COLOURED);
  return html`<ul class="legend">${own.slice(0, MOST_COLOURED).map(item)}</ul>
    ${rest.length ? html`<details><summary>${t("legend.more", { n: rest.length })}</summary><ul class="legend">${rest.map(item)}</ul></details>` : null}`;
}
