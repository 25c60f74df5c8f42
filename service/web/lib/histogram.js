// A histogram: bars below zero are blue, those above are red.
import { html } from "./html.js";
import { formatNumber } from "./format.js";

const WIDTH = 640;
const HEIGHT = 170;
const AXIS_HEIGHT = 22;

// Heights by the logarithm: a spectrum has thousands of values near zero and a handful that matter.
export function Histogram({ counts, edges, label }) {
  const most = Math.log1p(Math.max(...counts, 1));
  const [low, high] = [edges[0], edges[edges.length - 1]];
  const x = (value) => ((value - low) / (high - low || 1)) * (WIDTH - 2) + 1;
  const bars = counts.map((n, index) => ({ n, left: x(edges[index]), right: x(edges[index + 1]), height: (Math.log1p(n) / most) * (HEIGHT - AXIS_HEIGHT - 6), below: edges[index + 1] <= 0 })).filter(({ n }) => n);
  return html`<svg class="histogram" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label=${label}>
    ${bars.map((bar) => html`<rect class=${bar.below ? "below" : "above"} x=${bar.left} width=${Math.max(bar.right - bar.left - 0.5, 1)} y=${HEIGHT - AXIS_HEIGHT - bar.height} height=${bar.height}>
      <title>${bar.n}</title></rect>`)}
    ${low < 0 && high > 0 ? html`<line class="upright" x1=${x(0)} x2=${x(0)} y1="0" y2=${HEIGHT - AXIS_HEIGHT}/><text x=${x(0)} y=${HEIGHT - 6} text-anchor="middle">0</text>` : null}
    <text x="2" y=${HEIGHT - 6}>${formatNumber(low, 3)}</text><text x=${WIDTH - 2} y=${HEIGHT - 6} text-anchor="end">${formatNumber(high, 3)}</text></svg>`;
}
