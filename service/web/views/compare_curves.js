// The curves of a comparison: a chart for each series, and how they are drawn.
import { Chart, Legend, look } from "../lib/chart.js";
import { MOST_COLOURED } from "../lib/chart/palette.js";
import { useComparison } from "../lib/comparison.js";
import { alignCurves } from "../lib/curves.js";
import { escapeInvisible, formatNumber, html, parseNumber, Select, t, updateParameters, useGet, useMemo } from "../lib/page.js";

const SPREADS = { ci: ["ci_low", "ci_high"], quartiles: ["q1", "q3"], range: ["min", "max"], none: null };
const MOST_SERIES = 20;
const AXES = ["step", "epoch", "samples", "gradient_evaluations", "wall_s", "device_s"];

export function Choice({ name, values, chosen, label }) {
  return html`<${Select} label=${label} value=${chosen} options=${values} told=${(each) => t(`choice.${each}`)} set=${(each) => updateParameters({ [name]: each, ...(name === "x" ? { from: "", to: "" } : {}) })}/>`;
}

// Which series are drawn, of those that are there.
function Series({ names, shown }) {
  const full = shown.length >= MOST_SERIES;
  return html`<details class="chooser"><summary>${t("series")} (${shown.length})</summary><div class="panel">${names.map((name) => html`<label key=${name}><input type="checkbox" checked=${shown.includes(name)}
    disabled=${full && !shown.includes(name)} title=${full ? t("series.most", { most: MOST_SERIES }) : ""}
    onChange=${() => updateParameters({ series: (shown.includes(name) ? shown.filter((each) => each !== name) : [...shown, name]).join(",") })}/> ${escapeInvisible(name)}</label>`)}</div></details>`;
}

// How the curves are drawn.
export function Drawing({ search, there, shown }) {
  return html`<div class="bar controls">
    <${Choice} name="x" label=${t("axis")} values=${AXES} chosen=${search.get("x") || "step"}/>
    <${Choice} name="centre" label=${t("centre")} values=${["mean", "median"]} chosen=${search.get("centre") || "mean"}/>
    <${Choice} name="spread" label=${t("spread")} values=${Object.keys(SPREADS)} chosen=${search.get("spread") || "ci"}/>
    <label>${t("smoothing")} <input type="range" min="0" max="0.99" step="0.01" value=${search.get("smooth") || 0}
      onChange=${(event) => updateParameters({ smooth: Number(event.target.value) ? event.target.value : "" })}/></label>
    <${Select} label=${t("target.share")} value=${search.get("share") || ""} options=${["", "0.5", "0.8", "0.9", "0.95", "0.99"]} told=${(each) => (each ? t("target.option", { share: Number(each) * 100 }) : t("choice.none"))} set=${(share) => updateParameters({ share })}/>
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

// A chart for each of `names`; `groups`: those with curves.
export function Curves({ value, groups, looks, names, search }) {
  const extent = extentOf(groups);
  const reference = (name) => (name === value.ranking.series ? value.question.reference ?? null : null);
  return names.map((name) => html`<${Overlay} key=${name} name=${name} groups=${groups} looks=${looks} search=${search} extent=${extent} reference=${reference(name)}/>`);
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

// What a comparison asks, which the address holds whole, and its answer: of many groups the curves of the best come alone.
const FEW = 30; // experiments whose curves are asked for at once
const NONE = new Set();

// The part of the axis that is looked at, or null.
export function windowOf(search) {
  const ends = ["from", "to"].map((name) => (search.get(name) ? Number(search.get(name)) : NaN));
  return ends.every(Number.isFinite) && ends[0] < ends[1] ? ends.map((end) => Math.max(end, 0)) : null;
}

export const parseReference = (text) => (text ? Number(text) : NaN);

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

// Whether there may be more groups than curves can be told apart.
function isLarge({ group, filter, runs, experiments }) {
  return (group === "experiment" || group === "run") && (Boolean(filter) || (runs || experiments).length > FEW);
}

// The same question about some of its groups.
function aboutGroups(question, groups) {
  const { filter, experiments, runs, ...rest } = question;
  return runs || question.group === "run" ? { ...rest, runs: groups.flatMap((group) => group.runs) } : { ...rest, experiments: groups.flatMap((group) => group.trials) };
}

// The groups whose curves are drawn: all of a few, else the best ones and those that somebody wants to see besides.
function drawnGroups({ groups, ranking }, also) {
  if (groups.length <= FEW) return groups;
  const asked = ranking.items.filter((item) => also.has(item.label)).slice(0, MOST_COLOURED);
  const best = ranking.items.filter((item) => !also.has(item.label)).slice(0, MOST_COLOURED - asked.length);
  const labels = new Set([...asked, ...best].map((item) => item.label));
  return groups.filter((group) => labels.has(group.label));
}

// {value, curves, error, loading, isPart}: the answer, and its groups with curves; `isPart`: not of all groups.
export function useCompared(question, also = NONE) {
  const large = question !== null && isLarge(question);
  const whole = useComparison(large ? { ...question, points: null, window: undefined } : question);
  const wanted = large && whole.value ? drawnGroups(whole.value, also) : null;
  const part = useComparison(wanted ? aboutGroups(question, wanted) : null);
  const curves = useMemo(() => (large ? relabelled(part.value?.groups || [], wanted || []) : whole.value?.groups || []), [whole.value, part.value]);
  return { ...whole, error: whole.error || part.error, loading: whole.loading || part.loading, curves, isPart: Boolean(wanted) && wanted.length < whole.value.groups.length };
}

const keyOf = (group) => `${group.trials[0]} ${group.runs[0]}`;

// A name that is unique among all need not be among some: each group keeps the label that it has in the ranking.
function relabelled(groups, known) {
  const labels = new Map(known.map((group) => [keyOf(group), group.label]));
  return groups.map((group) => ({ ...group, label: labels.get(keyOf(group)) ?? group.label }));
}

// How each group looks; where there are more than have a colour of their own, those that are drawn first, and the best of them.
export function looksOf({ groups, ranking }, curves = groups) {
  const drawn = new Set(curves.map((group) => group.label));
  const ranked = ranking.items.map((item) => item.label);
  const labels = groups.length <= MOST_COLOURED ? groups.map((group) => group.label) : [...ranked.filter((label) => drawn.has(label)), ...ranked.filter((label) => !drawn.has(label))];
  return Object.fromEntries(labels.map((label, index) => [label, look(index)]));
}

// The first and last x of any curve: all charts share them.
export function extentOf(groups) {
  const ends = groups.flatMap((group) => Object.values(group.series)).flatMap(({ curve }) => (curve?.x.length ? [curve.x[0], curve.x[curve.x.length - 1]] : []));
  return ends.length ? [Math.min(...ends), Math.max(...ends)] : null;
}

// The series that an experiment has: a comparison answers only for those asked for.
export function useNames(id) {
  const { value } = useGet(id && `/v1/experiments/${id}`);
  return [...new Set((value?.runs || []).flatMap((run) => Object.keys(run.series)))].filter((name) => !name.startsWith("system/"));
}

