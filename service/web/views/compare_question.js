// What a comparison asks, which the address holds whole, and its answer: of many groups the curves of the best come alone.
import { useMemo } from "../lib/html.js";
import { get } from "../lib/api.js";
import { look } from "../lib/chart.js";
import { MOST_COLOURED } from "../lib/chart/palette.js";
import { useComparison } from "../lib/comparison.js";
import { useRequest } from "../lib/components.js";

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
  const { value } = useRequest((signal) => (id ? get(`/v1/experiments/${id}`, { signal }).catch(() => null) : Promise.resolve(null)), [id]);
  return [...new Set((value?.runs || []).flatMap((run) => Object.keys(run.series)))].filter((name) => !name.startsWith("system/"));
}

