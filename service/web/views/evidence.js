// A finding's evidence: numbers beside what they were held against, and the curve with the stretch and the limit marked.
import { Chart, colour } from "../lib/chart.js";
import { alignCurves, arePositive } from "../lib/curves.js";
import { escapeInvisible, formatCount, formatNumber, html, List, parseNumber, Said, t, useMemo } from "../lib/page.js";
import { Reading } from "./reading.js";

const DRAWN = 3; // series of one finding
const DERIVED = /over|ratio|times|share|below|above|spread|change|drop|fall|rise/i; // a number made from the series, not one of its values

const words = (value) => (typeof value === "string" && parseNumber(value) === undefined ? escapeInvisible(value) : formatNumber(parseNumber(value)));

export function Evidence({ finding, curves, readings, tick }) {
  const items = finding.evidence;
  const names = [...new Set(items.map((each) => each.series).filter((name) => name && (curves[name] || isFan(name))))].slice(0, DRAWN);
  const ids = new Set(items.map((each) => each.reading).filter((id) => id !== null && id !== undefined));
  if (!items.length) return null;
  return html`<div class="evidence"><${List} columns=${["evidence", "#value", "#limit", "#steps", "source"]} items=${items} cells=${(each) => [html`<${Said} text=${each.name}/>`, html`<strong>${words(each.value)}</strong>`,
    each.threshold === null ? "" : `${each.relation} ${formatNumber(parseNumber(each.threshold))}`, each.steps ? each.steps.map(formatCount).join(" … ") : "", html`<small>${escapeInvisible(each.source)}</small>`]}/>
    ${names.map((name) => html`<${Drawn} key=${name} name=${name} items=${items.filter((each) => each.series === name)} finding=${finding} curves=${curves} tick=${tick}/>`)}
    ${readings.filter((each) => ids.has(each.id)).map((each) => html`<${Reading} key=${each.id} reading=${each}/>`)}</div>`;
}

// A limit is drawn where it is one of the series' own values and not of something made from them.
function levelsOf(items, curve, name) {
  const finite = Array.from(curve?.y || []).filter((value) => value !== null && Number.isFinite(value));
  const highs = curve?.hi ? Array.from(curve.hi).filter(Number.isFinite) : finite;
  const [low, high] = [finite, highs].map((some, index) => some.reduce((one, other) => (index ? Math.max(one, other) : Math.min(one, other)), index ? -Infinity : Infinity));
  return items.flatMap(({ name: what, value, threshold }) => {
    const own = !DERIVED.test(what) || /ratio|share/.test(name);
    const within = parseNumber(value) >= low - 1e-9 * Math.abs(low) && parseNumber(value) <= high + 1e-9 * Math.abs(high);
    return own && within && Number.isFinite(parseNumber(threshold)) ? [{ y: parseNumber(threshold), label: formatNumber(parseNumber(threshold)) }] : [];
  });
}

function Drawn({ name, items, finding, curves, tick }) {
  const [x, lines, spans, levels] = useMemo(() => {
    const curve = curves[name];
    const stretches = [...new Map(items.map((each) => each.steps || finding.steps).map((steps) => [steps.join(), steps])).values()];
    if (isFan(name)) return [...fanOf(curves), stretches, []];
    const line = { label: name, colour: colour(0), dash: [], y: curve.y, lo: curve.lo, hi: curve.hi, bad: curve.bad, points: curve.x.length < 40 };
    return [curve.x, [line], stretches, levelsOf(items, curve, name)];
  }, [tick, name, JSON.stringify(items)]);
  if (!x.length) return null;
  const positive = arePositive(lines) && levels.every(({ y }) => y > 0);
  return html`<figure><figcaption>${escapeInvisible(name)}</figcaption><${Chart} x=${x} lines=${lines} spans=${spans} levels=${levels} logY=${positive} height=${170}
    xLabel=${t("axis.step")} label=${t("evidence.of", { name: escapeInvisible(name) })}/></figure>`;
}

// Quantiles over time as a fan: the middle as a line, half of all within the dark band, nearly all within the light one.
const QUANTILE = /^rate\/q\d+$/;

export const isFan = (name) => QUANTILE.test(name);

// [x, lines] of the effective rates' quantiles.
export function fanOf(curves) {
  const names = ["rate/q00", "rate/q01", "rate/q25", "rate/q50", "rate/q75", "rate/q99", "rate/q100"];
  if (names.some((name) => !curves[name])) return [[], []];
  const [x, least, low, quarter, middle, three, high, most] = alignCurves(names.map((name) => curves[name]));
  const edge = { colour: colour(7), dash: [2, 4], faint: true };
  return [x, [
    { label: t("fan.wide"), y: middle, lo: low, hi: high, colour: colour(5), dash: [] },
    { label: t("fan.half"), y: middle, lo: quarter, hi: three, colour: colour(0), dash: [] },
    { ...edge, label: t("fan.least"), y: least }, { ...edge, label: t("fan.most"), y: most }]];
}
