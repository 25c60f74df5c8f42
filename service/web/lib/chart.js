// A line chart over a shared x: values on hover, one cursor for all charts of a page, zoom, robust range, marks, a menu of files.
import { hoverBox, titleOf, valuesAt } from "./chart/hover.js";
import { chartData, chartOptions } from "./chart/options.js";
import { emphasise, Legend, look, POINTED } from "./chart/palette.js";
import { steady, valueRange } from "./chart/ranges.js";
import { copyText } from "./components.js";
import { html, useEffect, useMemo, useRef, useState } from "./html.js";
import { useLook } from "./look.js";
import { download, ExportMenu, fileName } from "./tables.js";
import { t } from "./words.js";

export { colour, look, Legend, Sparkline, Swatch } from "./chart/palette.js";

const HEIGHT = 280;
const finite = (value) => (value !== null && value !== undefined && Number.isFinite(value) ? value : null);
const exponent = (value) => (value > 0 && Number.isFinite(value) ? Math.log10(value) : null);

// The heights that are shown, and whether values lie beyond them. A level beyond what was measured would not be seen:
// the axis reaches it.
function shownRange({ lines, levels = [], logY }, whole) {
  const convert = logY ? exponent : finite;
  const shown = whole ? lines : steady(lines);
  const columns = shown.flatMap((line) => [line.y, ...(line.lo ? [line.lo, line.hi] : []), ...(line.bars ? [line.bars.map(({ lo }) => lo), line.bars.map(({ hi }) => hi)] : [])]);
  const found = valueRange(columns, convert, whole);
  const heights = levels.map(({ y }) => convert(y)).filter((y) => y !== null);
  const all = [...heights, ...(found.low === null ? [] : [found.low, found.high])];
  return all.length ? { low: Math.min(...all), high: Math.max(...all), cut: found.cut || shown.length < lines.length } : found;
}

function showValues(chart, box, { lines, logY, xLabel }) {
  const { idx, left, top } = chart.cursor;
  if (idx === null || idx === undefined || left < 0 || !chart.over.matches(":hover")) return box.hide();
  const found = valuesAt(chart, lines, logY, idx, top);
  if (!found.length) return box.hide();
  const more = found.length > box.most ? t("and.more", { n: found.length - box.most }) : "";
  return box.show(chart, titleOf(xLabel, chart.data[0][idx]), found.slice(0, box.most), more);
}

// props: {x, lines, xLabel, logX, logY, height, marks, spans: [[from, to]], levels: [{y, label}], label, sync,
// extent: [low, high] of x where charts share it, range: the window that is looked at, or null;
// onZoom(low, high), onReset(), onPick(index) of a point that is clicked}; without onZoom the chart keeps its own window.
// lines: [{label, y, lo?, hi?, bad?, bars?, colour, dash, shape?, faint?, aside?, points?, dots?, stepped?}], each column
// as long as x and the most important line first; bad: where a value is not finite.
export function Chart(props) {
  const { x, logY, onZoom, height = HEIGHT } = props;
  const [container, chart, box] = [useRef(null), useRef(null), useRef(null)];
  const [own, setOwn] = useState(null);
  const [whole, setWhole] = useState(false);
  const lines = useMemo(() => emphasise(props.lines), [props.lines]);
  const yRange = useMemo(() => shownRange({ lines, levels: props.levels, logY }, whole), [lines, JSON.stringify(props.levels), logY, whole]);
  const range = onZoom ? props.range || null : own;
  const latest = useRef();
  latest.current = { ...props, lines, range, yRange };
  const { dark: isDark } = useLook();
  const optionsKey = JSON.stringify([
    lines.map((line) => [line.label, line.colour, line.dash, line.shape, Boolean(line.lo), line.faint, line.points, line.dots]),
    props.logX, logY, props.xLabel, height, props.sync, isDark,
  ]);
  const hooks = {
    onSelect: (low, high) => (latest.current.onZoom || ((...ends) => setOwn(ends)))(low, high),
    onCursor: (each) => box.current && showValues(each, box.current, latest.current),
  };
  useEffect(() => {
    const node = container.current;
    box.current = hoverBox(node);
    const made = new window.uPlot(chartOptions({ ...props, lines, height }, node, latest, hooks), chartData(x, lines, logY), node);
    chart.current = made;
    const point = ({ detail: label }) => letOthersFade(made, label);
    window.addEventListener(POINTED, point);
    const fit = new ResizeObserver(() => node.clientWidth && made.setSize({ width: node.clientWidth, height }));
    fit.observe(node);
    return () => {
      window.removeEventListener(POINTED, point);
      fit.disconnect();
      made.destroy();
      node.replaceChildren();
      chart.current = null;
    };
  }, [optionsKey]);
  const drawn = useRef(optionsKey);
  useEffect(() => {
    if (drawn.current === optionsKey) chart.current?.setData(chartData(x, lines, logY));
    drawn.current = optionsKey;
  }, [x, lines, yRange, props.marks, props.spans, range?.join(), props.extent?.join()]);
  const pick = () => { // uPlot keeps the click that ends a drag to itself
    const { idx, top } = chart.current.cursor;
    const [nearest] = idx === null || idx === undefined ? [] : valuesAt(chart.current, lines, logY, idx, top);
    if (nearest) props.onPick?.(nearest.at);
  };
  const reset = () => (onZoom ? props.onReset?.() : setOwn(null));
  return html`<div class="plot"><div class="tools">
      ${yRange.cut || whole ? html`<button type="button" aria-pressed=${whole} title=${t("chart.all.hint")} onClick=${() => setWhole(!whole)}>${t("chart.all")}</button>` : null}
      ${range && (!onZoom || props.onReset) ? html`<button type="button" onClick=${reset}>${t("chart.reset")}</button>` : null}<${ChartExport} name=${props.label} read=${() => ({ chart: chart.current, ...latest.current })}/></div>
    <div class="chart" ref=${container} role="img" aria-label=${props.label} onDblClick=${reset} onClick=${pick}></div></div>`;
}

const FADED = 0.12;

// All lines but that of the label, whose band has its name too; null: none of them.
function letOthersFade(chart, label) {
  if (label !== null && !chart.series.some((each) => each.label === label)) return;
  chart.pointed = label;
  for (const each of chart.series.slice(1)) {
    each.own ??= each.alpha ?? 1;
    each.alpha = each.own * (label === null || [label, `${label} min`, `${label} max`].includes(each.label) ? 1 : FADED);
  }
  chart.redraw(false);
}

// The module that draws files is loaded when somebody asks for one.
function ChartExport({ name, read }) {
  const file = (ending, type, write) => async (drawn) => download(fileName(name, ending), await write(await import("./chart/export.js"), drawn), type);
  return html`<${ExportMenu} name=${name} read=${read} items=${{
    SVG: file("svg", "image/svg+xml", ({ chartSvg }, drawn) => chartSvg(drawn.chart, drawn)), PNG: file("png", "image/png", ({ chartPng }, drawn) => chartPng(drawn.chart, drawn)),
    CSV: file("csv", "text/csv", ({ chartCsv }, drawn) => chartCsv(drawn)), [t("export.link")]: () => copyText(window.location.href),
  }}/>`;
}

// A performance profile (Dolan & Moré): the share of the targets that each of several has reached within x times what the fastest took.
export function Profile({ x, shares, of }) {
  const lines = shares.map((y, at) => ({ label: of[at].label, y, stepped: true, ...look(at) }));
  return x.length > 1 ? html`<h3>${t("profile")}</h3><${Chart} x=${x} lines=${lines} xLabel=${t("profile.x")} height=${200} label=${t("profile")}/><${Legend} lines=${lines}/>` : null;
}
