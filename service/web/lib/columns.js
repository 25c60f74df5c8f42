// Curves in the server's binary form (service/export/binary.py): a header of JSON, then arrays that are used as they lie.
import { request } from "./api.js";

const MEDIA_TYPE = "application/vnd.saddle.columns";
const ARRAYS = { f4: Float32Array, f8: Float64Array, u4: Uint32Array };

// {x, reduction, series: [{run_id, name, begin, count}], columns: {name: typed array over the message itself}}.
export function decodeColumns(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const columns = {};
  for (const { name, dtype, at, length: entries } of head.columns) columns[name] = new ARRAYS[dtype](buffer, at, entries);
  return { ...head, columns };
}

// For one run also `position`: where its event stream continues after these points.
export async function getColumns(path, { signal } = {}) {
  const read = async (response) => ({ ...decodeColumns(await response.arrayBuffer()), position: response.headers.get("Saddle-Position") || undefined });
  return request("GET", path, undefined, { signal, read, headers: { Accept: MEDIA_TYPE } });
}

const areAllFinite = (values) => values.every(Number.isFinite);
const nullNonFinite = (values) => (areAllFinite(values) ? values : Array.from(values, (value) => (Number.isFinite(value) ? value : null)));

// One series of the message as {x, y, lo, hi, bad}: x ascending, lo and hi the extremes of a bucket, bad: not all finite.
function toCurve({ begin, count }, columns, axis) {
  const part = (name) => columns[name]?.subarray(begin, begin + count);
  const bucketed = columns.last_step !== undefined;
  const step = part(bucketed ? "last_step" : "step");
  const values = part(bucketed ? "mean" : "value");
  const bad = bucketed ? part("nonfinite") : areAllFinite(values) ? null : Uint8Array.from(values, (value) => (Number.isFinite(value) ? 0 : 1));
  return {
    x: axis === "epoch" && columns.epoch ? part("epoch") : step,
    y: nullNonFinite(values),
    lo: bucketed ? nullNonFinite(part("min")) : null,
    hi: bucketed ? nullNonFinite(part("max")) : null,
    bad: bad && bad.some(Boolean) ? bad : null,
  };
}

// [{run_id, name, curve}] in the message's order.
export const toCurves = (message, axis = "step") =>
  message.series.map((each) => ({ run_id: each.run_id, name: each.name, curve: toCurve(each, message.columns, axis) }));
