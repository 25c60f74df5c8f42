// A surface over a plane from above: red where it is high and blue where it is low, level lines, and the path that was taken.
import { html, useEffect, useRef } from "./html.js";
import { figure } from "./format.js";

// Blue through white to red (after Moreland 2009): told apart without colour vision by the level lines and the key.
const STOPS = [[33, 76, 158], [92, 141, 204], [170, 199, 228], [241, 241, 238], [243, 185, 158], [219, 106, 85], [165, 21, 38]];
const LEVELS = 10;
const SIDE = 420; // px

export function colourAt(share) {
  const at = Math.min(Math.max(share, 0), 1) * (STOPS.length - 1);
  const index = Math.min(Math.floor(at), STOPS.length - 2);
  return STOPS[index].map((one, channel) => Math.round(one + (at - index) * (STOPS[index + 1][channel] - one)));
}

// A share of 0 to 1 for each value: by its logarithm above the least where the heights span much.
export function scaleOf(values) {
  const known = values.flat().filter((value) => value !== null);
  const [low, high] = [known.reduce((a, b) => Math.min(a, b), Infinity), known.reduce((a, b) => Math.max(a, b), -Infinity)];
  const middle = [...known].sort((a, b) => a - b)[Math.floor(known.length / 2)];
  const skewed = high - low > 12 * (middle - low) && middle > low;
  const unit = middle - low || 1;
  const share = skewed ? (value) => Math.log1p((value - low) / unit) / Math.log1p((high - low) / unit) : (value) => (high > low ? (value - low) / (high - low) : 0.5);
  const back = skewed ? (s) => low + unit * Math.expm1(s * Math.log1p((high - low) / unit)) : (s) => low + s * (high - low);
  return { low, high, share, back };
}

// The height at a place between the grid's, by its four neighbours; null where one of them is not finite.
export function between(values, row, column) {
  const [r, c] = [Math.min(Math.floor(row), values.length - 2), Math.min(Math.floor(column), values[0].length - 2)];
  const corners = [values[r][c], values[r][c + 1], values[r + 1][c], values[r + 1][c + 1]];
  if (corners.includes(null)) return null;
  const [v, u] = [row - r, column - c];
  return (1 - v) * ((1 - u) * corners[0] + u * corners[1]) + v * ((1 - u) * corners[2] + u * corners[3]);
}

function surface(context, side, values, scale) {
  const image = context.createImageData(side, side);
  const shares = new Float64Array(side * side).fill(-1);
  for (let row = 0; row < side; row += 1) {
    for (let column = 0; column < side; column += 1) {
      const value = between(values, ((side - 1 - row) / (side - 1)) * (values.length - 1), (column / (side - 1)) * (values[0].length - 1));
      const at = row * side + column;
      const colours = value === null ? [128, 128, 128] : colourAt(scale.share(value));
      if (value !== null) shares[at] = scale.share(value);
      image.data.set([...colours, 255], 4 * at);
    }
  }
  levels(image, shares, side);
  context.putImageData(image, 0, 0);
}

// A pixel lies on a level line where the one right of it or below it is of another level.
function levels(image, shares, side) {
  const level = (at) => Math.floor(shares[at] * LEVELS);
  for (let at = 0; at < side * (side - 1) - 1; at += 1) {
    if (shares[at] < 0 || (at + 1) % side === 0) continue;
    if (level(at) !== level(at + 1) || level(at) !== level(at + side)) for (let i = 0; i < 3; i += 1) image.data[4 * at + i] *= 0.72;
  }
}

function way(context, side, path, xs, ys) {
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
  const scale = scaleOf(values);
  useEffect(() => {
    const side = SIDE * Math.min(window.devicePixelRatio || 1, 2);
    canvas.current.width = side;
    canvas.current.height = side;
    const context = canvas.current.getContext("2d");
    surface(context, side, values, scale);
    way(context, side, path, x, y);
  }, [JSON.stringify([x, y, path]), values]);
  const key = [0, 0.25, 0.5, 0.75, 1];
  return html`<div class="contour"><canvas ref=${canvas} role="img" aria-label=${`${label}: ${figure(scale.low)} … ${figure(scale.high)}`}></canvas>
    <ul class="key">${[...key].reverse().map((share) => html`<li key=${share}><span style=${{ background: `rgb(${colourAt(share).join(",")})` }}></span>${figure(scale.back(share), 3)}</li>`)}</ul></div>`;
}
