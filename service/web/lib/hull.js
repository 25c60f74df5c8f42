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
