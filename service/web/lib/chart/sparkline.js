// A small curve for a table row, without axes.
import { html } from "../html.js";

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
