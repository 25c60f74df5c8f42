// The first steps of a newcomer in this browser, above the table: each disappears once it is done.
import { html, useEffect, useState } from "./html.js";
import { href } from "./address.js";
import { keep, kept } from "./kept.js";
import { t } from "./words.js";

const KEPT = "first_steps";
const STEPS = ["train", "look", "compare"];

const done = () => (kept(KEPT) || "").split(",");
const write = (steps) => keep(KEPT, [...new Set(steps)].filter(Boolean).join(","));

// Counts a step as done once `isDone` holds.
export function useStepDone(step, isDone) {
  useEffect(() => { if (isDone) write([...done(), step]); }, [isDone]);
}

// `items`: the rows; `me` has trained once one of them is theirs.
export function FirstSteps({ items, me }) {
  const mine = items.filter((item) => item.owner === me.member);
  const [isHidden, hide] = useState(false);
  useStepDone("train", mine.length > 0);
  const open = STEPS.filter((step) => !done().includes(step) && !(step === "train" && mine.length));
  if (!open.length || isHidden) return null;
  const shown = [...mine, ...items].find((item) => item.main);
  const where = { train: href(["new"], { preset: "digits-adam" }), look: shown && href(["run", shown.main.run_id]) };
  return html`<section class="first-steps" aria-label=${t("guide")}><strong>${t("guide")}</strong><ol>${open.map((step) => html`<li key=${step}>${where[step] ? html`<a href=${where[step]}>${t(`guide.${step}`)}</a>` : t(`guide.${step}`)}</li>`)}</ol>
    <button type="button" class="plain" aria-label=${t("guide.hide")} title=${t("guide.hide")} onClick=${() => { write(STEPS); hide(true); }}>×</button></section>`;
}
