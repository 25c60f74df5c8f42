// What a comparison says in words and numbers: places with verdicts, fairness, differing fields.
import { html } from "../lib/html.js";
import { parseNumber } from "../lib/api.js";
import { escapeInvisible, formatCount, formatNumber, formatSeconds } from "../lib/format.js";
import { t } from "../lib/words.js";

const MARKS = { better: "▲", worse: "▼", unconfirmed: "?", indistinguishable: "≈", not_comparable: "∅" };

function Verdict({ word, provisional }) {
  return html`<span class=${`verdict-${word}`}><span aria-hidden="true">${MARKS[word] || ""}</span>${"\u00a0"}${t(`verdict.${word}`)}${provisional ? ` (${t("provisional")})` : ""}</span>`;
}

const between = (low, high) => `${formatNumber(parseNumber(low))} … ${formatNumber(parseNumber(high))}`;

export function Ranking({ ranking, groups }) {
  const known = Object.fromEntries(groups.map((group) => [group.label, group]));
  const columns = ["rank", "name", "mean", "interval", "median", "seeds", "verdict", "difference", "p", "more", "diverged", "cost"];
  return html`<section><h2>${t("ranking", { series: escapeInvisible(ranking.series), figure: t(`choice.${ranking.figure}`) })}</h2>
    ${ranking.stretch ? html`<p class="hint">${t("stretch", { first: ranking.stretch[0], last: ranking.stretch[1] })}</p>` : null}
    <p class=${`verdict ${ranking.verdict}`}><${Verdict} word=${ranking.verdict}/> ${escapeInvisible(ranking.note)}</p>
    ${ranking.items.filter((item) => item.reference).map((item) => html`<${Reference} key=${item.label} found=${item.reference}/>`)}
    <div class="scroll"><table class="list ranking"><thead><tr>${columns.map((word) => html`<th scope="col">${t(`column.${word}`)}</th>`)}</tr></thead>
    <tbody>${ranking.items.map((item) => html`<${Place} key=${item.label} item=${item} group=${known[item.label]}/>`)}</tbody></table></div></section>`;
}

// Whether a group's mean is better than a value that was asked about, by a one-sided test.
function Reference({ found }) {
  const figures = found.p_adjusted === null ? "" : t("reference.figures", { p: formatNumber(found.p_adjusted, 2), bound: formatNumber(found.bound) });
  return html`<p class=${`verdict ${found.verdict === "better" ? "better" : "indistinguishable"}`}><span aria-hidden="true">${found.verdict === "better" ? MARKS.better : "–"}</span>${" "}
    ${escapeInvisible(found.note)} <small>${figures}</small></p>`;
}

function Place({ item, group }) {
  const { best, contrast } = item;
  return html`<tr><td class="number">${item.rank}</td><td class="name">${escapeInvisible(item.label)}</td><td class="number">${formatNumber(parseNumber(best.mean))}</td>
    <td class="number">${between(best.ci_low, best.ci_high)}</td><td class="number">${formatNumber(parseNumber(best.median))}</td><td class="number">${best.n}</td>
    <td title=${contrast ? escapeInvisible(contrast.note) : ""}>${contrast ? html`<${Verdict} word=${contrast.verdict} provisional=${contrast.provisional}/>` : t("baseline")}</td>
    <td class="number">${contrast && contrast.difference !== null ? html`${formatNumber(parseNumber(contrast.difference))} <small>${between(contrast.bootstrap_low, contrast.bootstrap_high)}</small>` : "–"}</td>
    <td class="number">${contrast && contrast.p_adjusted !== null ? formatNumber(contrast.p_adjusted, 2) : "–"}</td>
    <td class="number">${contrast?.more_seeds ?? "–"}</td><td class="number">${group ? `${group.diverged}/${group.runs.length}` : ""}</td>
    <td class="number">${group ? `${formatCount(group.effort.steps)} · ${formatSeconds(group.effort.device_s)}` : ""}</td></tr>`;
}

export function Comparability({ found }) {
  const word = !found.comparable ? "fatal" : !found.fair ? "unfair" : found.mismatches.length ? "noted" : "fair";
  return html`<section><h2>${t("comparability")}</h2><p class=${`verdict ${found.fair ? "better" : "indistinguishable"}`}>${t(`comparability.${word}`)}</p>
    ${found.mismatches.length ? html`<ul class="warnings">${found.mismatches.map((each) => html`<li key=${each.aspect}><strong>${escapeInvisible(each.aspect)}</strong>${" "}
      (${t(`severity.${each.severity}`)}) ${escapeInvisible(each.detail)}</li>`)}</ul>` : null}</section>`;
}

export function Difference({ difference, groups }) {
  const labels = groups.flatMap((group) => group.trial_labels);
  const places = Object.entries(difference);
  return html`<section><h2>${t("difference")}</h2>${places.length ? html`<div class="scroll"><table class="list"><thead><tr><th scope="col">${t("column.field")}</th>
      ${labels.map((label) => html`<th scope="col" key=${label}>${escapeInvisible(label)}</th>`)}</tr></thead><tbody>${places.map(([pointer, each]) => html`<tr key=${pointer}>
      <th scope="row"><code>${escapeInvisible(pointer)}</code></th>${each.values.map((value, index) => html`<td>${each.missing.includes(index) ? "–" : html`<code>${escapeInvisible(JSON.stringify(value))}</code>`}</td>`)}</tr>`)}</tbody></table></div>`
    : html`<p class="hint">${t("difference.none")}</p>`}</section>`;
}
