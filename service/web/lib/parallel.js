// Parallel coordinates: every axis is an upright, every line crosses those on which it has a place.
import { html } from "./html.js";
import { escapeInvisible } from "./format.js";
import { scaleOf, spansMagnitudes } from "./scatter.js";

const WIDTH = 1000;
const HEIGHT = 260;

// `axes`: [{name, values}], one value a line; `lines`: [{key, class, style, title}] of the same order.
export function ParallelPlot({ axes, lines, label }) {
  const scaled = axes.map(({ name, values }) => ({ name, values, scale: scaleOf(values, spansMagnitudes(values)) }));
  const x = (index) => 60 + (index * (WIDTH - 120)) / (scaled.length - 1);
  const y = (at) => 30 + (1 - at) * (HEIGHT - 60);
  const corners = (at) => scaled.map((axis, index) => [x(index), axis.scale.place(axis.values[at])]).filter(([, place]) => place !== null);
  return html`<svg class="parallel" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label=${label}>
    ${lines.map((line, at) => html`<polyline key=${line.key} class=${line.class} fill="none" style=${line.style} points=${corners(at).map(([across, place]) => `${across},${y(place)}`).join(" ")}><title>${line.title}</title></polyline>`)}
    ${scaled.map((axis, index) => html`<g key=${axis.name}><line class="upright" x1=${x(index)} x2=${x(index)} y1="30" y2=${HEIGHT - 30}/><text x=${x(index)} y="16" text-anchor="middle">${axis.name}</text>
      ${axis.scale.ticks.map(({ at, label: said }) => html`<text class="tick" x=${x(index) + 6} y=${y(at) - 4}>${escapeInvisible(said)}</text>`)}</g>`)}</svg>`;
}
