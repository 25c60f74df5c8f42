// Formats numbers, times and sizes; makes control characters of user text visible.
import { t } from "./words.js";

const numberFormats = new Map();

export function formatNumber(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "string") return value;
  if (!Number.isFinite(value)) return String(value);
  if (value !== 0 && (Math.abs(value) >= 1e6 || Math.abs(value) < 1e-4)) return value.toExponential(Math.max(digits - 2, 1));
  if (!numberFormats.has(digits)) numberFormats.set(digits, new Intl.NumberFormat("en", { maximumSignificantDigits: digits }));
  return numberFormats.get(digits).format(value);
}

// Digits after the point with which numbers stand beneath one another: four significant ones of the middle one.
export function decimalsOf(values, digits = 4) {
  const sizes = values.filter((value) => Number.isFinite(value) && value !== 0).map(Math.abs).sort((a, b) => a - b);
  if (!sizes.length) return digits - 1;
  const middle = sizes[Math.floor((sizes.length - 1) / 2)];
  return Math.min(Math.max(digits - 1 - Math.floor(Math.log10(middle)), 0), 8);
}

export function formatFixed(value, decimals) {
  if (value === null || value === undefined || !Number.isFinite(value)) return formatNumber(value);
  if (value !== 0 && (Math.abs(value) >= 1e7 || Math.abs(value) < 0.5 * 10 ** -decimals)) return value.toExponential(2);
  return value.toFixed(decimals);
}

export const formatCount = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en"));

export function formatSeconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 90) return `${value < 10 ? value.toFixed(1) : Math.round(value)} s`;
  if (value < 5400) return `${Math.round(value / 60)} min`;
  if (value < 129600) return `${(value / 3600).toFixed(1)} h`;
  return `${Math.round(value / 86400)} d`;
}

export function formatAge(text, now = Date.now()) {
  return text ? formatSeconds(Math.max(0, (now - Date.parse(text)) / 1000)) : "–";
}

export function formatBytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let index = 0;
  while (value >= 1024 && index < units.length - 1) {
    value /= 1024;
    index += 1;
  }
  return `${formatNumber(value, 3)} ${units[index]}`;
}

// Control and bidirectional characters; joiners only where no script or emoji needs them (Persian, Hindi, families).
const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/u;
const JOINABLE = "[\\p{L}\\p{M}\\p{Extended_Pictographic}\\p{Emoji_Modifier}]";
const UNSAFE = new RegExp(`${INVISIBLE.source}|(?<!(?![\\x00-\\x7f])${JOINABLE})[\\u200c\\u200d]|[\\u200c\\u200d](?!(?![\\x00-\\x7f])${JOINABLE})`, "gu");

// User text on one line: unsafe characters are shown as \u escapes.
export const escapeInvisible = (text) => String(text).replace(UNSAFE, (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`);

// User text of several lines: line breaks and tabs stay.
export const escapeProse = (text) => String(text).replace(/\r\n?|[\u2028\u2029]/g, "\n").split(/([\n\t])/).map((part, index) => (index % 2 ? part : escapeInvisible(part))).join("");

// An experiment's result in words: the series, how many runs have a value, and why others have none.
// "val/loss over 3 runs, 1 diverged"
export function summarizeResult(main) {
  const parts = [t("result.of", { series: escapeInvisible(main.series), n: main.n })];
  if (main.stretch) parts.push(t("stretch", { first: main.stretch[0], last: main.stretch[1] }));
  for (const word of ["diverged", "incomplete", "provisional"]) {
    if (main[word]) parts.push(t(`lost.${word}`, { n: main[word] }));
  }
  return parts.join(", ");
}
