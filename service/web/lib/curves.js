// A run's curves in the browser: columns of numbers, loaded once and then extended by streamed points.
import { parseNumber } from "./api.js";

export const emptyCurve = () => ({ x: new Float64Array(), y: [], lo: null, hi: null, bad: null });

const appendValues = (column, more) => {
  if (Array.isArray(column)) return column.concat(more);
  if (more.includes(null)) return Array.from(column).concat(more);
  const out = new Float64Array(column.length + more.length);
  out.set(column);
  out.set(more, column.length);
  return out;
};

// The curve extended by streamed points {step: [...], value: [...]}; a bucketed curve gets buckets of one point.
export function extendCurve(curve, columns) {
  const newest = curve.x.length ? curve.x[curve.x.length - 1] : -Infinity;
  const first = columns.step.findIndex((step) => step > newest); // earlier points are already there
  if (first < 0) return curve;
  const values = columns.value.slice(first).map(parseNumber);
  const fresh = values.map((value) => (Number.isFinite(value) ? value : null));
  const broken = fresh.includes(null);
  const flags = () => appendValues(curve.bad || new Float64Array(curve.x.length), fresh.map((value) => (value === null ? 1 : 0)));
  return {
    x: appendValues(curve.x, columns.step.slice(first)),
    y: appendValues(curve.y, fresh),
    lo: curve.lo && appendValues(curve.lo, fresh),
    hi: curve.hi && appendValues(curve.hi, fresh),
    bad: broken || curve.bad ? flags() : null,
  };
}

const hasSameValues = (one, other) => one === other || (one.length === other.length && one.every((value, index) => value === other[index]));

// Several curves on one x, as the chart needs them: [x, y1, y2, ...], undefined where a curve has no point.
export function alignCurves(curves, pick = (curve) => curve.y) {
  if (!curves.length) return [[]];
  const [first] = curves;
  if (curves.every((curve) => hasSameValues(curve.x, first.x))) return [first.x, ...curves.map(pick)];
  let size = 0;
  for (const curve of curves) size += curve.x.length;
  const all = new Float64Array(size);
  let at = 0;
  for (const curve of curves) {
    all.set(curve.x, at);
    at += curve.x.length;
  }
  all.sort();
  const x = all.filter((value, index) => index === 0 || value !== all[index - 1]);
  return [x, ...curves.map((curve) => placeOnAxis(curve.x, x, pick(curve)))];
}

// Values at `own` on the wider axis `x`.
export function placeOnAxis(own, x, values) {
  if (own.length === x.length) return values;
  const out = new Array(x.length).fill(undefined);
  let at = 0;
  for (let i = 0; i < x.length && at < own.length; i += 1) {
    if (x[i] === own[at]) {
      out[i] = values[at];
      at += 1;
    }
  }
  return out;
}

const FEW = 40; // points, which are marked

// Curves as the lines of one chart: {x, lines}; `parts`: [{curve, ...how it looks}].
export function linesOn(parts) {
  const [x, ...ys] = alignCurves(parts.map(({ curve }) => curve));
  const on = (curve, values) => (values ? placeOnAxis(curve.x, x, values) : null);
  return { x, lines: parts.map(({ curve, ...style }, at) => ({ y: ys[at], lo: on(curve, curve.lo), hi: on(curve, curve.hi), bad: on(curve, curve.bad), points: curve.x.length < FEW, ...style })) };
}

// Whether a logarithmic axis has a place for all of them.
export const arePositive = (lines) => lines.every(({ y }) => y.every((value) => value === null || value === undefined || value > 0));

// The value of a curve at any x of its own range, straight between its points; undefined beyond, null where it is not finite.
function valueAt({ x, y }, value, from) {
  let at = from;
  while (at + 1 < x.length && x[at + 1] <= value) at += 1;
  if (!x.length || value < x[0] || value > x[x.length - 1]) return { at, value: undefined };
  if (x[at] === value || at + 1 >= x.length) return { at, value: y[at] };
  if (y[at] === null || y[at + 1] === null) return { at, value: null };
  return { at, value: y[at] + ((y[at + 1] - y[at]) * (value - x[at])) / (x[at + 1] - x[at]) };
}

// The mean of several curves at the points of the longest, over those that reach there, with the lowest and the highest;
// where one of them is not finite, neither is the mean.
export function meanCurve(curves) {
  if (curves.length === 1) return { ...curves[0], lo: null, hi: null };
  const longest = curves.reduce((one, other) => ((other.x[other.x.length - 1] ?? -Infinity) > (one.x[one.x.length - 1] ?? -Infinity) ? other : one));
  const places = curves.map(() => 0);
  const [y, lo, hi, bad] = [[], [], [], []];
  for (const x of longest.x) {
    const values = curves.map((curve, index) => {
      const found = valueAt(curve, x, places[index]);
      places[index] = found.at;
      return found.value;
    }).filter((value) => value !== undefined);
    const isFinite = values.length > 0 && !values.includes(null);
    y.push(isFinite ? values.reduce((sum, value) => sum + value, 0) / values.length : null);
    lo.push(isFinite ? Math.min(...values) : null);
    hi.push(isFinite ? Math.max(...values) : null);
    bad.push(values.includes(null) ? 1 : 0);
  }
  return { x: longest.x, y, lo, hi, bad: bad.some(Boolean) ? bad : null };
}

// The bias-corrected exponential moving average, as the server computes it; non-finite values are skipped.
export function smooth(values, weight) {
  if (!weight) return values;
  const out = new Array(values.length);
  let sum = 0;
  let mass = 0;
  for (let i = 0; i < values.length; i += 1) {
    const value = values[i];
    if (value !== null && Number.isFinite(value)) {
      sum = weight * sum + (1 - weight) * value;
      mass = weight * mass + (1 - weight);
    }
    out[i] = mass ? sum / mass : null;
  }
  return out;
}
