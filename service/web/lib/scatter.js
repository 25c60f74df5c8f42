// Points in a plane and lines across parallel axes. Each point is a link that says what it is on hover: numbers on either scale, or words side by side.
import { html } from "./html.js";
import { href } from "./address.js";
import { escapeInvisible, formatNumber } from "./format.js";
import { evenTicks, exponentLabels, logTicks, tickLabels } from "./chart/ranges.js";

const WIDTH = 460;
const HEIGHT = 240;
const LEFT = 58;
const RIGHT = 14;
const TOP = 12;
const BOTTOM = 40;
const MANYFOLD = 20; // positive values that span more lie by magnitude
const EDGE = 0.06; // of the range, left free at either end
const LINKED = 300; // points that are links of their own; of more, the best

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

export function spansMagnitudes(values) {
  const given = values.filter(isNumber);
  return given.length > 1 && given.every((value) => value > 0) && Math.max(...given) > MANYFOLD * Math.min(...given);
}

// {place(value), ticks}: a value's place in [0, 1] (null: it has none), and the labelled places.
export function scaleOf(values, log) {
  if (!values.every((value) => value === null || isNumber(value))) return wordScale(values);
  const given = values.filter(isNumber).map(log ? Math.log10 : Number);
  if (!given.length) return { place: () => null, ticks: [] };
  const [low, high] = [Math.min(...given), Math.max(...given)];
  const room = (high - low) * EDGE || Math.abs(high) * EDGE || 1;
  const [first, last] = [low - room, high + room];
  const at = (value) => (value - first) / (last - first);
  const ticks = log ? logTicks(first, last) : evenTicks(first, last, 5);
  const labels = log ? exponentLabels(ticks) : tickLabels(ticks);
  return { place: (value) => (isNumber(value) ? at(log ? Math.log10(value) : value) : null), ticks: ticks.map((tick, index) => ({ at: at(tick), label: labels[index] })) };
}

export const wordOf = (value) => (typeof value === "string" ? value : value && typeof value === "object" ? value.kind || JSON.stringify(value) : JSON.stringify(value));

function wordScale(values) {
  const words = [...new Set(values.filter((value) => value !== null && value !== undefined).map(wordOf))];
  const at = (word) => (words.indexOf(word) + 0.5) / words.length;
  return { place: (value) => (value === null || value === undefined ? null : at(wordOf(value))), ticks: words.map((word) => ({ at: at(word), label: word.slice(0, 14) })) };
}

// The worst value that is drawn at its place: beyond nine tenths of them, a few that are far off would leave no room for the others.
export function worstShown(values, direction) {
  const sign = direction === "max" ? -1 : 1;
  const given = values.filter(isNumber).sort((one, other) => sign * (one - other));
  if (given.length < 10) return given.at(-1) ?? null;
  const bound = given[Math.floor(0.9 * (given.length - 1))];
  const beyond = Math.abs(given.at(-1) - bound);
  return beyond > 2 * Math.abs(bound - given[0]) ? bound : given.at(-1);
}

const left = (at) => LEFT + at * (WIDTH - LEFT - RIGHT);
const top = (at) => HEIGHT - BOTTOM - at * (HEIGHT - TOP - BOTTOM);

// `points`: [{key, x, y, kind, title, path}]; a y of null is a cross at the edge where the worst lie (`direction`: which way is
// better), and values far beyond the others lie at that edge too. Of more than LINKED points the best are links. `line`: [{x, y}], drawn as steps.
export function Scatter({ points, line = [], logX = false, direction = "min", xLabel, yLabel, label }) {
  const across = scaleOf(points.map(({ x }) => x), logX);
  const worst = worstShown(points.map(({ y }) => y), direction);
  const isBeyond = (y) => y !== null && (direction === "max" ? y < worst : y > worst);
  const within = [...points.filter(({ y }) => !isBeyond(y)), ...line].map(({ y }) => y);
  const up = scaleOf(within, spansMagnitudes(within));
  const edge = direction === "max" ? HEIGHT - BOTTOM : TOP;
  const placed = points.filter(({ x }) => across.place(x) !== null).map((point) => ({ point, x: left(across.place(point.x)), y: point.y === null || isBeyond(point.y) ? edge : top(up.place(point.y)) }));
  const [linked, dots] = bestFirst(placed, direction);
  const corners = line.flatMap(({ x, y }, index) => (index ? [[x, line[index - 1].y], [x, y]] : [[x, y]]));
  return html`<svg class="scatter" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} role="group" aria-label=${label}>
    ${up.ticks.map((tick) => html`<g key=${`y${tick.label}`}><line class="grid" x1=${LEFT} x2=${WIDTH - RIGHT} y1=${top(tick.at)} y2=${top(tick.at)}/><text x=${LEFT - 6} y=${top(tick.at) + 4} text-anchor="end">${escapeInvisible(tick.label)}</text></g>`)}
    ${across.ticks.map((tick) => html`<g key=${`x${tick.label}`}><line class="grid" x1=${left(tick.at)} x2=${left(tick.at)} y1=${TOP} y2=${HEIGHT - BOTTOM}/><text x=${left(tick.at)} y=${HEIGHT - BOTTOM + 15} text-anchor="middle">${escapeInvisible(tick.label)}</text></g>`)}
    <text class="name" x=${(LEFT + WIDTH - RIGHT) / 2} y=${HEIGHT - 6} text-anchor="middle">${escapeInvisible(xLabel)}</text>
    <text class="name" x="12" y=${HEIGHT / 2 - 10} text-anchor="middle" transform=${`rotate(-90 12 ${HEIGHT / 2 - 10})`}>${escapeInvisible(yLabel)}</text>
    ${corners.length ? html`<polyline class="best" fill="none" points=${corners.map(([x, y]) => `${left(across.place(x))},${top(up.place(y))}`).join(" ")}/>` : null}
    ${[...new Set(dots.map(({ point }) => point.kind))].map((kind) => html`<path key=${kind} class=${`dots ${kind}`} d=${dotsOf(dots.filter(({ point }) => point.kind === kind))}/>`)}
    ${linked.map(({ point, x, y }) => html`<${Point} key=${point.key} point=${point} x=${x} y=${y}/>`)}</svg>`;
}

// Of many points the best are links, the others dots of one path: a thousand links take a page seconds.
export function bestFirst(placed, direction) {
  if (placed.length <= LINKED) return [placed, []];
  const sign = direction === "max" ? -1 : 1;
  const worth = ({ point }) => (point.y === null ? Infinity : sign * point.y);
  const sorted = [...placed].sort((one, other) => worth(one) - worth(other));
  return [sorted.slice(0, LINKED), sorted.slice(LINKED)];
}

// Places as lines without length, which round ends make dots of.
export const dotsOf = (placed) => placed.map(({ x, y }) => `M${x.toFixed(1)},${y.toFixed(1)}h0`).join("");

function Point({ point, x, y }) {
  const shape = point.y === null ? html`<path d=${`M${x - 4},${y - 4}l8,8m0,-8l-8,8`}/>` : html`<circle cx=${x} cy=${y} r="4"/>`;
  return html`<a class=${`point ${point.kind}`} href=${point.path ? href(point.path) : undefined}><title>${point.title}</title>${shape}</a>`;
}

export const titleOfPoint = (name, entries) => [name, ...entries.map(([key, value]) => `${escapeInvisible(key)} ${typeof value === "number" ? formatNumber(value) : escapeInvisible(wordOf(value))}`)].join("\n");

const [WIDE, HIGH] = [1000, 260];

// Parallel coordinates: every axis is an upright, every line crosses those on which it has a place.
// `axes`: [{name, values}], one value a line; `lines`: [{key, class, style, title}] of the same order.
export function ParallelPlot({ axes, lines, label }) {
  const scaled = axes.map(({ name, values }) => ({ name, values, scale: scaleOf(values, spansMagnitudes(values)) }));
  const x = (index) => 60 + (index * (WIDE - 120)) / (scaled.length - 1);
  const y = (at) => 30 + (1 - at) * (HIGH - 60);
  const corners = (at) => scaled.map((axis, index) => [x(index), axis.scale.place(axis.values[at])]).filter(([, place]) => place !== null);
  return html`<svg class="parallel" viewBox=${`0 0 ${WIDE} ${HIGH}`} role="img" aria-label=${label}>
    ${lines.map((line, at) => html`<polyline key=${line.key} class=${line.class} fill="none" style=${line.style} points=${corners(at).map(([across, place]) => `${across},${y(place)}`).join(" ")}><title>${line.title}</title></polyline>`)}
    ${scaled.map((axis, index) => html`<g key=${axis.name}><line class="upright" x1=${x(index)} x2=${x(index)} y1="30" y2=${HIGH - 30}/><text x=${x(index)} y="16" text-anchor="middle">${axis.name}</text>
      ${axis.scale.ticks.map(({ at, label: said }) => html`<text class="tick" x=${x(index) + 6} y=${y(at) - 4}>${escapeInvisible(said)}</text>`)}</g>`)}</svg>`;
}
