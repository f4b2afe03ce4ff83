/** Paths through scores. Coordinates are pixels. */

/** @typedef {{x: number, y: number}} Point */

/**
 * A smooth path through all points. Between two points it stays between their heights: between two sampled frames the
 * curve must not show a score beyond both (monotone cubic interpolation, Fritsch and Carlson 1980).
 *
 * @param {Point[]} points in order of x
 */
export function smoothPath(points) {
  if (!points.length) return '';
  if (points.length === 1) return `M${at(points[0])}H${round(points[0].x)}`; // the round cap of a line shows it
  const slopes = tangents(points);
  let path = `M${at(points[0])}`;
  for (let i = 1; i < points.length; i += 1) {
    const from = points[i - 1];
    const to = points[i];
    const third = (to.x - from.x) / 3;
    const first = { x: from.x + third, y: from.y + slopes[i - 1] * third };
    const second = { x: to.x - third, y: to.y - slopes[i] * third };
    path += `C${at(first)} ${at(second)} ${at(to)}`;
  }
  return path;
}

/**
 * Level lines, and the steps that join a line to the next one if that begins where the first ends.
 *
 * @param {{x0: number, x1: number, y: number}[]} levels in order of x
 * @returns {{levels: string, joins: string}}
 */
export function stepPaths(levels) {
  const joined = levels.slice(1).flatMap((to, i) => (Math.abs(to.x0 - levels[i].x1) < 0.5 ? [[levels[i], to]] : []));
  return {
    levels: levels.map(({ x0, x1, y }) => `M${at({ x: x0, y })}H${round(x1)}`).join(''),
    joins: joined.map(([from, to]) => `M${at({ x: to.x0, y: from.y })}V${round(to.y)}`).join(''),
  };
}

/** @param {Point[]} points */
function tangents(points) {
  const chords = points.slice(1).map((to, i) => (to.y - points[i].y) / (to.x - points[i].x || 1));
  const slopes = points.map((_, i) => {
    if (i === 0) return chords[0] ?? 0;
    if (i === points.length - 1) return chords[i - 1];
    return chords[i - 1] * chords[i] <= 0 ? 0 : (chords[i - 1] + chords[i]) / 2;
  });
  chords.forEach((chord, i) => {
    if (chord === 0) {
      slopes[i] = 0;
      slopes[i + 1] = 0;
      return;
    }
    const length = Math.hypot(slopes[i] / chord, slopes[i + 1] / chord);
    if (length > 3) {
      slopes[i] *= 3 / length;
      slopes[i + 1] *= 3 / length;
    }
  });
  return slopes;
}

/** @param {Point} point */
function at({ x, y }) {
  return `${round(x)},${round(y)}`;
}

/** @param {number} value */
function round(value) {
  return Number(value.toFixed(2));
}
