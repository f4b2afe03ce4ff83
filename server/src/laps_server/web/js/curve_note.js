/** Says what a curve has one score for: models differ in it. */

/** @import {ChartData, RowKind} from './types.js' */

/** @type {Record<RowKind, string>} */
const NOTES = {
  frame: 'One score for each sampled frame.',
  step: 'One score for each step of a few frames, drawn at its middle.',
  clip: 'One score for each clip, drawn at its middle.',
  segment: 'One score for each segment.',
};

/**
 * @param {ChartData} data
 * @returns {string} with the models' names where they differ
 */
export function curveNote({ models, series }) {
  const notes = models.map((_, i) => {
    const curve = series.find(({ model }) => model === i);
    return curve ? NOTES[curve.kind] : '';
  });
  if (new Set(notes).size === 1) return notes[0];
  return notes.map((note, i) => note && `${models[i]}: ${note}`).filter(Boolean).join(' ');
}
