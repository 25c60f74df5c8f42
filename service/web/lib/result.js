// An experiment's result in words: the series, how many runs have a value, and why others have none.
import { escapeInvisible } from "./format.js";
import { t } from "./words.js";

// "val/loss over 3 runs, 1 diverged"
export function summarizeResult(main) {
  const parts = [t("result.of", { series: escapeInvisible(main.series), n: main.n })];
  if (main.stretch) parts.push(t("stretch", { first: main.stretch[0], last: main.stretch[1] }));
  for (const word of ["diverged", "incomplete", "provisional"]) {
    if (main[word]) parts.push(t(`lost.${word}`, { n: main[word] }));
  }
  return parts.join(", ");
}
