// What is drawn beside the lines: spans, thresholds, events on the axis, shapes, error bars, and what is not finite.
import { drawShape } from "./palette.js";

export const cssVariable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const ratio = () => window.devicePixelRatio || 1;
const SHAPES_ON_LINE = 5;
const MOST_WITH_SHAPES = 12; // lines of a chart

export function drawSpansAndLevels(chart, { spans = [], levels = [], logY }) {
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.fillStyle = cssVariable("--stretch");
  for (const [from, to] of spans) {
    const [left, right] = [from, to].map((x) => clamp(chart.valToPos(x, "x", true), bbox.left, bbox.left + bbox.width));
    ctx.fillRect(left, bbox.top, Math.max(right - left, 2 * ratio()), bbox.height);
  }
  ctx.strokeStyle = cssVariable("--bad");
  ctx.fillStyle = cssVariable("--bad");
  ctx.font = `${11 * ratio()}px sans-serif`;
  ctx.setLineDash([6 * ratio(), 4 * ratio()]);
  for (const { y, label } of levels) {
    const at = chart.valToPos(logY ? Math.log10(y) : y, "y", true);
    if (!(at >= bbox.top && at <= bbox.top + bbox.height)) continue;
    ctx.beginPath();
    ctx.moveTo(bbox.left, at);
    ctx.lineTo(bbox.left + bbox.width, at);
    ctx.stroke();
    ctx.textAlign = "right";
    ctx.fillText(label, bbox.left + bbox.width - 6 * ratio(), at - 4 * ratio());
  }
  ctx.restore();
}

function drawErrorBars(chart, { bars, colour }, height) {
  const { ctx } = chart;
  ctx.strokeStyle = colour;
  for (const { x, lo, hi } of bars) {
    if (lo === null || lo === undefined) continue;
    const [at, top, bottom] = [chart.valToPos(x, "x", true), height(hi), height(lo)];
    ctx.beginPath();
    ctx.moveTo(at, top);
    ctx.lineTo(at, bottom);
    ctx.stroke();
  }
}

// Checkpoints, attempts and events as ticks on the axis.
function drawEvents({ ctx, bbox, valToPos }, marks) {
  ctx.lineWidth = ratio();
  for (const mark of marks) {
    const x = valToPos(mark.x, "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.strokeStyle = cssVariable(mark.kind === "checkpoint" ? "--faint" : "--bad");
    ctx.setLineDash(mark.kind === "cut" ? [4 * ratio(), 3 * ratio()] : []);
    ctx.beginPath();
    ctx.moveTo(x, mark.kind === "checkpoint" ? bbox.top + bbox.height - 7 * ratio() : bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.setLineDash([]);
}

// A few shapes on a line, staggered, so that lines are told apart without their colours; on points, one for each.
function drawShapesOf(chart, line, place, height) {
  const { ctx, bbox } = chart;
  const x = chart.data[0];
  const dots = line.dots || line.points;
  ctx.strokeStyle = line.colour;
  ctx.fillStyle = line.colour;
  ctx.lineWidth = 1.6 * ratio();
  let next = dots ? -Infinity : bbox.left + (bbox.width * (place + 0.5)) / (SHAPES_ON_LINE * MOST_WITH_SHAPES);
  for (let i = 0; i < x.length; i += 1) {
    const value = line.y[i];
    if (value === null || value === undefined) continue;
    const at = chart.valToPos(x[i], "x", true);
    if (at < Math.max(next, bbox.left)) continue;
    if (at > bbox.left + bbox.width) break;
    const y = height(value);
    if (y >= bbox.top && y <= bbox.top + bbox.height) drawShape(ctx, line.shape, at, y, (line.dots ? 5 : 3.5) * ratio());
    while (!dots && next <= at) next += bbox.width / SHAPES_ON_LINE;
  }
}

// What diverged has no height: a cross at the upper edge.
function drawDiverged(chart, bad) {
  const { ctx, bbox } = chart;
  ctx.strokeStyle = cssVariable("--bad");
  ctx.lineWidth = 1.5 * ratio();
  const [y, r] = [bbox.top + 5 * ratio(), 3.5 * ratio()];
  let last = -Infinity;
  for (let index = 0; index < bad.length; index += 1) {
    if (!bad[index]) continue;
    const x = chart.valToPos(chart.data[0][index], "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width || x - last < r) continue;
    last = x;
    ctx.beginPath();
    ctx.moveTo(x - r, y - r);
    ctx.lineTo(x + r, y + r);
    ctx.moveTo(x - r, y + r);
    ctx.lineTo(x + r, y - r);
    ctx.stroke();
  }
}

export function drawMarks(chart, { marks = [], lines, logY }) {
  const { ctx, scales } = chart;
  const height = (value) => chart.valToPos(logY ? (value > 0 ? Math.log10(value) : scales.y.min) : value, "y", true);
  ctx.save();
  drawEvents(chart, marks);
  const shaped = lines.filter((line) => line.shape && !line.faint && !line.aside);
  if (shaped.some((line) => line.dots) || (shaped.length > 1 && shaped.length <= MOST_WITH_SHAPES)) {
    shaped.forEach((line, place) => drawShapesOf(chart, line, place, height));
  }
  for (const line of lines) {
    if (line.bars) drawErrorBars(chart, line, height);
    if (line.bad) drawDiverged(chart, line.bad);
  }
  ctx.restore();
}
