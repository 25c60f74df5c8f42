// Values under the cursor: for each line its point nearest in x; in the box those nearest in y first.
import { decimalsOf, formatFixed, formatNumber } from "../format.js";
import { html, render } from "../html.js";
import { Swatch } from "./palette.js";

const MOST_ROWS = 12;
const REACH_PX = 40; // a line's last point is told this far beyond it
const there = (value) => value !== null && value !== undefined;

// The index of the value of `y` nearest to `index`: between two points whichever is nearer, beyond the last within reach.
export function nearestIndex(chart, y, index) {
  if (there(y[index])) return index;
  let [left, right] = [index - 1, index + 1];
  while (left >= 0 && !there(y[left])) left -= 1;
  while (right < y.length && !there(y[right])) right += 1;
  const x = chart.data[0];
  const distance = (at) => (at < 0 || at >= y.length ? Infinity : Math.abs(chart.valToPos(x[at], "x") - chart.valToPos(x[index], "x")));
  const [before, after] = [distance(left), distance(right)];
  const nearer = before <= after ? left : right;
  const between = Number.isFinite(before) && Number.isFinite(after);
  return between || Math.min(before, after) <= REACH_PX ? nearer : null;
}

// [{line, at, value, lo, hi, distance}] of the lines that have a value there, the nearest to the cursor first.
export function valuesAt(chart, lines, logY, index, top) {
  const found = [];
  for (const line of lines) {
    if (line.faint) continue;
    const at = nearestIndex(chart, line.y, index);
    if (at === null) continue;
    const value = line.y[at];
    const height = chart.valToPos(logY ? Math.log10(value) : value, "y");
    const bar = line.bars?.[at];
    found.push({ line, at, value, lo: bar ? bar.lo : line.lo?.[at], hi: bar ? bar.hi : line.hi?.[at], distance: Math.abs(height - top) });
  }
  return found.sort((one, other) => one.distance - other.distance);
}

// "0.123 ± 0.004"; an interval that is not even about its value is written with both ends.
export function describe({ value, lo, hi }, decimals) {
  const told = formatFixed(value, decimals);
  if (!there(lo) || !there(hi) || !Number.isFinite(lo) || !Number.isFinite(hi) || hi === lo) return told;
  const half = (hi - lo) / 2;
  return Math.abs((hi + lo) / 2 - value) <= 0.05 * half ? `${told} ± ${formatFixed(half, decimals)}` : `${told}  (${formatFixed(lo, decimals)} … ${formatFixed(hi, decimals)})`;
}

// The box of one chart; `show` fills and places it, `hide` takes it away.
export function hoverBox(holder) {
  const box = Object.assign(document.createElement("div"), { className: "hover", hidden: true });
  box.setAttribute("aria-hidden", "true");
  holder.append(box);
  const hide = () => { box.hidden = true; };
  const show = (chart, title, rows, more) => {
    const decimals = decimalsOf(rows.map(({ value }) => value));
    render(html`<strong>${title}</strong><table><tbody>${rows.map((row) => html`<tr><td><${Swatch} line=${row.line}/></td><td>${row.line.label}</td><td>${describe(row, decimals)}</td></tr>`)}</tbody></table>${more ? html`<small>${more}</small>` : null}`, box);
    box.hidden = false;
    const { left, top } = chart.cursor;
    const [x, y] = [chart.over.offsetLeft + left, chart.over.offsetTop + top];
    const beyond = x + 16 + box.offsetWidth > holder.clientWidth;
    box.style.left = `${Math.max(0, beyond ? x - 16 - box.offsetWidth : x + 16)}px`;
    box.style.top = `${Math.max(0, Math.min(y - 12, holder.clientHeight - box.offsetHeight))}px`;
  };
  return { show, hide, most: MOST_ROWS };
}

export const titleOf = (xLabel, x) => `${xLabel || "x"} ${Number.isInteger(x) ? x.toLocaleString("en") : formatNumber(x)}`;
