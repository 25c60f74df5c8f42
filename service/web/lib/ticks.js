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
