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
