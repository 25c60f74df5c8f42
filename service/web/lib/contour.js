// A surface seen from above: red where it is high, blue where it is low, with level lines and the path of the training.
import { html, useEffect, useRef } from "./html.js";
import { formatNumber } from "./format.js";

// Blue through white to red (after Moreland 2009): the level lines and the key help without colour vision.
const COLOUR_STOPS = [[33, 76, 158], [92, 141, 204], [170, 199, 228], [241, 241, 238], [243, 185, 158], [219, 106, 85], [165, 21, 38]];
const LEVEL_COUNT = 10;
const SIDE_PX = 420;

export function colourAt(share) {
  const at = Math.min(Math.max(share, 0), 1) * (COLOUR_STOPS.length - 1);
  const index = Math.min(Math.floor(at), COLOUR_STOPS.length - 2);
  return COLOUR_STOPS[index].map((one, channel) => Math.round(one + (at - index) * (COLOUR_STOPS[index + 1][channel] - one)));
}

// A share of 0 to 1 for each value: by its logarithm above the least where the heights span much.
export function heightScale(values) {
  const finite = values.flat().filter((value) => value !== null);
  const [low, high] = [finite.reduce((a, b) => Math.min(a, b), Infinity), finite.reduce((a, b) => Math.max(a, b), -Infinity)];
  const middle = [...finite].sort((a, b) => a - b)[Math.floor(finite.length / 2)];
  const skewed = high - low > 12 * (middle - low) && middle > low;
  const unit = middle - low || 1;
  const shareOf = skewed ? (value) => Math.log1p((value - low) / unit) / Math.log1p((high - low) / unit) : (value) => (high > low ? (value - low) / (high - low) : 0.5);
  const heightAt = skewed ? (s) => low + unit * Math.expm1(s * Math.log1p((high - low) / unit)) : (s) => low + s * (high - low);
  return { low, high, shareOf, heightAt };
}

// Bilinear interpolation of the grid; null where one of the four neighbours is not finite.
export function interpolate(values, row, column) {
  const [r, c] = [Math.min(Math.floor(row), values.length - 2), Math.min(Math.floor(column), values[0].length - 2)];
  const corners = [values[r][c], values[r][c + 1], values[r + 1][c], values[r + 1][c + 1]];
  if (corners.includes(null)) return null;
  const [v, u] = [row - r, column - c];
  return (1 - v) * ((1 - u) * corners[0] + u * corners[1]) + v * ((1 - u) * corners[2] + u * corners[3]);
}

function drawSurface(context, side, values, scale) {
  const image = context.createImageData(side, side);
  const shares = new Float64Array(side * side).fill(-1);
  for (let row = 0; row < side; row += 1) {
    for (let column = 0; column < side; column += 1) {
      const value = interpolate(values, ((side - 1 - row) / (side - 1)) * (values.length - 1), (column / (side - 1)) * (values[0].length - 1));
      const at = row * side + column;
      const colours = value === null ? [128, 128, 128] : colourAt(scale.shareOf(value));
      if (value !== null) shares[at] = scale.shareOf(value);
      image.data.set([...colours, 255], 4 * at);
    }
  }
  drawLevelLines(image, shares, side);
  context.putImageData(image, 0, 0);
}

// A pixel is on a level line if its right or lower neighbour has another level.
function drawLevelLines(image, shares, side) {
  const level = (at) => Math.floor(shares[at] * LEVEL_COUNT);
  for (let at = 0; at < side * (side - 1) - 1; at += 1) {
    if (shares[at] < 0 || (at + 1) % side === 0) continue;
    if (level(at) !== level(at + 1) || level(at) !== level(at + side)) for (let i = 0; i < 3; i += 1) image.data[4 * at + i] *= 0.72;
  }
}

function drawPath(context, side, path, xs, ys) {
  const x = (value) => ((value - xs[0]) / (xs[xs.length - 1] - xs[0])) * side;
  const y = (value) => side - ((value - ys[0]) / (ys[ys.length - 1] - ys[0])) * side;
  context.lineWidth = side / 220;
  context.strokeStyle = "#111";
  context.beginPath();
  path.forEach((place, index) => context[index ? "lineTo" : "moveTo"](x(place.x), y(place.y)));
  context.stroke();
  path.forEach((place, index) => {
    const end = index === path.length - 1;
    context.beginPath();
    context.arc(x(place.x), y(place.y), end ? side / 60 : side / 130, 0, 2 * Math.PI);
    context.fillStyle = end ? "#ffd400" : "#fff";
    context.fill();
    context.stroke();
  });
}

// values[row][column] at y[row] and x[column]; path: [{x, y, step?}], its last place is the newest.
export function Contour({ x, y, values, path = [], label }) {
  const canvas = useRef(null);
  const scale = heightScale(values);
  useEffect(() => {
    const side = SIDE_PX * Math.min(window.devicePixelRatio || 1, 2);
    canvas.current.width = side;
    canvas.current.height = side;
    const context = canvas.current.getContext("2d");
    drawSurface(context, side, values, scale);
    drawPath(context, side, path, x, y);
  }, [JSON.stringify([x, y, path]), values]);
  const key = [0, 0.25, 0.5, 0.75, 1];
  return html`<div class="contour"><canvas ref=${canvas} role="img" aria-label=${`${label}: ${formatNumber(scale.low)} … ${formatNumber(scale.high)}`}></canvas>
    <ul class="key">${[...key].reverse().map((share) => html`<li key=${share}><span style=${{ background: `rgb(${colourAt(share).join(",")})` }}></span>${formatNumber(scale.heightAt(share), 3)}</li>`)}</ul></div>`;
}

// Values between points of a plane, and nothing outside of them: a surface is drawn only where there is something to go by.
// The convex hull of points [[x, y]], counterclockwise (Andrew 1979); fewer than three: they lie on a line.
export function convexHull(points) {
  const sorted = [...points].sort((one, other) => one[0] - other[0] || one[1] - other[1]);
  const half = (list) => {
    const found = [];
    for (const point of list) {
      while (found.length > 1 && turn(found.at(-2), found.at(-1), point) <= 0) found.pop();
      found.push(point);
    }
    return found.slice(0, -1);
  };
  return [...half(sorted), ...half(sorted.reverse())];
}

// Twice the area of a triangle: positive where c lies to the left of the way from a to b.
const turn = (a, b, c) => (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);

export const isWithin = (hull, point) => hull.length > 2 && hull.every((corner, at) => turn(corner, hull[(at + 1) % hull.length], point) >= -1e-12);

// The mean of all values, weighted by distance^-4 (Shepard 1968): exact at a point, and near it its own.
export function weighted(points, values, [x, y]) {
  let [sum, weights] = [0, 0];
  for (let at = 0; at < points.length; at += 1) {
    const square = (points[at][0] - x) ** 2 + (points[at][1] - y) ** 2;
    if (square === 0) return values[at];
    sum += values[at] / square ** 2;
    weights += 1 / square ** 2;
  }
  return sum / weights;
}

// rows x columns of values at the middles of cells of the unit square, row 0 at the bottom; null outside of the hull.
export function surface(points, values, rows, columns) {
  const hull = convexHull(points);
  return Array.from({ length: rows }, (_, row) => Array.from({ length: columns }, (__, column) => {
    const place = [(column + 0.5) / columns, (row + 0.5) / rows];
    return isWithin(hull, place) ? weighted(points, values, place) : null;
  }));
}
