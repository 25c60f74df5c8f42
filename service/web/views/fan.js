// Quantiles over time as a fan: the middle as a line, half of all within the dark band, nearly all within the light one.
import { colour } from "../lib/chart.js";
import { alignCurves } from "../lib/curves.js";
import { t } from "../lib/words.js";

const QUANTILE = /^rate\/q\d+$/;

export const isFan = (name) => QUANTILE.test(name);

// [x, lines] of the effective rates' quantiles.
export function fanOf(curves) {
  const names = ["rate/q00", "rate/q01", "rate/q25", "rate/q50", "rate/q75", "rate/q99", "rate/q100"];
  if (names.some((name) => !curves[name])) return [[], []];
  const [x, least, low, quarter, middle, three, high, most] = alignCurves(names.map((name) => curves[name]));
  const edge = { colour: colour(7), dash: [2, 4], faint: true };
  return [x, [
    { label: t("fan.wide"), y: middle, lo: low, hi: high, colour: colour(5), dash: [] },
    { label: t("fan.half"), y: middle, lo: quarter, hi: three, colour: colour(0), dash: [] },
    { ...edge, label: t("fan.least"), y: least }, { ...edge, label: t("fan.most"), y: most }]];
}
