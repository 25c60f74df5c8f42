// The first steps of a newcomer, above the table and in its place while it is empty.
import { html } from "../../lib/html.js";
import { href } from "../../lib/address.js";
import { useOpenSteps } from "../../lib/guide.js";
import { t } from "../../lib/words.js";

// `items`: the rows; `me` has trained once one of them is theirs.
export function FirstSteps({ items, me }) {
  const mine = items.filter((item) => item.owner === me.member);
  const { open, dismiss } = useOpenSteps(mine.length > 0);
  if (!open.length) return null;
  const shown = [...mine, ...items].find((item) => item.main);
  const where = { train: href(["new"], { preset: "digits-adam" }), look: shown ? href(["run", shown.main.run_id]) : null, compare: null };
  return html`<section class="first-steps" aria-label=${t("guide")}><strong>${t("guide")}</strong><ol>${open.map((step) => html`<li key=${step}>${where[step] ? html`<a href=${where[step]}>${t(`guide.${step}`)}</a>` : t(`guide.${step}`)}</li>`)}</ol>
    <button type="button" class="plain" aria-label=${t("guide.hide")} title=${t("guide.hide")} onClick=${dismiss}>×</button></section>`;
}
