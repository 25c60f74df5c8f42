// Lines over a shared x with bands, marks on the axis and what is not finite; zooming is told to whoever shows the chart.
import { html, useEffect, useRef } from "./html.js";
import { figure } from "./format.js";

// Okabe & Ito 2008: told apart without colour vision, and each line has its own dashes too.
export const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d00", "#7a7a7a"];
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 5], [12, 3], [3, 6], [6, 2, 2, 2]];
export const colour = (index) => COLOURS[index % COLOURS.length];
export const dash = (index) => DASHES[index % DASHES.length];

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// lines: [{label, y, lo?, hi?, bad?, colour, dash, faint?}], each column as long as x.
function columns(x, lines) {
  const data = [x];
  for (const line of lines) {
    data.push(line.y);
    if (line.lo) data.push(line.lo, line.hi);
  }
  return data;
}

function seriesOf(lines) {
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
      points: { show: line.points ?? false, size: 5 },
      value: (_, value) => figure(value),
    });
    if (line.lo) {
      const hidden = { stroke: "transparent", width: 0, points: { show: false }, spanGaps: true };
      series.push({ ...hidden, label: `${line.label} min` }, { ...hidden, label: `${line.label} max` });
      bands.push({ series: [series.length - 1, series.length - 2], fill: `${line.colour}2e` });
    }
  }
  return { series, bands };
}

// Checkpoints, attempts and events as ticks on the axis; what is not finite as red crosses at the bottom.
function drawMarks(chart, marks, lines) {
  const { ctx, bbox } = chart;
  const unit = window.devicePixelRatio || 1;
  ctx.save();
  for (const mark of marks) {
    const x = chart.valToPos(mark.x, "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.strokeStyle = css(mark.kind === "cut" ? "--bad" : "--faint");
    ctx.lineWidth = unit;
    ctx.setLineDash(mark.kind === "checkpoint" ? [] : [4 * unit, 3 * unit]);
    ctx.beginPath();
    ctx.moveTo(x, mark.kind === "checkpoint" ? bbox.top + bbox.height - 7 * unit : bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.setLineDash([]);
  ctx.strokeStyle = css("--bad");
  ctx.lineWidth = 1.5 * unit;
  for (const line of lines) {
    (line.bad || []).forEach((bad, index) => {
      if (!bad) return;
      const x = chart.valToPos(chart.data[0][index], "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) return;
      const y = bbox.top + bbox.height - 5 * unit;
      const r = 3 * unit;
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

function optionsOf(props, node, latest) {
  const { lines, xLabel, logX, logY, height = 280 } = props;
  const { series, bands } = seriesOf(lines);
  const axis = { stroke: css("--ink"), grid: { stroke: css("--grid"), width: 1 }, ticks: { stroke: css("--grid"), width: 1 } };
  const values = (_, splits) => splits.map((value) => (value === null ? "" : figure(value, 3)));
  return {
    width: node.clientWidth || 600,
    height,
    series,
    bands,
    scales: { x: { time: false, distr: logX ? 3 : 1 }, y: { distr: logY ? 3 : 1 } },
    axes: [{ ...axis, label: xLabel, labelSize: 18, values }, { ...axis, size: 64, values }],
    legend: { show: false },
    cursor: { drag: { x: true, y: false }, points: { size: 6 }, focus: { prox: 24 } },
    hooks: {
      draw: [(chart) => drawMarks(chart, latest.current.marks || [], latest.current.lines)],
      setSelect: [(chart) => chosen(chart, latest.current.onZoom)],
      setCursor: [(chart) => latest.current.onCursor && latest.current.onCursor(chart.cursor.idx)],
    },
  };
}

function chosen(chart, onZoom) {
  if (!onZoom || chart.select.width < 3) return;
  const low = chart.posToVal(chart.select.left, "x");
  const high = chart.posToVal(chart.select.left + chart.select.width, "x");
  chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  onZoom(low, high);
}

// props: {x, lines, xLabel, logX, logY, height, marks, onZoom(low, high), onReset(), label}
export function Chart(props) {
  const holder = useRef(null);
  const chart = useRef(null);
  const latest = useRef(props);
  latest.current = props;
  const shape = JSON.stringify([
    props.lines.map((line) => [line.label, line.colour, line.dash, Boolean(line.lo), line.faint, line.points]),
    props.logX, props.logY, props.xLabel, props.height, props.theme,
  ]);
  useEffect(() => {
    const node = holder.current;
    const made = new window.uPlot(optionsOf(props, node, latest), columns(props.x, props.lines), node);
    chart.current = made;
    const fit = new ResizeObserver(() => made.setSize({ width: node.clientWidth, height: props.height || 280 }));
    fit.observe(node);
    return () => {
      fit.disconnect();
      made.destroy();
      chart.current = null;
    };
  }, [shape]);
  useEffect(() => {
    if (chart.current) chart.current.setData(columns(props.x, props.lines));
  });
  return html`<div class="chart" ref=${holder} role="img" aria-label=${props.label}
    onDblClick=${() => props.onReset && props.onReset()}></div>`;
}

// The legend is ours: it is read by screen readers, wraps, and shows dashes beside colours.
export function Legend({ lines, onToggle, hidden = new Set() }) {
  return html`<ul class="legend">${lines.filter((line) => !line.faint).map((line) => html`<li key=${line.label}>
    <button type="button" class=${hidden.has(line.label) ? "off" : ""} aria-pressed=${!hidden.has(line.label)}
      onClick=${() => onToggle && onToggle(line.label)}>
      <svg width="26" height="8" aria-hidden="true"><line x1="0" x2="26" y1="4" y2="4" stroke=${line.colour}
        stroke-width="2.5" stroke-dasharray=${(line.dash || []).join(" ")}/></svg>
      ${line.label}</button></li>`)}</ul>`;
}

// A row's small picture: values from left to right, no axes.
export function Spark({ values, label }) {
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
