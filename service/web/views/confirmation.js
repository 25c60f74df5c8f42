// A winner that was chosen among trials: asking for fresh seeds, and what these alone say of it.
import { ActionButton, escapeInvisible, formatNumber, href, html, List, parseNumber, post, Problems, Said, t, updateParameters, useGet, useInterval, useState } from "../lib/page.js";

const LOOK_MS = 2000;
const FEW_SEEDS = 5, MOST_SEEDS = 100; // to extend by

// The comparison that is confirmed stands in the address: it keeps its contestants, whatever the page asks for later.
export function Confirmation({ question, ranking, search }) {
  const id = search.get("confirmed");
  const { value, error, again } = useGet(id && `/v1/comparisons/${id}`);
  const running = id && value?.confirmation?.state !== "done";
  useInterval(LOOK_MS, () => running && again(), [running]);
  if (id && error) return html`<section><h2>${t("confirmation")}</h2><${Problems} error=${error}/></section>`;
  if (id && value?.confirmation && sameQuestion(value, question, ranking)) return html`<${Result} found=${value.confirmation} id=${id} again=${again}/>`;
  if (ranking.items.length < 2 || question.group === "run") return null;
  return html`<${Order} question=${question} ranking=${ranking}/>`;
}

// Axes and smoothing may change: whom it confirms, and by what, may not.
function sameQuestion(stored, question, ranking) {
  const same = (name) => JSON.stringify(stored.question[name] ?? null) === JSON.stringify(question[name] ?? null);
  return ["experiments", "runs", "filter", "group", "figure"].every(same) && stored.ranking.series === ranking.series;
}

function Order({ question, ranking }) {
  const contrasts = ranking.items.map((item) => item.contrast).filter(Boolean);
  const [seeds, choose] = useState(contrasts[0].fresh_seeds);
  const chosen = contrasts.some((each) => each.choices > 1);
  const begin = async () => {
    const { smoothing, target, ...rest } = question; // only figures: nothing of it is drawn
    const made = await post("/v1/comparisons", { ...rest, points: null });
    await post(`/v1/comparisons/${made.id}/confirm`, { seeds });
    updateParameters({ confirmed: made.id });
  };
  return html`<div class="bar"><${ActionButton} kind=${chosen ? "primary" : ""} label=${t("confirm")} act=${begin}/>
    <label>${t("confirm.seeds")} <input type="number" min="2" max="100" value=${seeds} onInput=${(event) => choose(Number(event.target.value))}/></label>
    <span class="hint">${t("confirm.how")}</span></div>`;
}

function Result({ found, id, again }) {
  const word = found.confirmed === null ? "running" : found.confirmed ? "yes" : "no";
  const best = Object.fromEntries(found.ranking.items.map((item) => [item.label, item.best]));
  return html`<section role="status"><h2>${t("confirmation")}</h2>
    <p class=${`verdict ${{ yes: "better", no: "indistinguishable" }[word] || ""}`}><strong>${t(`confirmation.${word}`)}</strong> <${Said} text=${found.note}/></p>
    <${List} name=${t("confirmation")} columns=${["name", "#mean", "#interval", "#seeds", "#diverged"]} items=${found.contestants} cells=${(each) => cellsOf(each, best[each.label])}/>
    <p class="hint">${t("confirmation.seeds", { seeds: listed(found.seeds) })}</p>
    ${found.sequential ? html`<${AnyTime} found=${found} id=${id} again=${again}/>` : null}</section>`;
}

// The test that may be looked at whenever somebody looks, and the seeds that would tell. A repeated request adds none.
export function AnyTime({ found, id, again }) {
  const looked = found.sequential;
  const [chosen, choose] = useState(null);
  const seeds = chosen ?? Math.min(looked.more_seeds ?? FEW_SEEDS, MOST_SEEDS);
  const extend = async () => {
    await post(`/v1/comparisons/${id}/confirm/extend`, { seeds, after: found.seeds.length });
    choose(null);
    again();
  };
  const bounds = looked.low === null ? t("confirmation.unbounded") : `${formatNumber(parseNumber(looked.low))} … ${formatNumber(parseNumber(looked.high))}`;
  return html`<h3>${t("confirmation.anytime")}</h3>
    <p><${Said} text=${looked.note}/></p>
    ${looked.seeds ? html`<p class="hint">${t("confirmation.interval", { difference: formatNumber(parseNumber(looked.difference)), interval: bounds, p: formatNumber(looked.p) })}</p>` : null}
    ${looked.decided === null && looked.seeds > 1 && found.verdict !== "better" ? html`<div class="bar"><${ActionButton} label=${t("confirmation.extend", { n: seeds })} act=${extend}/>
    <label>${t("confirm.seeds")} <input type="number" min="1" max=${MOST_SEEDS} value=${seeds} onInput=${(event) => choose(Number(event.target.value))}/></label>
    <span class="hint">${t("confirmation.extend.how")}</span></div>` : null}`;
}

const listed = (seeds) => (seeds.length > 2 && seeds.every((seed, index) => seed === seeds[0] + index) ? `${seeds[0]}–${seeds.at(-1)}` : seeds.join(", "));

const cellsOf = (one, best) => [
  html`<a href=${href(["experiment", one.experiment_id])}>${escapeInvisible(one.label)}</a>${one.trials > 1 ? html` <small>${t("confirmation.chosen", { n: one.trials })}</small>` : null}`, formatNumber(parseNumber(best.mean)),
  `${formatNumber(parseNumber(best.ci_low))} … ${formatNumber(parseNumber(best.ci_high))}`, `${one.ended}/${one.runs.length}`, one.diverged];
