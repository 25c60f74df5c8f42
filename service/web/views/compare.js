// Experiments over one another: curves with their spread, who is better and how surely, and in what they differ.
import { Chart, Legend, look, Profile } from "../lib/chart.js";
import { MOST_COLOURED } from "../lib/chart/palette.js";
import { MOST_COMPARED } from "../lib/comparison.js";
import { TextInput } from "../lib/form.js";
import { useStepDone } from "../lib/guide.js";
import { EmptyState, escapeInvisible, findText, formatCount, formatNumber, href, html, List, navigate, parseNumber, Pending, Problems, Said, Select, t, updateParameters, useState, useTitle } from "../lib/page.js";
import { ParallelPlot } from "../lib/scatter.js";
import { Choice, Curves, Drawing, looksOf, parseReference, questionOf, useCompared, useNames } from "./compare_curves.js";
import { Comparability, Difference, Ranking } from "./compare_tables.js";
import { Confirmation } from "./confirmation.js";
import { Reports } from "./saved_views.js";

const MOST_TITLED = 4; // groups in the title
const FOUND_AT_A_GLANCE = 20; // groups
const GROUPS = ["experiment", "run", "optimizer.kind", "optimizer.lr", "model.kind", "batch_size", "schedule.kind"];

export function Compare({ search, me }) {
  const question = questionOf(search);
  const asked = (question.runs || question.filter || question.experiments).length;
  const many = question.experiments ? asked : 0;
  const given = asked > 0 && many <= MOST_COMPARED;
  const also = listOf(search, "also");
  const { value, curves, error, loading, isPart } = useCompared(given ? question : null, also);
  const there = useNames(value?.groups[0]?.experiment_id);
  useStepDone("compare", value?.groups.length > 1);
  useTitle(t("place.compare"), value?.groups.slice(0, MOST_TITLED).map((group) => group.label).join(", "));
  if (many > MOST_COMPARED) return html`<${EmptyState} title=${t("compare.most", { most: MOST_COMPARED, n: formatCount(many) })}><a class="button" href=${href(["experiments"])}>${t("place.experiments")}</a></${EmptyState}>`;
  if (!given) return html`<${EmptyState} title=${t("compare.none")}><p>${t("compare.how")}</p><a class="button" href=${href(["experiments"])}>${t("place.experiments")}</a> <${Reports} search=${search} me=${me}/></${EmptyState}>`;
  if (!value) return html`<${Pending} error=${error}/>`;
  const names = [...new Set(value.groups.flatMap((group) => Object.keys(group.series)))];
  const looks = looksOf(value, curves);
  const all = [...new Set([...names, ...there])];
  const { ranking, groups, difference } = value;
  const about = { difference, groups, series: ranking.series, figure: ranking.figure, best: ranking.items[0]?.label };
  const eyes = isPart ? eyesOf(search, also, curves) : null;
  const find = groups.length > FOUND_AT_A_GLANCE ? search.get("find") || "" : null;
  return html`<div class="heading"><h1>${t("place.compare")}</h1><${Reports} search=${search} me=${me} canSave=${true}/></div>
    <${RankedBy} search=${search} figure=${ranking.figure} there=${all} shown=${names}/><${Problems} error=${error}/>
    <div class=${loading ? "stale" : ""}>
    <${Ranking} ranking=${ranking} groups=${groups} looks=${looks} eyes=${eyes} find=${find}/>
    <${Confirmation} question=${question} ranking=${ranking} search=${search}/>
    ${value.warnings.length ? html`<ul class="warnings">${value.warnings.map((warning) => html`<li><${Said} text=${warning}/></li>`)}</ul>` : null}
    <${Drawing} search=${search} there=${all} shown=${names}/>
    ${isPart ? html`<p class="hint">${t("compare.part", { n: curves.length, all: formatCount(groups.length) })}</p>` : null}
    <${Curves} value=${value} groups=${curves} looks=${looks} names=${names} search=${search}/>
    <${Target} target=${value.target} groups=${groups} axis=${question.x}/>
    <${Scatter} ...${about} across=${search.get("across") || ""}/>
    <${Parallel} ...${about} looks=${looks}/>
    <${Comparability} found=${value.comparability}/>
    <${Difference} difference=${difference} groups=${groups} looks=${looks} find=${find}/></div>`;
}

const listOf = (search, name) => new Set((search.get(name) || "").split("|").filter(Boolean));

// Which groups have a curve, where not all have: the best ones but those that are hidden, and those that are asked for.
function eyesOf(search, also, curves) {
  const hidden = listOf(search, "hide");
  const drawn = new Set(curves.map((group) => group.label));
  const put = (name, labels, label) => {
    if (!labels.delete(label)) labels.add(label);
    updateParameters({ [name]: [...labels].join("|") });
  };
  return {
    isOpen: (label) => drawn.has(label) && !hidden.has(label),
    toggle: (label) => (drawn.has(label) && !also.has(label) ? put("hide", hidden, label) : put("also", also, label)),
  };
}

// Any field of the spec groups: the usual ones are in the list, any other is typed.
function Grouping({ chosen }) {
  const [typing, type] = useState(!GROUPS.includes(chosen));
  if (typing) return html`<label>${t("group")} <${TextInput} value=${chosen} aria-label=${t("group.by")} onCommit=${(text) => (text.trim() ? updateParameters({ group: text.trim() }) : type(false))}/></label>`;
  return html`<${Select} label=${t("group")} value=${chosen} options=${[...GROUPS, ""]} told=${(each) => (each ? findText(`choice.${each}`) ?? each : t("field.any"))} set=${(group) => (group ? updateParameters({ group }) : type(true))}/>`;
}

// What is ranked, and by what: the first control is the series.
function RankedBy({ search, figure, there, shown }) {
  const rank = (name) => updateParameters({ series: [name, ...shown.filter((each) => each !== name)].join(",") }, true);
  return html`<div class="bar controls">
    <${Select} label=${t("ranked.series")} value=${shown[0]} options=${there} set=${rank}/>
    <${Choice} name="figure" label=${t("ranked.by")} values=${["best", "last"]} chosen=${figure}/>
    <${Grouping} chosen=${search.get("group") || "experiment"}/>
    <label title=${t("reference.hint")}>${t("reference")} <${TextInput} class="short" inputmode="decimal" value=${search.get("reference") || ""}
      onCommit=${(text) => updateParameters({ reference: Number.isFinite(parseReference(text.trim())) ? text.trim() : "" })}/></label></div>`;
}

// A comparison in pictures beside the curves: rate against result, all fields against result, time to a target.
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

// Those points that are one's own, joined, with their intervals as a ribbon; what has no finite value is a cross at the edge.
function lineOf(points, isOwn, style) {
  const mine = points.map((point) => (isOwn(point) ? point : null));
  const [y, lo, hi] = ["y", "lo", "hi"].map((end) => mine.map((point) => point?.[end] ?? undefined));
  return { ...style, points: true, y, ...(lo.some(Number.isFinite) ? { lo, hi } : {}), bars: points.map(({ x }, at) => mine[at] || { x, lo: null, hi: null }), bad: mine.map((point) => point !== null && point.y === null) };
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
  return html`<section class="panel"><h2>${t("target", { axis: t(`choice.${axis}`) })}</h2>
    <${List} name=${t("target", { axis: t(`choice.${axis}`) })} columns=${["name", ...target.workloads.map((each) => ({ kind: "number", text: `${escapeInvisible(each.label)} ≤ ${formatNumber(parseNumber(each.target))}` })), "#score"]} items=${groups} cells=${(group) => {
      const row = groups.indexOf(group);
      return [escapeInvisible(group.label), ...target.times[row].map((value, at) => infinite(parseNumber(value), target.open[row][at])), formatNumber(target.scores[row], 3)];
    }}/>
    <${Profile} x=${target.tau} shares=${target.profiles} of=${groups}/></section>`;
}
