// Experiments over one another: curves with their spread, who is better and how surely, and in what they differ.
import { html, useMemo, useState } from "../lib/html.js";
import { href, updateParameters } from "../lib/address.js";
import { get, parseNumber } from "../lib/api.js";
import { Chart, Legend, look } from "../lib/chart.js";
import { MOST_COLOURED } from "../lib/chart/palette.js";
import { MOST_COMPARED, useComparison } from "../lib/comparison.js";
import { EmptyState, Problems, useRequest } from "../lib/components.js";
import { alignCurves } from "../lib/curves.js";
import { TextInput } from "../lib/form.js";
import { escapeInvisible, formatCount, formatNumber } from "../lib/format.js";
import { useTitle } from "../lib/title.js";
import { findText, t } from "../lib/words.js";
import { Parallel, Scatter, Target } from "./compare_charts.js";
import { Comparability, Difference, Ranking } from "./compare_tables.js";
import { Confirmation } from "./confirmation.js";

const SPREADS = { ci: ["ci_low", "ci_high"], quartiles: ["q1", "q3"], range: ["min", "max"], none: null };
const MOST_SERIES = 20;
const MOST_TITLED = 4; // groups in the title
const AXES = ["step", "epoch", "samples", "gradient_evaluations", "wall_s", "device_s"];
const GROUPS = ["experiment", "run", "optimizer.kind", "optimizer.lr", "model.kind", "batch_size", "schedule.kind"];

// The part of the axis that is looked at, or null.
export function windowOf(search) {
  const ends = ["from", "to"].map((name) => (search.get(name) ? Number(search.get(name)) : NaN));
  return ends.every(Number.isFinite) && ends[0] < ends[1] ? ends.map((end) => Math.max(end, 0)) : null;
}

const parseReference = (text) => (text ? Number(text) : NaN);

// The whole question is in the address, so that a link shows the same picture.
export function questionOf(search) {
  const list = (name) => (search.get(name) || "").split(",").filter(Boolean);
  const question = { x: search.get("x") || "step", points: 400, group: search.get("group") || "experiment" };
  if (search.get("figure")) question.figure = search.get("figure");
  if (list("series").length) question.series = list("series");
  if (list("runs").length) question.runs = list("runs");
  else if (search.get("filter")) question.filter = search.get("filter");
  else question.experiments = list("experiments");
  const window = windowOf(search);
  if (window) question.window = window;
  if (Number(search.get("smooth"))) question.smoothing = Number(search.get("smooth"));
  if (Number.isFinite(parseReference(search.get("reference")))) question.reference = parseReference(search.get("reference"));
  if (search.get("share")) question.target = { share: Number(search.get("share")) };
  return question;
}

export function Compare({ search }) {
  const question = questionOf(search);
  const asked = (question.runs || question.filter || question.experiments).length;
  const many = question.experiments ? asked : 0;
  const given = asked > 0 && many <= MOST_COMPARED;
  const { value, error, loading } = useComparison(given ? question : null);
  const there = useNames(value?.groups[0]?.experiment_id);
  useTitle(t("place.compare"), value?.groups.slice(0, MOST_TITLED).map((group) => group.label).join(", "));
  if (many > MOST_COMPARED) return html`<${EmptyState} title=${t("compare.most", { most: MOST_COMPARED, n: formatCount(many) })}><a class="button" href=${href(["experiments"])}>${t("place.experiments")}</a></${EmptyState}>`;
  if (!given) return html`<${EmptyState} title=${t("compare.none")}><p>${t("compare.how")}</p><a class="button" href=${href(["experiments"])}>${t("place.experiments")}</a></${EmptyState}>`;
  if (error && !value) return html`<${Problems} error=${error}/>`;
  if (!value) return html`<p class="empty">${t("loading")}</p>`;
  const names = [...new Set(value.groups.flatMap((group) => Object.keys(group.series)))];
  const extent = extentOf(value.groups);
  const looks = looksOf(value);
  const all = [...new Set([...names, ...there])];
  return html`<h1>${t("place.compare")}</h1>
    <${RankedBy} search=${search} figure=${value.ranking.figure} there=${all} shown=${names}/><${Problems} error=${error}/>
    <div class=${loading ? "stale" : ""}>
    <${Ranking} ranking=${value.ranking} groups=${value.groups} looks=${looks}/>
    <${Confirmation} question=${question} ranking=${value.ranking} search=${search}/>
    ${value.warnings.length ? html`<ul class="warnings">${value.warnings.map((warning) => html`<li>${escapeInvisible(warning)}</li>`)}</ul>` : null}
    <${Drawing} search=${search} there=${all} shown=${names}/>
    ${names.map((name) => html`<${Overlay} key=${name} name=${name} groups=${value.groups} looks=${looks} search=${search} extent=${extent} reference=${name === value.ranking.series ? value.question.reference ?? null : null}/>`)}
    <${Target} target=${value.target} groups=${value.groups} axis=${question.x}/>
    <${Scatter} difference=${value.difference} groups=${value.groups} series=${value.ranking.series} figure=${value.ranking.figure} across=${search.get("across") || ""}/>
    <${Parallel} difference=${value.difference} groups=${value.groups} series=${value.ranking.series} figure=${value.ranking.figure}/>
    <${Comparability} found=${value.comparability}/>
    <${Difference} difference=${value.difference} groups=${value.groups} looks=${looks}/></div>`;
}

// How each group looks, the best first where there are more than have a colour of their own.
function looksOf({ groups, ranking }) {
  const labels = groups.length <= MOST_COLOURED ? groups.map((group) => group.label) : ranking.items.map((item) => item.label);
  return Object.fromEntries(labels.map((label, index) => [label, look(index)]));
}

// The first and last x of any curve: all charts share them.
function extentOf(groups) {
  const ends = groups.flatMap((group) => Object.values(group.series)).flatMap(({ curve }) => (curve?.x.length ? [curve.x[0], curve.x[curve.x.length - 1]] : []));
  return ends.length ? [Math.min(...ends), Math.max(...ends)] : null;
}

// The series that an experiment has: a comparison answers only for those asked for.
function useNames(id) {
  const { value } = useRequest((signal) => (id ? get(`/v1/experiments/${id}`, { signal }).catch(() => null) : Promise.resolve(null)), [id]);
  return [...new Set((value?.runs || []).flatMap((run) => Object.keys(run.series)))].filter((name) => !name.startsWith("system/"));
}

function Choice({ name, values, chosen, label }) {
  return html`<label>${label} <select value=${chosen} onChange=${(event) => updateParameters({ [name]: event.target.value, ...(name === "x" ? { from: "", to: "" } : {}) })}>
    ${values.map((each) => html`<option value=${each}>${t(`choice.${each}`)}</option>`)}</select></label>`;
}

// Any field of the spec groups: the usual ones are in the list, any other is typed.
function Grouping({ chosen }) {
  const [typing, type] = useState(!GROUPS.includes(chosen));
  if (typing) return html`<label>${t("group")} <${TextInput} value=${chosen} aria-label=${t("group.by")} onCommit=${(text) => (text.trim() ? updateParameters({ group: text.trim() }) : type(false))}/></label>`;
  return html`<label>${t("group")} <select value=${chosen} onChange=${(event) => (event.target.value === "" ? type(true) : updateParameters({ group: event.target.value }))}>
    ${GROUPS.map((each) => html`<option value=${each}>${findText(`choice.${each}`) ?? each}</option>`)}<option value="">${t("field.any")}</option></select></label>`;
}

// Which series are drawn, of those that are there.
function Series({ names, shown }) {
  const full = shown.length >= MOST_SERIES;
  return html`<details class="chooser"><summary>${t("series")} (${shown.length})</summary><div class="panel">${names.map((name) => html`<label key=${name}><input type="checkbox" checked=${shown.includes(name)}
    disabled=${full && !shown.includes(name)} title=${full ? t("series.most", { most: MOST_SERIES }) : ""}
    onChange=${() => updateParameters({ series: (shown.includes(name) ? shown.filter((each) => each !== name) : [...shown, name]).join(",") })}/> ${escapeInvisible(name)}</label>`)}</div></details>`;
}

// What is ranked, and by what: the first control is the series.
function RankedBy({ search, figure, there, shown }) {
  const rank = (name) => updateParameters({ series: [name, ...shown.filter((each) => each !== name)].join(",") }, true);
  return html`<div class="bar controls">
    <label>${t("ranked.series")} <select value=${shown[0]} onChange=${(event) => rank(event.target.value)}>${there.map((name) => html`<option value=${name}>${escapeInvisible(name)}</option>`)}</select></label>
    <${Choice} name="figure" label=${t("ranked.by")} values=${["best", "last"]} chosen=${figure}/>
    <${Grouping} chosen=${search.get("group") || "experiment"}/>
    <label title=${t("reference.hint")}>${t("reference")} <${TextInput} class="short" inputmode="decimal" value=${search.get("reference") || ""}
      onCommit=${(text) => updateParameters({ reference: Number.isFinite(parseReference(text.trim())) ? text.trim() : "" })}/></label></div>`;
}

// How the curves are drawn.
function Drawing({ search, there, shown }) {
  return html`<div class="bar controls">
    <${Choice} name="x" label=${t("axis")} values=${AXES} chosen=${search.get("x") || "step"}/>
    <${Choice} name="centre" label=${t("centre")} values=${["mean", "median"]} chosen=${search.get("centre") || "mean"}/>
    <${Choice} name="spread" label=${t("spread")} values=${Object.keys(SPREADS)} chosen=${search.get("spread") || "ci"}/>
    <label>${t("smoothing")} <input type="range" min="0" max="0.99" step="0.01" value=${search.get("smooth") || 0}
      onChange=${(event) => updateParameters({ smooth: Number(event.target.value) ? event.target.value : "" })}/></label>
    <label>${t("target.share")} <select value=${search.get("share") || ""} onChange=${(event) => updateParameters({ share: event.target.value })}>
      <option value="">${t("choice.none")}</option>${["0.5", "0.8", "0.9", "0.95", "0.99"].map((each) => html`<option value=${each}>${t("target.option", { share: Number(each) * 100 })}</option>`)}</select></label>
    <label><input type="checkbox" checked=${search.get("log") !== "0"} onChange=${(event) => updateParameters({ log: event.target.checked ? "" : "0" })}/> ${t("axis.log")}</label>
    <label><input type="checkbox" checked=${search.get("logx") === "1"} onChange=${(event) => updateParameters({ logx: event.target.checked ? "1" : "" })}/> ${t("axis.log.x")}</label>
    <${Series} names=${there} shown=${shown}/></div>`;
}

const finite = (value) => (Number.isFinite(value) ? value : null);
const there = (value) => value !== null && value !== undefined;

// An interval of a small mean may reach below zero, where a logarithmic axis has no place: its band ends at a tenth.
const above = (lows, centres) => lows.map((value, index) => (value > 0 ? value : centres[index] ? centres[index] / 10 : value));

// Lines of one series: the chosen centre with its band, and where it is smoothed the raw centre faint behind.
function linesOf(shown, name, { centre, spread, log }) {
  const curves = shown.flatMap(({ group }) => [group.series[name].curve, group.series[name].smoothed].filter(Boolean)
    .map((band) => ({ x: band.x, band })));
  const pick = (column) => alignCurves(curves, (curve) => curve.band[column].map((value) => finite(parseNumber(value))));
  const [x, ...ys] = pick(centre);
  const [, ...lows] = spread ? pick(spread[0]) : [];
  const [, ...highs] = spread ? pick(spread[1]) : [];
  const positive = ys.every((column) => column.every((value) => !there(value) || value > 0));
  const logarithmic = log && positive && name.endsWith("loss");
  let at = 0;
  const lines = shown.flatMap(({ group, ...style }) => {
    const parts = [group.series[name].curve, group.series[name].smoothed].filter(Boolean);
    return parts.map((_, part) => {
      const index = at;
      at += 1;
      const faint = part === 0 && parts.length > 1;
      return {
        ...style, faint, label: faint ? `${group.label} raw` : group.label, y: ys[index], points: x.length < 3,
        bad: faint || !group.diverged ? null : endOf(ys[index]),
        lo: spread && !faint ? (logarithmic ? above(lows[index], ys[index]) : lows[index]) : null, hi: spread && !faint ? highs[index] : null,
      };
    });
  });
  return { x, lines, logarithmic };
}

// Where the line of a group ends whose runs diverged: behind its last finite value.
function endOf(y) {
  const last = y.findLastIndex(there);
  return last < 0 ? null : y.map((_, index) => index === Math.min(last + 1, y.length - 1));
}

// What is left out and what is zoomed into stand in the address: a link shows the same picture.
function Overlay({ name, groups, looks, search, extent, reference }) {
  const hidden = new Set((search.get("hide") || "").split("|").filter(Boolean));
  const places = Object.keys(looks);
  const all = groups.map((group) => ({ group, ...looks[group.label] })).filter(({ group }) => group.series[name]?.curve)
    .sort((one, other) => places.indexOf(one.group.label) - places.indexOf(other.group.label));
  const shown = all.filter(({ group }) => !hidden.has(group.label));
  const options = { centre: search.get("centre") || "mean", spread: SPREADS[search.get("spread") || "ci"], log: search.get("log") !== "0" };
  const { x, lines, logarithmic } = useMemo(() => linesOf(shown, name, options), [groups, search.toString(), name]);
  const toggle = (label) => {
    if (!hidden.delete(label)) hidden.add(label);
    updateParameters({ hide: [...hidden].join("|") });
  };
  return html`<section class="panel"><h2>${escapeInvisible(name)}</h2>
    <${Chart} x=${x} lines=${lines} levels=${reference === null ? [] : [{ y: reference, label: t("reference.level", { value: formatNumber(reference) }) }]} logY=${logarithmic} logX=${search.get("logx") === "1" && x[0] > 0} xLabel=${t(`choice.${search.get("x") || "step"}`)} height=${300}
      sync=${`compare ${search.get("x") || "step"}`} extent=${extent} range=${windowOf(search)} onZoom=${(low, high) => updateParameters({ from: Math.max(low, 0).toPrecision(6), to: high.toPrecision(6) }, true)} onReset=${() => updateParameters({ from: "", to: "" }, true)} label=${t("chart.of", { name: escapeInvisible(name) })}/>
    <${Legend} lines=${all.map(({ group, ...style }) => ({ label: group.label, ...style }))} hidden=${hidden} onToggle=${toggle}/></section>`;
}
