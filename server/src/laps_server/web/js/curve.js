/** Paths through scores. Coordinates are pixels. */

/** @typedef {{x: number, y: number}} Place */

/**
 * A smooth path through all places that never leaves the range of two neighbours: between two sampled frames a curve
 * must not show a score that neither has (monotone cubic interpolation, Fritsch and Carlson 1980).
 *
 * @param {Place[]} places in order of x
 */
export function smoothPath(places) {
  if (!places.length) return '';
  const slopes = tangents(places);
  let path = `M${at(places[0])}`;
  for (let i = 1; i < places.length; i += 1) {
    const from = places[i - 1];
    const to = places[i];
    const third = (to.x - from.x) / 3;
    const first = { x: from.x + third, y: from.y + slopes[i - 1] * third };
    const second = { x: to.x - third, y: to.y - slopes[i] * third };
    path += `C${at(first)} ${at(second)} ${at(to)}`;
  }
  return path;
}

/**
 * Level lines, joined where one ends as the next begins.
 *
 * @param {{x0: number, x1: number, y: number}[]} levels in order of x
 */
export function stepPath(levels) {
  let path = '';
  let end = NaN;
  for (const { x0, x1, y } of levels) {
    path += Math.abs(x0 - end) < 0.5 ? `V${round(y)}H${round(x1)}` : `M${at({ x: x0, y })}H${round(x1)}`;
    end = x1;
  }
  return path;
}

/** @param {Place[]} places */
function tangents(places) {
  const chords = places.slice(1).map((to, i) => (to.y - places[i].y) / (to.x - places[i].x || 1));
  const slopes = places.map((_, i) => {
    if (i === 0) return chords[0] ?? 0;
    if (i === places.length - 1) return chords[i - 1];
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

/** @param {Place} place */
function at({ x, y }) {
  return `${round(x)},${round(y)}`;
}

/** @param {number} value */
function round(value) {
  return Number(value.toFixed(2));
}
