// Two dimensions of a study against each other: its trials by the objective, and a surface between them, never beyond.
import { colourAt, heightScale, surface } from "../lib/contour.js";
import { escapeInvisible, formatNumber, href, html, t, useMemo, useState } from "../lib/page.js";
import { bestFirst, dotsOf, scaleOf, spansMagnitudes, worstShown } from "../lib/scatter.js";
import { dimensionsOf, isMeasured, nameOf, titleOf, worthOf } from "./study_charts.js";

const [WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM] = [460, 340, 58, 12, 14, 40];
const [ROWS, COLUMNS] = [30, 40];
const KEY = [1, 0.75, 0.5, 0.25, 0];
const LEVELS = 24; // colors, each a path

const across = (at) => LEFT + at * (WIDTH - LEFT - RIGHT);
const up = (at) => HEIGHT - BOTTOM - at * (HEIGHT - TOP - BOTTOM);
const fill = (share) => `rgb(${colourAt(share).join(",")})`;
const areNumbers = (values) => values.every((value) => typeof value === "number");

// The two dimensions that explain most, where that is known.
function usualPair(names, importance) {
  const order = importance.filter(({ share }) => share !== null).map(({ name }) => name.split(" > ").at(-1)).filter((name) => names.includes(name));
  return [...new Set([...order, ...names])].slice(0, 2);
}

export function ContourTrials({ trials, study, analysis }) {
  const measured = trials.filter(isMeasured);
  const names = dimensionsOf(measured);
  const [asked, ask] = useState([null, null]);
  const usual = usualPair(names, analysis.importance);
  const pair = [0, 1].map((at) => (names.includes(asked[at]) ? asked[at] : usual[at]));
  if (names.length < 2 || measured.length < 3) return null;
  const choose = (at) => (event) => ask(pair.map((name, index) => (index === at ? event.target.value : name === event.target.value ? pair[at] : name)));
  return html`<section class="panel"><h2>${t("study.contour")}</h2><div class="bar controls">${["x", "y"].map((axis, at) => html`<label key=${axis}>${axis} <select aria-label=${axis} value=${pair[at]} onChange=${choose(at)}>${names.map((name) => html`<option key=${name} value=${name}>${nameOf(name)}</option>`)}</select></label>`)}</div>
    <${Plane} trials=${measured.filter(({ point }) => pair.every((name) => name in point))} pair=${pair} study=${study}/></section>`;
}

function Plane({ trials, pair, study }) {
  const columns = pair.map((name) => trials.map(({ point }) => point[name]));
  const scales = columns.map((values) => scaleOf(values, spansMagnitudes(values)));
  const finite = trials.filter((trial) => worthOf(trial) !== null);
  const worst = worstShown(finite.map(worthOf), study.direction);
  const shown = (trial) => (study.direction === "max" ? Math.max(worthOf(trial), worst) : Math.min(worthOf(trial), worst)); // far off: as the worst
  const placeOf = (trial) => pair.map((name, at) => scales[at].place(trial.point[name]));
  const isSurface = columns.every(areNumbers);
  const scale = heightScale([finite.map(shown)]);
  const cells = useMemo(() => (isSurface && finite.length > 2 ? surface(finite.map(placeOf), finite.map(shown), ROWS, COLUMNS) : []), [trials.length, pair.join(), study.id]);
  const placed = trials.map((trial) => ({ point: { trial, y: worthOf(trial) }, x: across(placeOf(trial)[0]), y: up(placeOf(trial)[1]) }));
  const [linked, dots] = bestFirst(placed, study.direction);
  if (!finite.length) return html`<p class="hint">${t("study.contour.none")}</p>`;
  const [w, h] = [(WIDTH - LEFT - RIGHT) / COLUMNS, (HEIGHT - TOP - BOTTOM) / ROWS];
  return html`<div class="contour"><svg class="scatter plane" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} role="group" aria-label=${t("study.contour.of", { x: nameOf(pair[0]), y: nameOf(pair[1]) })}>
      ${levelsOf(cells.flatMap((row, r) => row.map((value, c) => value !== null && { share: scale.shareOf(value), d: `M${across(c / COLUMNS).toFixed(1)},${up((r + 1) / ROWS).toFixed(1)}h${w + 0.5}v${h + 0.5}h${-w - 0.5}z` })).filter(Boolean)).map(({ level, ds }) => html`<path key=${level} class="cells" data-cells=${ds.length} d=${ds.join("")} fill=${fill(level / LEVELS)}/>`)}
      ${scales[1].ticks.map((tick) => html`<text key=${`y${tick.label}`} x=${LEFT - 6} y=${up(tick.at) + 4} text-anchor="end">${escapeInvisible(tick.label)}</text>`)}
      ${scales[0].ticks.map((tick) => html`<text key=${`x${tick.label}`} x=${across(tick.at)} y=${HEIGHT - BOTTOM + 15} text-anchor="middle">${escapeInvisible(tick.label)}</text>`)}
      <text class="name" x=${(LEFT + WIDTH - RIGHT) / 2} y=${HEIGHT - 6} text-anchor="middle">${nameOf(pair[0])}</text>
      <text class="name" x="12" y=${HEIGHT / 2 - 10} text-anchor="middle" transform=${`rotate(-90 12 ${HEIGHT / 2 - 10})`}>${nameOf(pair[1])}</text>
      ${levelsOf(dots.filter(({ point }) => point.y !== null).map((each) => ({ share: scale.shareOf(shown(each.point.trial)), d: dotsOf([each]) }))).map(({ level, ds }) => html`<path key=${`dots ${level}`} class="dots" d=${ds.join("")} style=${{ stroke: fill(level / LEVELS) }}/>`)}
      ${linked.map(({ point: { trial }, x, y }) => html`<${Trial} key=${trial.number} trial=${trial} x=${x} y=${y} colour=${worthOf(trial) === null ? null : fill(scale.shareOf(shown(trial)))} series=${study.series}/>`)}</svg>
    <ul class="key">${KEY.map((share) => html`<li key=${share}><span style=${{ background: fill(share) }}></span>${formatNumber(scale.heightAt(share), 3)}</li>`)}</ul></div>
    <p class="hint">${t(cells.length ? "study.contour.how" : "study.contour.points")}</p>`;
}

// What has about the same color is one path: a thousand shapes take a page seconds.
function levelsOf(parts) {
  const found = new Map();
  for (const { share, d } of parts) {
    const level = Math.round(share * LEVELS);
    found.set(level, [...(found.get(level) || []), d]);
  }
  return [...found].map(([level, ds]) => ({ level, ds }));
}

function Trial({ trial, x, y, colour, series }) {
  const shape = colour === null ? html`<path d=${`M${x - 4},${y - 4}l8,8m0,-8l-8,8`}/>` : html`<circle cx=${x} cy=${y} r=${trial.state === "finished" ? 4 : 3} style=${{ fill: colour, fillOpacity: 1, stroke: "#111" }}/>`;
  return html`<a class="point" href=${trial.experiment_id ? href(["experiment", trial.experiment_id]) : undefined}><title>${titleOf(trial, series)}</title>${shape}</a>`;
}
