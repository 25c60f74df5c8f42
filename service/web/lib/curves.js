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
