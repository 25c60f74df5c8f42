// Axes: what of them is shown (y from the 1st to the 99th percentile, x from the first point to the last or the window), their
// ticks, and the labels of these.

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

// Axis ticks and their labels: at least two on any logarithmic axis, and adjacent labels always differ.
const MAX_TICKS = 7;
const ROUND_STEPS = [1, 2, 2.5, 5, 10];

// Round numbers between two: at least two where the range is not empty.
export function evenTicks(low, high, limit = MAX_TICKS) {
  if (!(high > low) || !Number.isFinite(high - low)) return [];
  const rough = (high - low) / limit;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ROUND_STEPS.map((each) => each * power).find((each) => each >= rough * (1 - 1e-9));
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high * (1 + 1e-12) && found.length <= 2 * limit; at += 1) found.push(at * step);
  return found;
}

// Exponents between two where ticks stand: powers of ten as many as have room, within two of them also twice and five
// times each, and where these are fewer than two, round numbers at even distances.
export function logTicks(low, high) {
  if (!(high > low) || !Number.isFinite(low) || !Number.isFinite(high)) return [];
  const [first, last] = [Math.floor(low), Math.ceil(high)];
  const every = Math.max(1, Math.ceil((last - first) / MAX_TICKS));
  const steps = last - first <= 2 ? [1, 2, 5] : [1];
  const found = [];
  for (let power = first; power <= last; power += every) for (const step of steps) found.push(power + Math.log10(step));
  const within = found.filter((value) => value >= low && value <= high);
  if (within.length > 1) return within;
  const base = 10 ** (low - first); // by mantissas: the powers themselves may be beyond what a number holds
  const even = evenTicks(base, base + Math.expm1((high - low) * Math.LN10) * base).map((mantissa) => first + Math.log10(mantissa));
  const fits = even.filter((value) => value >= low && value <= high);
  return fits.length > 1 ? fits : [low, high];
}

const numberFormats = new Map();

function formatTick(value, digits) {
  const rounded = Number(value.toPrecision(digits));
  if (rounded !== 0 && (Math.abs(rounded) >= 1e7 || Math.abs(rounded) < 1e-4)) return rounded.toExponential().replace("e+", "e");
  if (!numberFormats.has(digits)) numberFormats.set(digits, new Intl.NumberFormat("en", { maximumSignificantDigits: digits }));
  return numberFormats.get(digits).format(rounded);
}

// Of ticks in order: each with as many digits as tell it from its neighbours.
export function tickLabels(ticks) {
  return ticks.map((value, index) => {
    const gaps = [value - ticks[index - 1], ticks[index + 1] - value].filter((gap) => gap > 0);
    const digits = gaps.length && value ? Math.floor(Math.log10(Math.abs(value) / Math.min(...gaps))) + 3 : 3;
    return formatTick(value, Math.min(Math.max(digits, 3), 17));
  });
}

// Labels of powers of ten by their exponents, also beyond the range of a double.
export function exponentLabels(powers) {
  if (powers.every((power) => power > -300 && power < 300)) {
    return tickLabels(powers.map((power) => 10 ** power)).map((label, index) => (Number.isInteger(powers[index]) && (powers[index] > 5 || powers[index] < -4) ? `1e${powers[index]}` : label));
  }
  return powers.map((power) => `${Number((10 ** (power - Math.floor(power))).toPrecision(3))}e${Math.floor(power)}`);
}
