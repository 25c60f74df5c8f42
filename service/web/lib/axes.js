// Axes of runs other than the step: straight between known steps, and beyond them as the last two go on.
import { updateParameters } from "./address.js";
import { queryString } from "./api.js";
import { Select, useGet } from "./components.js";
import { html } from "./html.js";
import { t } from "./words.js";

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
  const { value } = useGet(key && `/v1/series/axes${queryString({ runs: key })}`, [news]);
  if (!key) return {};
  return value ? Object.fromEntries(value.items.map((each) => [each.run_id, each])) : undefined;
}

export function AxisChoice({ chosen }) {
  return html`<${Select} label=${t("axis")} value=${chosen} options=${RUN_AXES} told=${(each) => t(`choice.${each}`)} set=${(name) => updateParameters({ x: name === "step" ? "" : name })}/>`;
}

// The part of the runs that a chart shows, kept in the address as steps whatever the axis: what to ask for (from, to), and
// the props of a Chart. `last`: the last step that there is.
export function windowOf(search, axis, last) {
  const [from, to] = ["from", "to"].map((name) => search.get(name) || undefined);
  const put = (low, high) => updateParameters({ from: low, to: high }, true);
  return {
    from, to, range: from || to ? [Number(from || 0), Number(to ?? last)].map(axis.of) : null,
    onZoom: (low, high) => put(String(Math.max(0, Math.floor(axis.steps(low)))), String(Math.ceil(axis.steps(high)))), onReset: () => put("", ""),
  };
}
