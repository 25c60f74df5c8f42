// A chart as a file: the picture as it is drawn, the same in lines and text, or its numbers.
import { csvCell } from "../tables.js";
import { cssVariable } from "./options.js";
import { MOST_COLOURED, shapePath } from "./palette.js";

const there = (value) => value !== null && value !== undefined;
const escape = (text) => String(text).replace(/[&<>"]/g, (each) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[each]);
const LEGEND_ROW = 18; // px
const MOST_NAMED = 24;
const SHAPES_ON_LINE = 5;

// The numbers that are in the picture: x, then each line with the ends of its band.
export function chartCsv({ x, lines, xLabel, range }) {
  const own = lines.filter((line) => !line.faint);
  const head = [xLabel || "x", ...own.flatMap((line) => (line.lo ? [line.label, `${line.label} low`, `${line.label} high`] : [line.label]))];
  const rows = [head];
  for (let i = 0; i < x.length; i += 1) {
    if (range && (x[i] < range[0] || x[i] > range[1])) continue;
    const values = own.flatMap((line) => (line.lo ? [line.y[i], line.lo[i], line.hi[i]] : [line.y[i]]));
    if (values.some(there)) rows.push([x[i], ...values]);
  }
  return `${rows.map((row) => row.map(csvCell).join(",")).join("\r\n")}\r\n`;
}

function pathOf(chart, line, values, height) {
  let path = "";
  let last = null;
  values.forEach((value, i) => {
    const y = height(value);
    if (y === null) return;
    const [left, top] = [chart.valToPos(chart.data[0][i], "x").toFixed(1), y.toFixed(1)];
    path += last === null ? `M${left} ${top}` : line.stepped ? `H${left}V${top}` : `L${left} ${top}`;
    last = value;
  });
  return path;
}

// Text at the splits of an axis, as the chart writes it.
function labelsOf(chart, index) {
  const axis = chart.axes[index];
  return (axis._splits || []).map((split, at) => ({ at: chart.valToPos(split, index ? "y" : "x"), text: axis._values[at] })).filter(({ at }) => Number.isFinite(at));
}

// `chart`: the uPlot; `lines` as they are drawn.
export function chartSvg(chart, { lines, logY, xLabel, label }) {
  const { offsetLeft: left, offsetTop: top, clientWidth: width, clientHeight: height } = chart.over;
  const named = lines.filter((line) => !line.faint && !line.muted).slice(0, MOST_NAMED);
  const [whole, tall] = [chart.width, chart.height + LEGEND_ROW * named.length + 24];
  const y = (value) => (!there(value) || (logY && value <= 0) ? null : chart.valToPos(logY ? Math.log10(value) : value, "y"));
  const [ink, grid, paper, bad] = ["--ink", "--grid", "--paper", "--bad"].map(cssVariable);
  const [alongX, alongY] = [labelsOf(chart, 0), labelsOf(chart, 1)];
  const parts = [`<rect width="${whole}" height="${tall}" fill="${paper}"/>`, `<text x="${left}" y="14" font-weight="600">${escape(label)}</text>`, `<g transform="translate(${left} ${top + 16})">`];
  for (const { at, text } of alongX) parts.push(`<path d="M${at} 0V${height}" stroke="${grid}"/><text x="${at}" y="${height + 16}" text-anchor="middle">${escape(text)}</text>`);
  for (const { at, text } of alongY) parts.push(`<path d="M0 ${at}H${width}" stroke="${grid}"/><text x="-8" y="${at + 4}" text-anchor="end">${escape(text)}</text>`);
  if (xLabel) parts.push(`<text x="${width / 2}" y="${height + 32}" text-anchor="middle">${escape(xLabel)}</text>`);
  parts.push(`<clipPath id="plot"><rect width="${width}" height="${height}"/></clipPath><g clip-path="url(#plot)" fill="none">`);
  for (const line of lines) {
    if (line.lo) {
      const [above, below] = [pathOf(chart, line, Array.from(line.hi), y), pathOf(chart, line, Array.from(line.lo), y)];
      const back = below.slice(1).split("L").reverse().join("L");
      if (above && below) parts.push(`<path d="${above}L${back}Z" fill="${line.colour}" fill-opacity="0.18"/>`);
    }
    const opacity = line.faint ? 0.3 : line.muted ? 0.45 : 1;
    if (!line.dots) parts.push(`<path d="${pathOf(chart, line, Array.from(line.y), y)}" stroke="${line.colour}" stroke-opacity="${opacity}" stroke-width="${line.faint || line.muted ? 1 : 1.8}" stroke-dasharray="${(line.dash || []).join(" ")}"/>`);
    const every = line.dots || line.points ? 1 : Math.ceil(line.y.length / SHAPES_ON_LINE);
    const isShaped = every === 1 || (line.shape && !line.faint && named.length > 1 && named.length <= MOST_COLOURED);
    const first = Math.floor((every * (named.indexOf(line) + 0.5)) / MOST_COLOURED); // staggered
    if (isShaped) line.y.forEach((value, i) => { if (i % every === first % every && y(value) !== null) parts.push(`<path d="${shapePath(line.shape || "circle", chart.valToPos(chart.data[0][i], "x"), y(value), line.dots ? 5 : 3.5)}" fill="${line.colour}" stroke="${line.colour}"/>`); });
    (line.bars || []).forEach(({ x, lo, hi }) => { if (there(lo) && y(hi) !== null) parts.push(`<path d="M${chart.valToPos(x, "x")} ${y(hi)}V${y(lo) ?? height}" stroke="${line.colour}"/>`); });
    (line.bad ? Array.from(line.bad) : []).forEach((isBad, i) => { if (isBad) parts.push(`<path d="${shapePath("cross", chart.valToPos(chart.data[0][i], "x"), 5, 4)}" stroke="${bad}" stroke-width="1.5"/>`); });
  }
  parts.push("</g></g>");
  named.forEach((line, at) => {
    const middle = chart.height + 24 + LEGEND_ROW * at;
    parts.push(`<path d="M${left} ${middle}h26" stroke="${line.colour}" stroke-width="2" stroke-dasharray="${(line.dash || []).join(" ")}"/>${line.shape ? `<path d="${shapePath(line.shape, left + 13, middle, 4)}" fill="${line.colour}" stroke="${line.colour}"/>` : ""}<text x="${left + 34}" y="${middle + 4}">${escape(line.label)}</text>`);
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${whole}" height="${tall}" viewBox="0 0 ${whole} ${tall}" font-family="system-ui, sans-serif" font-size="12" fill="${ink}">${parts.join("")}</svg>`;
}

// The canvas as it is, with title and legend: a PNG of twice the size on a fine screen.
export async function chartPng(chart, { lines, label }) {
  const ratio = window.devicePixelRatio || 1;
  const named = lines.filter((line) => !line.faint && !line.muted).slice(0, MOST_NAMED);
  const canvas = document.createElement("canvas");
  canvas.width = chart.ctx.canvas.width;
  canvas.height = chart.ctx.canvas.height + (28 + LEGEND_ROW * named.length) * ratio;
  const context = canvas.getContext("2d");
  context.fillStyle = cssVariable("--paper");
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(chart.ctx.canvas, 0, 20 * ratio);
  context.scale(ratio, ratio);
  context.font = "600 12px system-ui, sans-serif";
  context.fillStyle = cssVariable("--ink");
  context.fillText(label, chart.over.offsetLeft, 14);
  context.font = "12px system-ui, sans-serif";
  context.lineWidth = 2;
  named.forEach((line, at) => {
    const [left, middle] = [chart.over.offsetLeft, chart.height + 28 + LEGEND_ROW * at];
    context.strokeStyle = line.colour;
    context.fillStyle = line.colour;
    context.setLineDash(line.dash || []);
    context.stroke(new Path2D(`M${left} ${middle}h26`));
    context.setLineDash([]);
    if (line.shape) context.fill(new Path2D(shapePath(line.shape, left + 13, middle, 4)));
    context.fillStyle = cssVariable("--ink");
    context.fillText(line.label, left + 34, middle + 4);
  });
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}
