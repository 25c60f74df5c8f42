// One reading of an instrument, drawn as what it is: a histogram, a line, a surface with a path, or numbers with their names.
import { Chart, look } from "../lib/chart.js";
import { Contour } from "../lib/contour.js";
import { absoluteUrl, escapeInvisible, escapeProse, formatCount, formatNumber, html, List, parseNumber, Picture, t, useMemo } from "../lib/page.js";

const numbers = (values) => values.map((value) => (value === null ? null : parseNumber(value))).map((value) => (Number.isFinite(value) ? value : null));
const MOST = 24; // numbers with names
const LISTED = 6; // of a list
const MOST_ROWS = 50; // of a table
const LONG = 160; // characters; what is longer stands whole behind a fold

function Line({ x, curves, logX = false, xLabel, spans, label }) {
  const lines = useMemo(() => Object.entries(curves).map(([name, y], index) => ({ label: name, y: numbers(y), ...look(index), points: x.length < 40 })), [x, curves]);
  return html`<${Chart} x=${numbers(x)} lines=${lines} logX=${logX} spans=${spans} height=${190} xLabel=${xLabel} label=${label}/>`;
}

const heads = (...words) => words.map((word) => ({ text: t(`reading.${word}`) }));

// What each step of a table's preparation learned of its columns.
function Preparation({ steps }) {
  const rows = steps.flatMap(({ kind, columns }) => Object.entries(columns).map(([name, fitted]) => [kind, name, fitted]));
  return html`<${List} name=${t("reading.fitted")} columns=${heads("step", "column", "fitted")} items=${rows.slice(0, MOST_ROWS)} cells=${(row) => row.map(said)}/>
    ${rows.length > MOST_ROWS ? html`<p><small>… ${formatCount(rows.length)}</small></p>` : null}`;
}

// How many rows of each class (a row of the table) were predicted as each; the diagonal is right.
function ConfusionMatrix({ classes, matrix }) {
  const most = Math.max(1, ...matrix.flat());
  return html`<p>${t("reading.confusion_matrix")}</p><div class="scroll matrix" tabindex="0" role="region" aria-label=${t("reading.confusion_matrix")}><table>
    <thead><tr><th></th>${classes.map((name) => html`<th key=${name} scope="col">${escapeInvisible(name)}</th>`)}</tr></thead>
    <tbody>${matrix.map((counts, of) => html`<tr key=${classes[of]}><th scope="row">${escapeInvisible(classes[of])}</th>
      ${counts.map((count, as) => html`<td key=${classes[as]} class="number" style=${count ? { background: `color-mix(in srgb, var(--accent) ${Math.round(5 + 25 * (count / most))}%, transparent)` } : null}>${formatCount(count)}</td>`)}</tr>`)}</tbody></table></div>`;
}

const Z = 1.96; // 95 %

// The interval of a share of n, {lo, hi} (Wilson 1927).
function wilson(share, n) {
  const [middle, half] = [(share + (Z * Z) / (2 * n)) / (1 + (Z * Z) / n), (Z / (1 + (Z * Z) / n)) * Math.sqrt((share * (1 - share)) / n + (Z * Z) / (4 * n * n))];
  return { lo: middle - half, hi: middle + half };
}

// How often predictions of about one probability are right; on the diagonal, as often as they say.
function Reliability({ probability, accuracy, rows, calibration_error: error }) {
  const filled = probability.map((p, at) => ({ p, right: accuracy[at], n: rows[at] })).filter(({ p }) => p !== null);
  const x = [0, ...filled.map(({ p }) => p), 1];
  const lines = [
    { label: t("reading.reliability.found"), y: [undefined, ...filled.map(({ right }) => right), undefined], dots: true, bars: filled.map(({ p, right, n }) => ({ x: p, ...wilson(right, n) })), ...look(0) },
    { label: t("reading.reliability.ideal"), y: x, ...look(7), dash: [4, 4], shape: null },
  ];
  return html`<${Chart} x=${x} lines=${lines} height=${230} xLabel=${t("reading.probability")} label=${t("reading.reliability")}/>
    <p>${t("reading.reliability.how", { error: formatNumber(parseNumber(error), 3), n: formatCount(rows.reduce((sum, n) => sum + n, 0)) })}</p>`;
}

const THUMBNAIL = 48; // px

// The rows that the model predicts worst.
function LargestLosses({ listed, run }) {
  const [probable, drawn] = ["probability", "png"].map((name) => listed.some((each) => name in each));
  const picture = (each) => html`<${Picture} png=${each.png} side=${THUMBNAIL} label=${t("reading.picture.of", { row: String(each.row) })}/>`;
  return html`<p>${t("reading.largest_losses")}</p>
    <${List} name=${t("reading.largest_losses")} columns=${heads(...(drawn ? ["picture"] : []), "row", "loss", "target", "prediction", ...(probable ? ["probability"] : []))} items=${listed} cells=${(each) => [
    ...(drawn ? [picture(each)] : []), formatCount(each.row), formatNumber(parseNumber(each.loss)), said(each.target), said(each.prediction), ...(probable ? [said(each.probability)] : [])]}/>
    <p><a href=${absoluteUrl(`/v1/runs/${run}/predictions`)} download>${t("reading.predictions")}</a></p>`;
}

const BESIDE = ["constant", "run", "same", "other", "control"];
const PARTS = ["train", "held_out", "validation"];

// What fresh trainings beside the run reached: a row each, a column for each part of the data.
function Beside({ data }) {
  const parts = PARTS.filter((part) => data.run.loss[part] !== undefined);
  return html`<p>${t("reading.beside")}</p><${List} name=${t("reading.beside")} columns=${["name", ...heads(...parts.map((part) => `beside.${part}`), "rate")]} items=${BESIDE.filter((who) => data[who])} cells=${(who) => [
    `${t(`reading.beside.${who}`)}${data[who].name ? ` (${escapeInvisible(data[who].name)})` : ""}`, ...parts.map((part) => said(data[who].loss[part])), data[who].rate === undefined ? "" : said(data[who].rate)]}/>`;
}

const near = (value) => (Number.isFinite(value) ? [[value / 1.02, value * 1.02]] : []);

const DRAWN = {
  spectrum: ({ histogram }) => histogram && html`<${Histogram} counts=${histogram.counts} edges=${numbers(histogram.edges)} label=${t("reading.spectrum")}/>`,
  spectral_density: ({ grid, density }) => grid && html`<${Line} x=${grid} curves=${{ density }} xLabel=${t("reading.eigenvalue")} label=${t("reading.spectral_density")}/>`,
  slice: ({ at, losses, unit }) => at && html`<${Line} x=${at} curves=${{ loss: losses }} xLabel=${escapeInvisible(unit || "")} label=${t("reading.slice")}/>`,
  line: ({ at, losses }) => at && html`<${Line} x=${at} curves=${{ loss: losses }} xLabel=${t("reading.way")} label=${t("reading.line")}/>`,
  range_test: ({ rates, losses, smoothed, steepest }) => rates && html`<${Line} x=${rates} curves=${{ loss: losses, smoothed }} logX=${true} spans=${near(steepest)} xLabel=${t("reading.rate")} label=${t("reading.range_test")}/>`,
  plane: ({ x, y, losses }) => losses && html`<${Contour} x=${numbers(x)} y=${numbers(y)} values=${losses.map(numbers)} path=${[{ x: 0, y: 0 }]} label=${t("reading.plane")}/>`,
  trajectory: ({ x, y, steps, grid }) => grid && html`<${Contour} x=${numbers(grid.x)} y=${numbers(grid.y)} values=${grid.losses.map(numbers)}
    path=${x.map((each, index) => ({ x: each, y: y[index], step: steps[index] }))} label=${t("reading.trajectory")}/>`,
  augmented_samples: ({ png }) => png && html`<${Picture} png=${png} label=${t("reading.augmented_samples")}/>`,
  samples: ({ prompt, continuation }) => continuation !== undefined && html`<p class="sample"><span>${escapeProse(prompt)}</span>${escapeProse(continuation)}</p>`,
  confusion_matrix: ({ classes, matrix }) => matrix && html`<${ConfusionMatrix} classes=${classes} matrix=${matrix}/>`,
  reliability: (data) => data.accuracy && html`<${Reliability} ...${data}/>`,
  largest_losses: ({ listed }, run) => listed && html`<${LargestLosses} listed=${listed} run=${run}/>`,
  preparation: ({ steps }) => steps && html`<${Preparation} steps=${steps}/>`,
  learnability: (data) => data.run && html`<${Beside} data=${data}/>`,
  overfit_batch: ({ losses }) => losses && html`<${Line} x=${losses.map((_, index) => index + 1)} curves=${{ loss: losses }} xLabel=${t("axis.step")} label=${t("reading.overfit_batch")}/>`,
};

function said(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return formatNumber(value);
  if (typeof value === "boolean") return t(value ? "yes" : "no");
  if (Array.isArray(value)) return `${value.slice(0, LISTED).map(said).join(", ")}${value.length > LISTED ? ` … (${value.length})` : ""}`;
  return typeof value === "object" ? Object.entries(value).map(([name, each]) => `${escapeInvisible(name)} ${said(each)}`).join(", ") : escapeInvisible(value);
}

const BULKY = new Set(["at", "losses", "losses_on_plane", "grid", "density", "eigenvalues", "histogram", "nodes", "weights", "x", "y", "rates", "smoothed", "steps", ...BESIDE]);
const PICTURES = new Set(["png", "prompt", "continuation", "parts"]); // what is drawn, and not listed again
const DRAWN_WHOLE = new Set(["confusion_matrix", "largest_losses", "reliability"]); // nothing is left to list

export function Reading({ reading }) {
  const { kind, data, step } = reading;
  const draw = DRAWN[kind];
  const values = DRAWN_WHOLE.has(kind) && !data?.error ? [] : Object.entries(data || {}).filter(([name, value]) => !PICTURES.has(name) && !(BULKY.has(name) && typeof value === "object"));
  const facts = values.filter(([, value]) => said(value).length <= LONG).slice(0, MOST);
  const folded = values.filter(([, value]) => said(value).length > LONG);
  return html`<figure class="reading"><figcaption><strong>${escapeInvisible(kind)}</strong> <small>${t("axis.step")} ${formatCount(step)}</small></figcaption>
    ${draw ? draw(data, reading.run_id) : null}
    ${kind === "autopsy" ? html`<p><a href=${absoluteUrl(`/v1/runs/${reading.run_id}/autopsy.py`)} download>${t("reading.autopsy")}</a></p>` : null}
    <dl>${facts.map(([name, value]) => html`<div key=${name}><dt>${escapeInvisible(name)}</dt><dd>${said(value)}</dd></div>`)}</dl>
    ${folded.map(([name, value]) => html`<details key=${name}><summary>${escapeInvisible(name)}</summary><pre class="quoted" tabindex="0">${JSON.stringify(value, null, 1).split("\n").map(escapeInvisible).join("\n")}</pre></details>`)}</figure>`;
}

// A histogram: bars below zero are blue, those above are red.
const WIDTH = 640;
const HEIGHT = 170;
const AXIS_HEIGHT = 22;

// Heights by the logarithm: a spectrum has thousands of values near zero and a handful that matter.
export function Histogram({ counts, edges, label }) {
  const most = Math.log1p(Math.max(...counts, 1));
  const [low, high] = [edges[0], edges[edges.length - 1]];
  const x = (value) => ((value - low) / (high - low || 1)) * (WIDTH - 2) + 1;
  const bars = counts.map((n, index) => ({ n, left: x(edges[index]), right: x(edges[index + 1]), height: (Math.log1p(n) / most) * (HEIGHT - AXIS_HEIGHT - 6), below: edges[index + 1] <= 0 })).filter(({ n }) => n);
  return html`<svg class="histogram" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label=${label}>
    ${bars.map((bar) => html`<rect class=${bar.below ? "below" : "above"} x=${bar.left} width=${Math.max(bar.right - bar.left - 0.5, 1)} y=${HEIGHT - AXIS_HEIGHT - bar.height} height=${bar.height}>
      <title>${bar.n}</title></rect>`)}
    ${low < 0 && high > 0 ? html`<line class="upright" x1=${x(0)} x2=${x(0)} y1="0" y2=${HEIGHT - AXIS_HEIGHT}/><text x=${x(0)} y=${HEIGHT - 6} text-anchor="middle">0</text>` : null}
    <text x="2" y=${HEIGHT - 6}>${formatNumber(low, 3)}</text><text x=${WIDTH - 2} y=${HEIGHT - 6} text-anchor="end">${formatNumber(high, 3)}</text></svg>`;
}
