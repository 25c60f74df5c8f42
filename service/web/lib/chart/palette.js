// How lines look: a colour, a shape, and dashes once the colours repeat; the legend that tells them, and a small curve.
import { html } from "../html.js";
import { t } from "../words.js";

// Okabe & Ito 2008: distinguishable without colour vision; a shape tells each from its neighbours in print too.
export const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d00", "#7a7a7a"];
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3]];
const SHAPES = ["circle", "square", "triangle", "diamond", "cross", "plus", "down", "bar"];
export const MOST_COLOURED = 12; // lines; what comes after them is grey

export const colour = (index) => COLOURS[index % COLOURS.length];
export const dash = (index) => DASHES[Math.floor(index / COLOURS.length) % DASHES.length];
export const look = (index) => ({ colour: colour(index), dash: dash(index), shape: SHAPES[index % SHAPES.length] });

// Points of a shape around (0, 0), in half widths; those without area are stroked: pairs of ends.
const FILLED = {
  square: [[-0.8, -0.8], [0.8, -0.8], [0.8, 0.8], [-0.8, 0.8]], triangle: [[0, -1], [1, 0.8], [-1, 0.8]],
  diamond: [[0, -1.1], [1.1, 0], [0, 1.1], [-1.1, 0]], down: [[0, 1], [1, -0.8], [-1, -0.8]],
};
const STROKED = { cross: [[-0.9, -0.9, 0.9, 0.9], [-0.9, 0.9, 0.9, -0.9]], plus: [[-1, 0, 1, 0], [0, -1, 0, 1]], bar: [[0, -1.2, 0, 1.2]] };

// The path of a shape as SVG writes it, at (x, y) with half the width r.
export function shapePath(shape, x, y, r) {
  const at = (dx, dy) => `${(x + dx * r).toFixed(1)} ${(y + dy * r).toFixed(1)}`;
  if (FILLED[shape]) return `M${FILLED[shape].map(([dx, dy]) => at(dx, dy)).join("L")}Z`;
  if (STROKED[shape]) return STROKED[shape].map(([a, b, c, d]) => `M${at(a, b)}L${at(c, d)}`).join("");
  return `M${at(-0.9, 0)}a${0.9 * r} ${0.9 * r} 0 1 0 ${1.8 * r} 0a${0.9 * r} ${0.9 * r} 0 1 0 ${-1.8 * r} 0Z`;
}

export function drawShape(context, shape, x, y, r) {
  const path = new Path2D(shapePath(shape, x, y, r));
  if (!STROKED[shape]) context.fill(path);
  context.stroke(path);
}

// Lines in the order they are drawn: beyond the first twelve they are grey, and lie beneath.
export function emphasise(lines) {
  const own = lines.filter((line) => !line.faint && !line.aside);
  if (new Set(own.map((line) => `${line.colour} ${line.dash} ${line.shape}`)).size <= MOST_COLOURED) return lines; // few looks for many lines: coloured by a field
  const top = new Set(own.slice(0, MOST_COLOURED));
  const grey = (line) => (line.faint || line.aside || top.has(line) ? line : { ...line, colour: colour(7), dash: [], shape: null, muted: true, lo: null, hi: null });
  const dressed = lines.map(grey);
  return [...dressed.filter((line) => line.muted), ...dressed.filter((line) => !line.muted)];
}

// The legend is ours: it is read by screen readers, wraps, and shows shapes and dashes beside colours.
export function Swatch({ line }) {
  return html`<svg width="26" height="10" aria-hidden="true"><path d="M0 5H26" stroke=${line.colour}
    stroke-width="2" stroke-dasharray=${(line.dash || []).join(" ")}/>${line.shape ? html`<path d=${shapePath(line.shape, 13, 5, 4)} fill=${line.colour} stroke=${line.colour} stroke-width="1.5"/>` : null}</svg>`;
}

// Its name while somebody points at a line in a legend; every chart that has the line lets the others fade.
export const POINTED = "pointed";
const point = (label) => ({ type, pointerType, target }) => { // a finger, which never leaves, points at nothing
  if (label === null || (type === "pointerenter" ? pointerType === "mouse" : target.matches(":focus-visible"))) window.dispatchEvent(new CustomEvent(POINTED, { detail: label }));
};

// Without `onToggle` it only tells. What is beyond the coloured ones is folded.
export function Legend({ lines, onToggle, hidden = new Set() }) {
  const own = lines.filter((line) => !line.faint);
  const item = (line) => html`<li key=${line.label} onPointerEnter=${point(line.label)} onPointerLeave=${point(null)} onfocusin=${point(line.label)} onfocusout=${point(null)}>
    ${onToggle ? html`<button type="button" class=${hidden.has(line.label) ? "off" : ""} aria-pressed=${!hidden.has(line.label)}
      onClick=${() => onToggle(line.label)}><${Swatch} line=${line}/>${line.label}</button>` : html`<span class="key"><${Swatch} line=${line}/>${line.label}</span>`}</li>`;
  const rest = own.slice(MOST_COLOURED);
  return html`<ul class="legend">${own.slice(0, MOST_COLOURED).map(item)}</ul>
    ${rest.length ? html`<details><summary>${t("legend.more", { n: rest.length })}</summary><ul class="legend">${rest.map(item)}</ul></details>` : null}`;
}

// A small curve for a table row, without axes.
export function Sparkline({ values, label, stroke = "currentColor" }) {
  const finite = (values || []).filter((value) => value !== null && Number.isFinite(value));
  if (finite.length < 2) return html`<span class="spark" aria-hidden="true"></span>`;
  const low = Math.min(...finite);
  const span = Math.max(...finite) - low || 1;
  const points = values
    .map((value, index) => (value === null || !Number.isFinite(value) ? null
      : `${((index / (values.length - 1)) * 96 + 2).toFixed(1)},${(22 - ((value - low) / span) * 20).toFixed(1)}`))
    .filter(Boolean).join(" ");
  return html`<svg class="spark" viewBox="0 0 100 24" preserveAspectRatio="none" role="img" aria-label=${label}>
    <polyline points=${points} fill="none" stroke=${stroke} stroke-width="1.5" vector-effect="non-scaling-stroke"/></svg>`;
}
