/** Arithmetic of axes: pure functions. */

/** @typedef {{(value: number): number, invert(position: number): number}} Scale */

/**
 * A straight line from `domain` to `range`, and back.
 *
 * @param {[number, number]} domain
 * @param {[number, number]} range
 * @returns {Scale}
 */
export function linear([d0, d1], [r0, r1]) {
  const slope = (r1 - r0) / (d1 - d0 || 1);
  const scale = (/** @type {number} */ value) => r0 + (value - d0) * slope;
  return Object.assign(scale, { invert: (/** @type {number} */ position) => d0 + (position - r0) / (slope || 1) });
}

/**
 * Where an axis of scores ends: at 1, or lower if all scores are so small that their curves would lie on the time axis.
 *
 * @param {number} highest
 */
export function scoreTop(highest) {
  if (highest > 0.4 || highest <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(highest));
  const step = [1, 2, 4, 10].find((each) => highest <= each * power) ?? 10;
  return step * power;
}

/** Round distances between marks, in seconds. */
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];

/**
 * Marks of a time axis.
 *
 * @param {number} duration seconds
 * @param {number} most how many fit
 * @returns {{step: number, ticks: number[]}}
 */
export function timeTicks(duration, most) {
  const countOf = (/** @type {number} */ step) => Math.floor(duration / step + 1e-9);
  const step = STEPS.find((each) => countOf(each) <= most) ?? STEPS[STEPS.length - 1];
  const count = countOf(step);
  return { step, ticks: Array.from({ length: count + 1 }, (_, i) => i * step) };
}
