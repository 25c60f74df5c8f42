// A comparison in pictures beside the curves: rate against result, all fields against result, time to a target.
import { Chart, Legend, look } from "../lib/chart.js";
import { MOST_COLOURED } from "../lib/chart/palette.js";
import { escapeInvisible, formatNumber, html, List, navigate, parseNumber, Select, t, updateParameters } from "../lib/page.js";
import { ParallelPlot } from "../lib/scatter.js";
import { readTable, TableExport } from "../lib/table_export.js";

const result = (group, series, figure) => {
  const value = parseNumber(group.series[series]?.[figure].mean);
  return Number.isFinite(value) ? value : null;
};

// One experiment a group: only then is a differing field the group's own.
const plain = (groups) => groups.every((group) => group.trials.length === 1);

const positive = ({ values }) => values.every((value) => typeof value === "number" && value > 0);

// A field that differs and is a positive number against the result with its interval, both on log axes: the rate first of all.
export function Scatter({ difference, groups, series, figure: which, across, best }) {
  const numeric = Object.keys(difference).filter((name) => positive(difference[name]));
  if (!numeric.length || groups.length < 3 || !plain(groups)) return null;
  const pointer = numeric.includes(across) ? across : numeric.find((name) => name.endsWith("/lr")) || numeric[0];
  const points = difference[pointer].values.map((value, index) => ({ ...placed(value, groups[index], series, which), index })).sort((one, other) => one.x - other.x);
  const heights = points.map(({ y }) => y).filter((value) => value !== null);
  const kinds = difference["/optimizer/kind"]?.values || [];
  const lines = [...new Set(points.map(({ index }) => kinds[index]))].map((kind, at) => lineOf(points, (point) => kinds[point.index] === kind, { label: kind ?? series, ...look(at) }));
  const diverged = points.filter(({ y }) => y === null).length;
  const top = points.filter(({ index, y }) => y !== null && groups[index].label === best);
  const named = [...lines, ...top.map((point) => ({ label: t("scatter.best", { name: escapeInvisible(best) }), y: points.map((each) => (each === point ? each.y : undefined)), dots: true, ...look(4), shape: "diamond" }))];
  return html`<section class="panel"><h2>${t("scatter")}</h2>
    <${Select} label=${t("column.field")} value=${pointer} options=${numeric} set=${(across) => updateParameters({ across })}/>
    <${Chart} x=${points.map(({ x }) => x)} lines=${named} onPick=${(at) => navigate(["experiment", groups[points[at].index].trials[0]])} logX=${true} logY=${heights.every((value) => value > 0)} xLabel=${escapeInvisible(pointer)} height=${240} label=${t("chart.of", { name: escapeInvisible(pointer) })}/>
    ${named.length > 1 ? html`<${Legend} lines=${named}/>` : null}<p class="hint">${t("scatter.how", { figure: t(`choice.${which}`), series: escapeInvisible(series) })}${diverged ? ` ${t("scatter.none", { n: diverged })}` : ""}</p></section>`;
}

// Those points that are one's own, joined; what has no finite value is a cross at the edge.
function lineOf(points, isOwn, style) {
  const mine = points.map((point) => (isOwn(point) ? point : null));
  return { ...style, points: true, y: mine.map((point) => point?.y ?? undefined), bars: points.map(({ x }, at) => mine[at] || { x, lo: null, hi: null }), bad: mine.map((point) => point !== null && point.y === null) };
}

function placed(x, group, series, which) {
  const found = group.series[series]?.[which];
  const ends = found ? [parseNumber(found.ci_low), parseNumber(found.ci_high)] : [];
  const [lo, hi] = ends.every(Number.isFinite) && ends.length ? ends : [null, null];
  return { x, y: result(group, series, which), lo, hi };
}

// Every field that differs is an upright, the result the last one; each group is a line across them.
export function Parallel({ difference, groups, series, figure: which, looks }) {
  const fields = Object.entries(difference).filter(([, { missing }]) => missing.length === 0).slice(0, 9);
  if (fields.length < 2 || groups.length < 2 || !plain(groups)) return null;
  const axes = [...fields.map(([name, { values }]) => ({ name: escapeInvisible(name).replace(/^\//, ""), values })), { name: escapeInvisible(series), values: groups.map((group) => result(group, series, which)) }];
  const places = Object.keys(looks);
  const lines = groups.map((group) => ({ label: group.label, ...looks[group.label] }));
  const isGrey = ({ label }) => places.length > MOST_COLOURED && places.indexOf(label) >= MOST_COLOURED;
  const drawn = lines.map((line) => ({ key: line.label, style: isGrey(line) ? { stroke: "var(--faint)", strokeOpacity: 0.4 } : { stroke: line.colour, strokeWidth: 2, strokeDasharray: line.dash.join(" ") }, title: escapeInvisible(line.label) }));
  return html`<section class="panel"><h2>${t("parallel")}</h2><${ParallelPlot} axes=${axes} lines=${drawn} label=${t("parallel")}/>
    <${Legend} lines=${lines.filter((line) => !isGrey(line))}/></section>`;
}

export function Target({ target, groups, axis }) {
  if (!target) return null;
  const infinite = (value, open) => (Number.isFinite(value) ? formatNumber(value, 3) : t(open ? "not.yet" : "never")); // an open run may reach it later
  const profile = target.profiles.map((y, index) => ({ label: groups[index].label, y, stepped: true, ...look(index) }));
  return html`<section class="panel"><h2>${t("target", { axis: t(`choice.${axis}`) })}</h2>
    <div class="heading"><${TableExport} name=${t("target", { axis: t(`choice.${axis}`) })} read=${(button) => readTable(button.closest("section"))}/></div><${List} columns=${["name", ...target.workloads.map((each) => ({ kind: "number", text: `${escapeInvisible(each.label)} ≤ ${formatNumber(parseNumber(each.target))}` })), "#score"]} items=${groups} cells=${(group) => {
      const row = groups.indexOf(group);
      return [escapeInvisible(group.label), ...target.times[row].map((value, at) => infinite(parseNumber(value), target.open[row][at])), formatNumber(target.scores[row], 3)];
    }}/>
    ${target.tau.length > 1 ? html`<${Chart} x=${target.tau} lines=${profile} xLabel=${t("profile.tau")} height=${200} label=${t("profile")}/><${Legend} lines=${profile}/>` : null}</section>`;
}
