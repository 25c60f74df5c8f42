// Axes of runs other than the step: straight between known steps, and beyond them as the last two go on.
import { get, queryString } from "./api.js";
import { useRequest } from "./components.js";

export const RUN_AXES = ["step", "epoch", "samples", "wall_s", "device_s"];

function interpolate(from, to, value) {
  if (from.length < 2) return value + (to[0] ?? 0) - (from[0] ?? 0);
  let [low, high] = [0, from.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (from[middle] <= value) low = middle;
    else high = middle;
  }
  const slope = from[high] > from[low] ? (to[high] - to[low]) / (from[high] - from[low]) : 0;
  return to[low] + slope * (value - from[low]);
}

const SAME = { of: (step) => step, steps: (x) => x };

// {of(step) -> x, steps(x) -> step} of one run; a run without this axis is drawn over steps.
export function axisOf(known, name) {
  const axis = name === "step" ? null : known?.[name];
  return axis ? { of: (step) => interpolate(axis.steps, axis.values, step), steps: (x) => interpolate(axis.values, axis.steps, x) } : SAME;
}

// The axes by run; undefined until they are loaded. `news` asks again: the clocks go on while a run trains.
export function useAxes(runs, name, news) {
  const key = name === "step" ? "" : runs.join();
  const { value } = useRequest((signal) => (key ? get(`/v1/series/axes${queryString({ runs: key })}`, { signal }) : Promise.resolve(null)), [key, news]);
  if (!key) return {};
  return value ? Object.fromEntries(value.items.map((each) => [each.run_id, each])) : undefined;
}
