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

// What could turn a line around or hide; joiners only where no script or emoji needs them (Persian, Hindi, families).
const HIDING = /[\u0000-\u001f\u007f-\u009f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/u;
const JOINED = "[\\p{L}\\p{M}\\p{Extended_Pictographic}\\p{Emoji_Modifier}]";
const ODD = new RegExp(`${HIDING.source}|(?<!(?![\\x00-\\x7f])${JOINED})[\\u200c\\u200d]|[\\u200c\\u200d](?!(?![\\x00-\\x7f])${JOINED})`, "gu");

// Text that came from people, on one line: what is odd is shown as what it is.
export const visible = (text) => String(text).replace(ODD, (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`);

// The same of several lines: their breaks and tabs stay.
export const prose = (text) => String(text).replace(/\r\n?|[\u2028\u2029]/g, "\n").split(/([\n\t])/).map((part, index) => (index % 2 ? part : visible(part))).join("");
