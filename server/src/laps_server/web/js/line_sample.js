/** A piece of a curve, as legends show it. */

import { svg } from './dom.js';

/** @param {string} style classes of a label's colour and of a model's line */
export function lineSample(style) {
  return svg(
    'svg',
    { class: 'sample', width: 22, height: 10, viewBox: '0 0 22 10', 'aria-hidden': true },
    svg('g', { class: `series ${style}` }, svg('path', { class: 'curve', d: 'M1,5h20' })),
  );
}
