// A run's curves in the browser: columns of numbers, whole from the server and then longer by what is streamed.
import { number } from "./api.js";

// {x, y, lo, hi, bad}: x ascending; lo and hi are the extremes of a bucket; bad marks points that are not finite.
export function curveOf(view, axis = "step") {
  const bucketed = view.last_step !== undefined;
  const x = axis === "epoch" && view.epoch ? view.epoch : bucketed ? view.last_step : view.step;
  const values = bucketed ? view.mean : view.value.map(number);
  return {
    x: Array.from(x),
    y: values.map((value) => (Number.isFinite(value) ? value : null)),
    lo: bucketed ? view.min : null,
    hi: bucketed ? view.max : null,
    bad: bucketed ? view.nonfinite.map((count) => count > 0) : values.map((value) => !Number.isFinite(value)),
  };
}

// Appends streamed points {step: [...], value: [...]}; a curve of buckets gets them as buckets of one.
export function extend(curve, columns) {
  const newest = curve.x.length ? curve.x[curve.x.length - 1] : -Infinity;
  columns.step.forEach((step, index) => {
    if (step <= newest) return; // the picture was asked for after this was sent
    const value = number(columns.value[index]);
    const finite = Number.isFinite(value) ? value : null;
    curve.x.push(step);
    curve.y.push(finite);
    curve.bad.push(finite === null);
    if (curve.lo) {
      curve.lo.push(finite);
      curve.hi.push(finite);
    }
  });
}

export function drop(curve, fromStep) {
  while (curve.x.length && curve.x[curve.x.length - 1] > fromStep) {
    for (const column of [curve.x, curve.y, curve.bad, curve.lo, curve.hi]) if (column) column.pop();
  }
}

// One x for several curves, as the chart wants it: [x, y1, y2, ...], undefined where a curve has no point.
export function aligned(curves, pick = (curve) => curve.y) {
  const all = new Set();
  for (const curve of curves) for (const x of curve.x) all.add(x);
  const x = Float64Array.from(all).sort();
  return [Array.from(x), ...curves.map((curve) => spread(curve, x, pick(curve)))];
}

function spread(curve, x, values) {
  if (curve.x.length === x.length) return values;
  const out = new Array(x.length).fill(undefined);
  let at = 0;
  for (let i = 0; i < x.length && at < curve.x.length; i += 1) {
    if (x[i] === curve.x[at]) {
      out[i] = values[at];
      at += 1;
    }
  }
  return out;
}
