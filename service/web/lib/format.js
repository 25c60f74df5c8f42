// Numbers, times and sizes as people read them.

const figures = new Map();

export function figure(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "string") return value;
  if (!Number.isFinite(value)) return String(value);
  if (value !== 0 && (Math.abs(value) >= 1e6 || Math.abs(value) < 1e-4)) return value.toExponential(Math.max(digits - 2, 1));
  if (!figures.has(digits)) figures.set(digits, new Intl.NumberFormat("en", { maximumSignificantDigits: digits }));
  return figures.get(digits).format(value);
}

export const count = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en"));

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 90) return `${value < 10 ? value.toFixed(1) : Math.round(value)} s`;
  if (value < 5400) return `${Math.round(value / 60)} min`;
  if (value < 129600) return `${(value / 3600).toFixed(1)} h`;
  return `${Math.round(value / 86400)} d`;
}

export function age(text, now = Date.now()) {
  return text ? seconds(Math.max(0, (now - Date.parse(text)) / 1000)) : "–";
}

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let index = 0;
  while (value >= 1024 && index < units.length - 1) {
    value /= 1024;
    index += 1;
  }
  return `${figure(value, 3)} ${units[index]}`;
}

// Text that came from people: what could turn the line around or hide is shown as what it is.
export const visible = (text) =>
  String(text).replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g,
    (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`);
