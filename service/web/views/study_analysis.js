// What the trials of a study say together: the duel of its scientific values, and which dimensions matter.
import { CopyButton, escapeInvisible, formatCount, formatNumber, html, t } from "../lib/page.js";
import { wordOf } from "../lib/scatter.js";
import { around, nameOf } from "./study_charts.js";

const number = (value) => (value === null ? "–" : formatNumber(value));

// Each scientific value with the same number of trials: its best, and how good a trial of it is that nobody tuned.
export function Duel({ found, series }) {
  const rivals = found.contestants;
  if (!rivals.some(({ trials }) => trials)) return null;
  const borders = rivals.flatMap((rival) => rival.borders.map((border) => ({ ...border, label: rival.label })));
  return html`${rivals.length > 1 ? html`<section class="panel"><h2>${t("duel")}</h2>${found.even ? null : html`<p class="warnings">${t("duel.uneven")}</p>`}
    <div class="scroll"><table class="list"><thead><tr>${["rival", "trials", "best", "median", "quartiles", "sensitivity"].map((word) => html`<th key=${word} scope="col">${word === "best" ? `${t("column.best")} ${escapeInvisible(series)}` : t(`column.${word}`)}</th>`)}<th scope="col">${t("column.steps")} → ${found.targets.map(number).join(" | ")}</th></tr></thead>
    <tbody>${rivals.map((each, at) => html`<tr key=${each.label}><td>${escapeInvisible(each.label)}</td><td class="number">${formatCount(each.trials)}${each.diverged ? html` <small>${t("duel.diverged", { n: each.diverged })}</small>` : null}</td><td class="number">${around(each.best_value, each.interval)}</td>
      <td class="number">${number(each.median)}</td><td class="number">${each.quartiles.map(number).join(" – ")}</td><td class="number">${number(each.sensitivity)}</td><td class="number">${found.steps_to_target.map((steps) => number(steps[at])).join(" | ")}</td></tr>`)}</tbody></table></div>
    <p class="hint">${t("duel.how")}</p></section>` : null}
    ${borders.length ? html`<ul class="warnings">${borders.map((each) => html`<li key=${`${each.label} ${each.pointer}`}>${t("border", { label: escapeInvisible(each.label), name: nameOf(each.pointer), value: formatNumber(each.value), bound: formatNumber(each.bound) })} <${CopyButton} text=${JSON.stringify([each.patch])} label=${t("border.patch")}/></li>`)}</ul>` : null}`;
}

// A dimension with the options that it depends on: "optimizer lr (adamw)" of "/optimizer=1 > /optimizer/lr".
function labelOf(name, space) {
  const steps = name.split(" > ");
  const pointer = steps.pop();
  const options = [];
  let within = space;
  for (const step of steps) {
    const [, outer, at] = step.match(/^(.*)=(\d+)$/) || [];
    const option = within?.[outer]?.options?.[Number(at)];
    options.push(option ? option.name || wordOf(option.value) : step);
    within = option?.space;
  }
  return nameOf(pointer) + (options.length ? ` (${options.map(escapeInvisible).join(", ")})` : "");
}

export function Importance({ found, space }) {
  const known = found.importance.filter(({ share }) => share !== null);
  if (known.length < 2) return null;
  return html`<section class="panel"><h2>${t("importance")}</h2><dl class="shares">${known.map((each) => html`<div key=${each.name}><dt>${labelOf(each.name, space)}</dt><dd><progress max="1" value=${each.share} aria-label=${labelOf(each.name, space)}></progress> ${Math.round(100 * each.share)} %</dd></div>`)}</dl>
    <p class="hint">${t("importance.how")}</p></section>`;
}
