// A chart's data and options as uPlot takes them.
import { evenTicks, exponentLabels, logTicks, tickLabels } from "../ticks.js";
import { cssVariable, drawMarks, drawSpansAndLevels } from "./draw.js";
import { nearestIndex } from "./hover.js";
import { padded, spanOf } from "./ranges.js";

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
