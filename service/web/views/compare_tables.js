// What a comparison says in words and numbers: places with verdicts, fairness, differing fields.
import { Swatch } from "../lib/chart.js";
import { shapePath } from "../lib/chart/palette.js";
import { evenTicks, exponentLabels, logTicks, padded, tickLabels } from "../lib/chart/ranges.js";
import { decimalsOf, escapeInvisible, formatCount, formatFixed, formatNumber, formatSeconds, href, html, parseNumber, Said, t, TableExport, updateParameters, useState } from "../lib/page.js";

const MARKS = { better: "▲", worse: "▼", unconfirmed: "?", indistinguishable: "≈", not_comparable: "∅" };

function Verdict({ word, provisional }) {
  return html`<span class=${`verdict-${word}`}><span aria-hidden="true">${MARKS[word] || ""}</span>${"\u00a0"}${t(`verdict.${word}`)}${provisional ? ` (${t("provisional")})` : ""}</span>`;
}

const between = (low, high, digits) => `${formatFixed(parseNumber(low), digits)} … ${formatFixed(parseNumber(high), digits)}`;
const MOST_ROWS = 20; // until all are asked for
const LOG_FROM = 20; // means that differ this many times lie on a logarithmic scale

// Which is better, and how sure: the verdict in words, each group's mean with its interval, and statistics on request.
export function Ranking({ ranking, groups, looks, eyes = null, find = null }) {
  const [whole, setWhole] = useState(false);
  const known = Object.fromEntries(groups.map((group) => [group.label, group]));
  const { items } = ranking;
  const found = find ? items.filter((item) => isFound(item.label, find)) : items;
  const listed = found.slice(0, whole ? undefined : MOST_ROWS);
  const digits = decimalsOf(items.slice(0, MOST_ROWS).map((item) => parseNumber(item.best.mean)));
  const scale = scaleOf([...listed, ...items.slice(0, 1)]);
  const told = ["better", "worse", "unconfirmed", "indistinguishable"].map((word) => [word, items.filter((item) => item.contrast?.verdict === word).length]).filter(([, n]) => n);
  const columns = ["rank", "name", "mean", "interval", "verdict"];
  return html`<section><h2>${t("ranking.question", { series: escapeInvisible(ranking.series), figure: t(`choice.${ranking.figure}`) })}</h2>
    <p class=${`verdict first ${ranking.verdict}`}><${Verdict} word=${ranking.verdict}/> <${Said} text=${ranking.note}/>
      ${items.length > 2 ? html` <small>${t("ranking.others", { name: escapeInvisible((items.find((item) => !item.contrast) || items[0]).label) })} ${told.map(([word, n]) => `${n} ${t(`verdict.${word}`)}`).join(", ")}</small>` : null}</p>
    ${ranking.stretch ? html`<p class="hint">${t("stretch", { first: ranking.stretch[0], last: ranking.stretch[1] })}</p>` : null}
    ${items.filter((item) => item.reference).map((item) => html`<${Reference} key=${item.label} found=${item.reference}/>`)}
    <div class="heading">${find === null ? null : html`<${Find} value=${find} n=${found.length} all=${items.length}/>`}<${TableExport} name=${`${t("place.compare")} ${ranking.series}`} read=${() => rankingTable(ranking, known)}/></div><div class="scroll"><table class="list ranking"><thead><tr>${columns.map((word) => html`<th scope="col" key=${word} aria-label=${t(`column.${word}`)} class=${{ mean: "number", rank: "number", interval: "interval" }[word] || ""}>${word === "interval" ? html`<${Ticks} scale=${scale}/>` : t(`column.${word}`)}</th>`)}<td></td></tr></thead>
    <tbody>${listed.map((item) => html`<${Place} key=${item.label} item=${item} eyes=${eyes} group=${known[item.label]} look=${looks[item.label]} scale=${scale} digits=${digits}/>`)}</tbody></table></div>
    ${found.length > MOST_ROWS && !whole ? html`<p><button type="button" onClick=${() => setWhole(true)}>${t("ranking.all", { n: found.length })}</button></p>` : null}</section>`;
}

const isFound = (label, words) => words.toLowerCase().split(/\s+/).every((word) => label.toLowerCase().includes(word));

// Of many groups those whose name holds all the words, in the ranking and among the differences.
function Find({ value, n, all }) {
  return html`<label>${t("ranking.find")} <input type="search" value=${value} spellcheck="false" onInput=${(event) => updateParameters({ find: event.target.value })}/></label> <span class="count" role="status">${t("ranking.found", { n: formatCount(n), all: formatCount(all) })}</span>`;
}

// What a paper's table holds of the ranking.
function rankingTable({ items }, known) {
  const half = ({ ci_low: low, ci_high: high }) => (low === null ? null : (parseNumber(high) - parseNumber(low)) / 2);
  const rows = items.map((item) => [item.rank, item.label, { mean: parseNumber(item.best.mean), half: half(item.best) }, parseNumber(item.best.median), item.best.n,
    item.contrast ? t(`verdict.${item.contrast.verdict}`) : t("baseline"), item.contrast?.p_adjusted ?? null, known[item.label]?.diverged ?? null]);
  return { head: ["rank", "name", "mean", "median", "seeds", "verdict", "p", "diverged"].map((word) => t(`column.${word}`)), rows };
}

// The shared scale of the intervals: {at(value) -> percent, or null without a place; ticks, baseline}.
function scaleOf(items) {
  const means = items.map((item) => parseNumber(item.best.mean)).filter(Number.isFinite);
  if (!means.length) return { at: () => null, ticks: [], baseline: null };
  const logarithmic = Math.min(...means) > 0 && Math.max(...means) / Math.min(...means) > LOG_FROM;
  const convert = logarithmic ? (value) => (value > 0 ? Math.log10(value) : -Infinity) : (value) => value;
  const ends = items.flatMap((item) => [item.best.mean, item.best.ci_low, item.best.ci_high].map(parseNumber)).filter(Number.isFinite).map(convert).filter(Number.isFinite);
  const middle = means.map(convert);
  const room = 0.5 * (Math.max(...middle) - Math.min(...middle)) || Infinity; // an interval far wider than the differences leaves the picture
  const [low, high] = padded(Math.max(Math.min(...ends), Math.min(...middle) - room), Math.min(Math.max(...ends), Math.max(...middle) + room));
  const at = (value) => (Number.isFinite(value) ? Math.min(Math.max((100 * (convert(value) - low)) / (high - low), 0), 100) : null);
  const found = logarithmic ? logTicks(low, high) : evenTicks(low, high, 5);
  const labels = logarithmic ? exponentLabels(found) : tickLabels(found);
  const first = items.find((item) => !item.contrast);
  return { at, ticks: found.map((value, index) => ({ place: (100 * (value - low)) / (high - low), label: labels[index] })).filter(({ place }) => place > 3 && place < 97), baseline: first ? at(parseNumber(first.best.mean)) : null };
}

const Ticks = ({ scale }) => html`<svg class="means" height="16" aria-hidden="true">${scale.ticks.map(({ place, label }) => html`<text x=${`${place}%`} y="12" text-anchor="middle">${label}</text>`)}</svg>`;

// Whether a group's mean is better than a value that was asked about, by a one-sided test.
function Reference({ found }) {
  const figures = found.p_adjusted === null ? "" : t("reference.figures", { p: formatNumber(found.p_adjusted, 2), bound: formatNumber(found.bound) });
  return html`<p class=${`verdict ${found.verdict === "better" ? "better" : "indistinguishable"}`}><span aria-hidden="true">${found.verdict === "better" ? MARKS.better : "–"}</span>${" "}
    <${Said} text=${found.note}/> <small>${figures}</small></p>`;
}

// A mean as a shape on its interval; what diverged has none, and is a cross at the edge.
function Interval({ best, diverged, look, scale, digits }) {
  const [mean, low, high] = [best.mean, best.ci_low, best.ci_high].map((value) => parseNumber(value));
  const [at, from, to] = [mean, low, high].map((value) => scale.at(value));
  if (at === null && !diverged) return null; // nothing has been measured yet
  const told = at === null ? t("column.diverged") : `${formatFixed(mean, digits)}${from === null ? "" : `, ${between(low, high, digits)} (${t("column.interval")})`}`;
  return html`<svg class="means" height="26" role="img" aria-label=${told}><title>${told}</title>
    ${scale.ticks.map(({ place }) => html`<line class="tick" x1=${`${place}%`} x2=${`${place}%`} y1="0" y2="26"/>`)}
    ${scale.baseline === null ? null : html`<line class="baseline" x1=${`${scale.baseline}%`} x2=${`${scale.baseline}%`} y1="0" y2="26"/>`}
    ${from === null || to === null ? null : html`<line x1=${`${from}%`} x2=${`${to}%`} y1="13" y2="13" stroke=${look.colour} stroke-width="3" stroke-opacity="0.55"/>`}
    ${at === null ? html`<svg x="98%" overflow="visible"><path class="diverged" d=${shapePath("cross", 0, 13, 5)}/></svg>`
    : html`<svg x=${`${at}%`} overflow="visible"><path d=${shapePath(look.shape || "circle", 0, 13, 5)} fill=${look.colour} stroke=${look.colour} stroke-width="2"/></svg>`}</svg>`;
}

function Place({ item, group, look, scale, digits, eyes }) {
  const [open, set] = useState(false);
  const { best, contrast } = item;
  const half = best.ci_high === null ? "" : formatFixed((parseNumber(best.ci_high) - parseNumber(best.ci_low)) / 2, digits);
  return html`<tr><td class="number">${item.rank}</td><td class="name">${eyes ? html`<button type="button" class="eye" aria-pressed=${String(eyes.isOpen(item.label))} aria-label=${t("table.eye", { name: escapeInvisible(item.label) })} onClick=${() => eyes.toggle(item.label)}>${eyes.isOpen(item.label) ? html`<${Swatch} line=${look}/>` : "○"}</button> ` : null}<a href=${href(["experiment", item.experiment_id])}>${escapeInvisible(item.label)}</a>${item.trials > 1 ? html` <small>${t("confirmation.chosen", { n: item.trials })}</small>` : null}</td>
    <td class="number">${formatFixed(parseNumber(best.mean), digits)}${half ? html` <small>± ${half}</small>` : null}</td>
    <td class="interval"><${Interval} best=${best} diverged=${Boolean(best.diverged || group?.diverged)} look=${look} scale=${scale} digits=${digits}/></td>
    <td title=${contrast ? escapeInvisible(contrast.note) : ""}>${contrast ? html`<${Verdict} word=${contrast.verdict} provisional=${contrast.provisional}/>` : t("baseline")}</td>
    <td><button type="button" class="plain" aria-expanded=${String(open)} aria-label=${t("ranking.statistics", { name: escapeInvisible(item.label) })} onClick=${() => set(!open)}>${open ? "▾" : "▸"}</button></td></tr>
    ${open ? html`<tr class="statistics"><td></td><td colspan="5"><${Statistics} item=${item} group=${group} digits=${digits}/></td></tr>` : null}`;
}

function Statistics({ item: { best, contrast }, group, digits }) {
  const facts = {
    interval: best.ci_low === null ? "–" : between(best.ci_low, best.ci_high, digits), median: formatFixed(parseNumber(best.median), digits), seeds: best.n,
    ...(contrast ? {
      difference: contrast.difference === null ? "–" : `${formatFixed(parseNumber(contrast.difference), digits)} (${between(contrast.bootstrap_low, contrast.bootstrap_high, digits)})`,
      p: contrast.p_adjusted === null ? "–" : formatNumber(contrast.p_adjusted, 2), more: contrast.more_seeds ?? "–",
    } : {}),
    ...(group ? { diverged: `${group.diverged}/${group.runs.length}`, cost: `${formatCount(group.effort.steps)} · ${formatSeconds(group.effort.device_s)}` } : {}),
  };
  return html`${contrast?.note ? html`<p><${Said} text=${contrast.note}/></p>` : null}<dl class="facts-list">${Object.entries(facts).map(([word, value]) => html`<div key=${word}><dt>${t(`column.${word}`)}</dt><dd>${value}</dd></div>`)}</dl>`;
}

export function Comparability({ found }) {
  const word = !found.comparable ? "fatal" : !found.fair ? "unfair" : found.mismatches.length ? "noted" : "fair";
  return html`<section><h2>${t("comparability")}</h2><p class=${`verdict ${found.fair ? "better" : "indistinguishable"}`}>${t(`comparability.${word}`)}</p>
    ${found.mismatches.length ? html`<ul class="warnings">${found.mismatches.map((each) => html`<li key=${each.aspect}><strong>${escapeInvisible(each.aspect)}</strong>${" "}
      (${t(`severity.${each.severity}`)}) <${Said} text=${each.detail} code=${`aspect.${each.aspect}`}/></li>`)}</ul>` : null}</section>`;
}

const dotted = (pointer) => pointer.replace(/^\//, "").replaceAll("/", ".");
const written = (value) => (typeof value === "string" ? escapeInvisible(value) : typeof value === "number" ? formatNumber(value, 6) : escapeInvisible(JSON.stringify(value)));

// Only the fields that differ, a row for each experiment: many experiments make it long and never wide.
export function Difference({ difference, groups, looks, find = null }) {
  const trials = groups.flatMap((group) => group.trial_labels.map((label, index) => ({ label, id: group.trials[index], look: looks[group.label] }))).map((trial, at) => ({ ...trial, at }));
  const found = find ? trials.filter((trial) => isFound(trial.label, find)) : trials;
  const fields = Object.entries(difference).sort(([, one], [, other]) => one.missing.length - other.missing.length); // what all have comes first
  const [whole, setWhole] = useState(false);
  if (!fields.length) return html`<section><h2>${t("difference")}</h2><p class="hint">${t("difference.none")}</p></section>`;
  const isNumber = ({ values }) => values.some((value) => typeof value === "number");
  const read = () => ({ head: [t("column.name"), ...fields.map(([pointer]) => dotted(pointer))], rows: trials.map((trial, at) => [trial.label, ...fields.map(([, each]) => (each.missing.includes(at) ? null : typeof each.values[at] === "number" ? each.values[at] : written(each.values[at])))]) });
  return html`<section><h2 class="heading">${t("difference")}<${TableExport} name=${t("difference")} read=${read}/></h2><div class="scroll"><table class="list cards difference-table"><thead><tr><th scope="col">${t("column.name")}</th>
      ${fields.map(([pointer, each]) => html`<th scope="col" key=${pointer} class=${isNumber(each) ? "number" : ""}><code>${escapeInvisible(dotted(pointer))}</code></th>`)}</tr></thead>
    <tbody>${found.slice(0, whole ? undefined : MOST_ROWS).map(({ at, ...trial }) => html`<tr key=${trial.id}><th scope="row"><${Swatch} line=${trial.look}/> <a href=${href(["experiment", trial.id])}>${escapeInvisible(trial.label)}</a></th>
      ${fields.map(([pointer, each]) => html`<td key=${pointer} class=${isNumber(each) ? "number" : ""} data-label=${escapeInvisible(dotted(pointer))}>${each.missing.includes(at) ? "–" : html`<code>${written(each.values[at])}</code>`}</td>`)}</tr>`)}</tbody></table></div>
    ${found.length > MOST_ROWS && !whole ? html`<p><button type="button" onClick=${() => setWhole(true)}>${t("ranking.all", { n: found.length })}</button></p>` : null}</section>`;
}
