// What of the axes is shown: y from the 1st to the 99th percentile, x from the first point to the last or the window.

const CUT = 0.01; // of the values, at each end
const WORTH = 1.25; // a whole range up to this many times as wide is shown whole
const MOST_SORTED = 20_000;
const AWAY = 1000; // times its start and the lines' usual height: a line that ends beyond has diverged
const ROUNDING = 1e-9; // relative: values that differ by less are one value, which smoothing computed twice

// {low, high, cut}: the range of all values of the lines, and whether values lie beyond it.
export function valueRange(columns, convert, whole) {
  let [least, most, count] = [Infinity, -Infinity, 0];
  for (const column of columns) {
    for (let i = 0; i < column.length; i += 1) {
      const value = convert(column[i]);
      if (value === null) continue;
      count += 1;
      if (value < least) least = value;
      if (value > most) most = value;
    }
  }
  if (!count) return { low: null, high: null, cut: false };
  if (most - least <= ROUNDING * Math.max(Math.abs(least), Math.abs(most))) return { low: least, high: least, cut: false };
  if (whole) return { low: least, high: most, cut: false };
  const every = Math.max(1, Math.ceil(count / MOST_SORTED));
  const sample = [];
  let seen = 0;
  for (const column of columns) {
    for (let i = 0; i < column.length; i += 1) {
      const value = convert(column[i]);
      if (value === null) continue;
      if (seen % every === 0) sample.push(value);
      seen += 1;
    }
  }
  const sorted = Float64Array.from(sample).sort();
  const beyond = Math.floor(CUT * sorted.length);
  const [low, high] = [sorted[beyond], sorted[sorted.length - 1 - beyond]];
  if (most - least <= WORTH * (high - low) || high === low) return { low: least, high: most, cut: false };
  const room = 0.1 * (high - low);
  const [from, to] = [Math.max(low - room, least), Math.min(high + room, most)];
  return { low: from, high: to, cut: from > least || to < most };
}

const isNumber = (value) => value !== null && value !== undefined && Number.isFinite(value);

// The middle one of the values above zero, of two in the middle the lower.
function middle(values) {
  const sorted = values.filter((value) => value > 0).sort((one, other) => one - other);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? 0;
}

// The lines that do not diverge: beside one that does, the others would be one flat line.
export function steady(lines) {
  const [starts, ends] = ["find", "findLast"].map((search) => lines.map(({ y }) => Math.abs(y[search](isNumber) ?? 0)));
  const usual = Math.max(middle(starts), middle(ends));
  const kept = lines.filter((_, at) => ends[at] <= AWAY * Math.max(starts[at], usual));
  return kept.length ? kept : lines;
}

// With room above and below; an empty range gets some, so that its axis has two labels.
export function padded(low, high) {
  if (low === null) return [0, 1];
  const room = 0.06 * (high - low) || Math.abs(low) * 0.05 || 0.1;
  return [low - room, high + room];
}

export function spanOf(low, high, logarithmic) {
  if (low === null || low === undefined) return logarithmic ? [1, 10] : [0, 1];
  if (low < high) return [low, high];
  return logarithmic ? [low / 1.1, low * 1.1] : [low - 0.5, low + 0.5];
}
