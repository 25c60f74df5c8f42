// A chart as uPlot draws it: data, options, and what lies beside the lines (spans, thresholds, events, shapes, error bars, crosses).
import { nearestIndex } from "./hover.js";
import { drawShape } from "./palette.js";
import { evenTicks, exponentLabels, logTicks, padded, spanOf, tickLabels } from "./ranges.js";

// A logarithmic y is drawn on a linear axis of exponents: uPlot's own log axis has no ticks beyond 1e17, which diverging runs reach.
const toExponents = (values) => Array.from(values, (value) => (value > 0 ? Math.log10(value) : value === undefined ? undefined : null));

export function chartData(x, lines, logY) {
  const data = [x];
  const convert = logY ? toExponents : (values) => values;
  for (const line of lines) {
    data.push(convert(line.y));
    if (line.lo) data.push(convert(line.lo), convert(line.hi));
  }
  return data;
}

function paths(line) {
  if (line.dots) return { paths: () => null };
  return line.stepped ? { paths: window.uPlot.paths.stepped({ align: 1 }) } : {};
}

// The series of the lines, their bands, and the line that each series belongs to; a band's edges belong to none.
function chartSeries(lines) {
  const series = [{ label: "x" }];
  const bands = [];
  const owners = [null];
  lines.forEach((line, index) => {
    series.push({
      label: line.label, stroke: line.colour, dash: line.dash, spanGaps: true, ...paths(line),
      width: line.faint || line.muted ? 1 : 1.8, alpha: line.faint ? 0.3 : line.muted ? 0.45 : 1,
      points: { show: !line.shape && Boolean(line.dots || line.points), size: line.dots ? 8 : 5 },
    });
    owners.push(index);
    if (!line.lo) return;
    const hidden = { stroke: "transparent", width: 0, points: { show: false }, spanGaps: true };
    series.push({ ...hidden, label: `${line.label} min` }, { ...hidden, label: `${line.label} max` });
    owners.push(null, null);
    bands.push({ series: [series.length - 1, series.length - 2], fill: `${line.colour}2e` });
  });
  return { series, bands, owners };
}

const room = (pixels, each, most) => Math.min(Math.max(Math.floor(pixels / each), 5), most);

// uPlot draws no axis whose range is wider than the widest of its increments; ours come with the ticks.
const anyRange = (_, __, low, high) => [Math.max(high - low, 5)];

function axesOf({ xLabel, logX, logY }) {
  const axis = { stroke: cssVariable("--ink"), grid: { stroke: cssVariable("--grid"), width: 1 }, ticks: { stroke: cssVariable("--grid"), width: 1 }, filter: (_, splits) => splits, incrs: anyRange };
  const alongX = logX ? (_, __, low, high) => logTicks(Math.log10(low), Math.log10(high)).map((power) => 10 ** power) : ({ width }, __, low, high) => evenTicks(low, high, room(width, 90, 10));
  const alongY = logY ? (_, __, low, high) => logTicks(low, high) : ({ height }, __, low, high) => evenTicks(low, high, room(height, 40, 8));
  return [
    { ...axis, size: 30, gap: 3, label: xLabel, labelSize: 16, labelGap: 0, labelFont: "12px system-ui, sans-serif", splits: alongX, values: (_, splits) => tickLabels(splits) },
    { ...axis, size: (_, values) => Math.max(64, 20 + 7 * Math.max(0, ...(values || []).map((value) => String(value ?? "").length))), splits: alongY, values: (_, splits) => (logY ? exponentLabels(splits) : tickLabels(splits)) },
  ];
}

// `latest.current` holds the props as they are now, `hooks` what the chart tells: {onSelect(low, high), onCursor(chart)}.
export function chartOptions(props, node, latest, hooks) {
  const { lines, logX, height, sync } = props;
  const { series, bands, owners } = chartSeries(lines);
  const point = (chart, index) => (owners[index] === null || lines[owners[index]]?.faint ? undefined : Object.assign(document.createElement("div"), { className: "u-cursor-pt" }));
  return {
    width: node.clientWidth || 600,
    height,
    series,
    bands,
    scales: {
      x: { time: false, distr: logX ? 3 : 1, range: (_, low, high) => spanOf(...(latest.current.range || latest.current.extent || [low, high]), logX) },
      y: { range: () => padded(latest.current.yRange.low, latest.current.yRange.high) },
    },
    axes: axesOf(props),
    legend: { show: false },
    cursor: {
      drag: { x: true, y: false, setScale: false },
      points: { size: 7, show: point },
      dataIdx: (chart, index, at) => (index === 0 ? at : owners[index] === null ? null : nearestIndex(chart, latest.current.lines[owners[index]]?.y || [], at)),
      ...(sync ? { sync: { key: sync, setSeries: false, scales: ["x", null], filters: { pub: (type) => type === "mousemove" || type === "mouseleave" } } } : {}),
    },
    hooks: {
      drawAxes: [(chart) => drawSpansAndLevels(chart, latest.current)],
      draw: [(chart) => drawMarks(chart, latest.current)],
      setSelect: [(chart) => selected(chart, hooks.onSelect)],
      setCursor: [hooks.onCursor],
    },
  };
}

function selected(chart, onSelect) {
  if (chart.select.width < 3) return;
  const low = chart.posToVal(chart.select.left, "x");
  const high = chart.posToVal(chart.select.left + chart.select.width, "x");
  chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  onSelect(low, high);
}

// What is drawn beside the lines: spans, thresholds, events on the axis, shapes, error bars, and what is not finite.
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
    shaped.forEach((line, place) => (chart.pointed ?? line.label) === line.label && drawShapesOf(chart, line, place, height));
  }
  for (const line of lines) {
    if (line.bars) drawErrorBars(chart, line, height);
    if (line.bad) drawDiverged(chart, line.bad);
  }
  ctx.restore();
}
