// A line chart over a shared x, with bands, marks on the axis and non-finite values; reports zooming to its parent.
import { html, useEffect, useRef, useState } from "./html.js";
import { formatNumber } from "./format.js";
import { exponentLabels, logTicks, tickLabels } from "./ticks.js";

// Okabe & Ito 2008: distinguishable without colour vision; each line has its own dashes too.
export const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d00", "#7a7a7a"];
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 5], [12, 3], [3, 6], [6, 2, 2, 2]];
export const colour = (index) => COLOURS[index % COLOURS.length];
export const dash = (index) => DASHES[index % DASHES.length];

const cssVariable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// lines: [{label, y, lo?, hi?, bad?, colour, dash, faint?}], each column as long as x.
function chartData(x, lines, logY) {
  const data = [x];
  const convert = logY ? toExponents : (values) => values;
  for (const line of lines) {
    data.push(convert(line.y));
    if (line.lo) data.push(convert(line.lo), convert(line.hi));
  }
  return data;
}

// A logarithmic y is drawn on a linear axis of exponents: uPlot's own log axis has no ticks beyond 1e17, which diverging runs reach.
function toExponents(values) {
  return Array.from(values, (value) => (value > 0 ? Math.log10(value) : value === undefined ? undefined : null));
}

function chartSeries(lines) {
  const series = [{ label: "x" }];
  const bands = [];
  for (const line of lines) {
    series.push({
      label: line.label,
      stroke: line.colour,
      width: line.faint ? 1 : 1.6,
      alpha: line.faint ? 0.3 : 1,
      dash: line.dash,
      spanGaps: true,
      ...(line.dots ? { paths: () => null } : {}),
      points: { show: line.dots || (line.points ?? false), size: line.dots ? 8 : 5 },
      value: (_, value) => formatNumber(value),
    });
    if (line.lo) {
      const hidden = { stroke: "transparent", width: 0, points: { show: false }, spanGaps: true };
      series.push({ ...hidden, label: `${line.label} min` }, { ...hidden, label: `${line.label} max` });
      bands.push({ series: [series.length - 1, series.length - 2], fill: `${line.colour}2e` });
    }
  }
  return { series, bands };
}

// Shades spans of x and draws labelled thresholds as horizontal lines.
function drawSpansAndLevels(chart, { spans = [], levels = [], logY }) {
  const { ctx, bbox } = chart;
  const pixelRatio = window.devicePixelRatio || 1;
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  ctx.save();
  ctx.fillStyle = cssVariable("--stretch");
  for (const [from, to] of spans) {
    const [left, right] = [from, to].map((x) => clamp(chart.valToPos(x, "x", true), bbox.left, bbox.left + bbox.width));
    ctx.fillRect(left, bbox.top, Math.max(right - left, 2 * pixelRatio), bbox.height);
  }
  ctx.strokeStyle = cssVariable("--bad");
  ctx.fillStyle = cssVariable("--bad");
  ctx.font = `${11 * pixelRatio}px sans-serif`;
  ctx.setLineDash([6 * pixelRatio, 4 * pixelRatio]);
  for (const { y, label } of levels) {
    const at = chart.valToPos(logY ? Math.log10(y) : y, "y", true);
    if (!(at >= bbox.top && at <= bbox.top + bbox.height)) continue;
    ctx.beginPath();
    ctx.moveTo(bbox.left, at);
    ctx.lineTo(bbox.left + bbox.width, at);
    ctx.stroke();
    ctx.textAlign = "right";
    ctx.fillText(label, bbox.left + bbox.width - 6 * pixelRatio, at - 4 * pixelRatio);
  }
  ctx.restore();
}

// Error bars of single points.
function drawErrorBars({ ctx, valToPos, scales }, { bars, colour }, logY) {
  const height = (value) => valToPos(logY ? (value > 0 ? Math.log10(value) : scales.y.min) : value, "y", true);
  ctx.save();
  ctx.strokeStyle = colour;
  for (const { x, lo, hi } of bars) {
    if (lo === null) continue;
    const [at, top, bottom] = [valToPos(x, "x", true), height(hi), height(lo)];
    ctx.beginPath();
    ctx.moveTo(at, top);
    ctx.lineTo(at, bottom);
    ctx.stroke();
  }
  ctx.restore();
}

// Checkpoints, attempts and events as ticks on the axis; what is not finite as red crosses at the bottom.
function drawMarks(chart, { marks = [], lines, logY }) {
  const { ctx, bbox } = chart;
  const pixelRatio = window.devicePixelRatio || 1;
  ctx.save();
  for (const mark of marks) {
    const x = chart.valToPos(mark.x, "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.strokeStyle = cssVariable(mark.kind === "checkpoint" ? "--faint" : "--bad");
    ctx.lineWidth = pixelRatio;
    ctx.setLineDash(mark.kind === "cut" ? [4 * pixelRatio, 3 * pixelRatio] : []);
    ctx.beginPath();
    ctx.moveTo(x, mark.kind === "checkpoint" ? bbox.top + bbox.height - 7 * pixelRatio : bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.setLineDash([]);
  ctx.strokeStyle = cssVariable("--bad");
  ctx.lineWidth = 1.5 * pixelRatio;
  for (const line of lines) {
    if (line.bars) drawErrorBars(chart, line, logY);
    (line.bad || []).forEach((bad, index) => {
      if (!bad) return;
      const x = chart.valToPos(chart.data[0][index], "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) return;
      const y = bbox.top + bbox.height - 5 * pixelRatio;
      const r = 3 * pixelRatio;
      ctx.beginPath();
      ctx.moveTo(x - r, y - r);
      ctx.lineTo(x + r, y + r);
      ctx.moveTo(x - r, y + r);
      ctx.lineTo(x + r, y - r);
      ctx.stroke();
    });
  }
  ctx.restore();
}

// A logarithmic x ends where its points do, not at powers of ten that a zoomed window is far from.
const exactRange = (_, low, high) => (low < high ? [low, high] : [low / 1.1, low * 1.1]);

function chartOptions(props, node, latest) {
  const { lines, xLabel, logX, logY, height = 280 } = props;
  const { series, bands } = chartSeries(lines);
  const axis = { stroke: cssVariable("--ink"), grid: { stroke: cssVariable("--grid"), width: 1 }, ticks: { stroke: cssVariable("--grid"), width: 1 } };
  const values = (_, splits) => tickLabels(splits);
  const filter = (_, splits) => splits;
  const alongX = logX ? { filter, splits: (_, __, low, high) => logTicks(Math.log10(low), Math.log10(high)).map((power) => 10 ** power) } : {};
  const alongY = logY ? { filter, splits: (_, __, low, high) => logTicks(low, high), values: (_, splits) => exponentLabels(splits) } : {};
  return {
    width: node.clientWidth || 600,
    height,
    series,
    bands,
    scales: { x: { time: false, distr: logX ? 3 : 1, ...(logX ? { range: exactRange } : {}) }, y: yScale(props.levels, logY) },
    axes: [{ ...axis, size: 30, gap: 3, label: xLabel, labelSize: 16, labelGap: 0, labelFont: "12px system-ui, sans-serif", values, ...alongX }, { ...axis, size: 64, values, ...alongY }],
    legend: { show: false },
    cursor: { drag: { x: true, y: false }, points: { size: 6 }, focus: { prox: 24 } },
    hooks: {
      drawAxes: [(chart) => drawSpansAndLevels(chart, latest.current)],
      draw: [(chart) => drawMarks(chart, latest.current)],
      setSelect: [(chart) => zoomToSelection(chart, latest.current.onZoom)],
      setCursor: [(chart) => latest.current.onCursor && latest.current.onCursor(chart.cursor.idx)],
    },
  };
}

function zoomToSelection(chart, onZoom) {
  if (!onZoom || chart.select.width < 3) return;
  const low = chart.posToVal(chart.select.left, "x");
  const high = chart.posToVal(chart.select.left + chart.select.width, "x");
  chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  onZoom(low, high);
}

const darkScheme = window.matchMedia("(prefers-color-scheme: dark)");

function useDarkScheme() {
  const [is, set] = useState(darkScheme.matches);
  useEffect(() => {
    const changed = () => set(darkScheme.matches);
    darkScheme.addEventListener("change", changed);
    return () => darkScheme.removeEventListener("change", changed);
  }, []);
  return is;
}

// A level beyond what was measured would not be seen: the axis reaches it. Exponents have no zero to begin at.
function yScale(levels = [], logY = false) {
  if (!levels.length && !logY) return {};
  const heights = levels.map(({ y }) => (logY ? Math.log10(y) : y)).filter(Number.isFinite);
  const range = (_, low, high) => {
    const all = [low, high, ...heights].filter(Number.isFinite);
    if (!all.length) return [0, 1];
    const [least, most] = [Math.min(...all), Math.max(...all)];
    const room = 0.06 * (most - least) || 0.1;
    return [least - room, most + room];
  };
  return { range };
}

// props: {x, lines, xLabel, logX, logY, height, marks, spans: [[from, to]], levels: [{y, label}], onZoom(low, high), onReset(), label}
export function Chart(props) {
  const container = useRef(null);
  const chart = useRef(null);
  const latest = useRef(props);
  latest.current = props;
  const isDark = useDarkScheme();
  const optionsKey = JSON.stringify([
    props.lines.map((line) => [line.label, line.colour, line.dash, Boolean(line.lo), line.faint, line.points, line.dots]),
    props.logX, props.logY, props.xLabel, props.height, props.levels, isDark,
  ]);
  useEffect(() => {
    const node = container.current;
    const made = new window.uPlot(chartOptions(props, node, latest), chartData(props.x, props.lines, props.logY), node);
    chart.current = made;
    const fit = new ResizeObserver(() => made.setSize({ width: node.clientWidth, height: props.height || 280 }));
    fit.observe(node);
    return () => {
      fit.disconnect();
      made.destroy();
      chart.current = null;
    };
  }, [optionsKey]);
  useEffect(() => {
    if (chart.current) chart.current.setData(chartData(props.x, props.lines, props.logY));
  }, [props.x, props.lines, props.marks, props.spans]);
  return html`<div class="chart" ref=${container} role="img" aria-label=${props.label}
    onDblClick=${() => props.onReset && props.onReset()}></div>`;
}

// The legend is ours: it is read by screen readers, wraps, and shows dashes beside colours. Without `onToggle` it only tells.
export function Legend({ lines, onToggle, hidden = new Set() }) {
  const sample = (line) => html`<svg width="26" height="8" aria-hidden="true"><line x1="0" x2="26" y1="4" y2="4" stroke=${line.colour}
    stroke-width="2.5" stroke-dasharray=${(line.dash || []).join(" ")}/></svg>`;
  return html`<ul class="legend">${lines.filter((line) => !line.faint).map((line) => html`<li key=${line.label}>
    ${onToggle ? html`<button type="button" class=${hidden.has(line.label) ? "off" : ""} aria-pressed=${!hidden.has(line.label)}
      onClick=${() => onToggle(line.label)}>${sample(line)}${line.label}</button>` : html`<span class="key">${sample(line)}${line.label}</span>`}</li>`)}</ul>`;
}

// A small curve for a table row, without axes.
export function Sparkline({ values, label }) {
  const finite = (values || []).filter((value) => value !== null && Number.isFinite(value));
  if (finite.length < 2) return html`<span class="spark" aria-hidden="true"></span>`;
  const low = Math.min(...finite);
  const span = Math.max(...finite) - low || 1;
  const points = values
    .map((value, index) => (value === null || !Number.isFinite(value) ? null
      : `${((index / (values.length - 1)) * 96 + 2).toFixed(1)},${(22 - ((value - low) / span) * 20).toFixed(1)}`))
    .filter(Boolean).join(" ");
  return html`<svg class="spark" viewBox="0 0 100 24" preserveAspectRatio="none" role="img" aria-label=${label}>
    <polyline points=${points} fill="none" stroke="currentColor" stroke-width="1.5" vector-effect="non-scaling-stroke"/></svg>`;
}
