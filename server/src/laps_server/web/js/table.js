/** The numbers behind the curves, for those who do not see them and those who want them exactly. */

import { h } from './dom.js';
import { percent, place } from './format.js';

/** @import {Story} from './types.js' */

/**
 * @param {HTMLDetailsElement} root filled when it is opened
 * @param {Story|null} story
 */
export function showTable(root, story) {
  const body = /** @type {HTMLElement} */ (root.lastElementChild);
  body.replaceChildren();
  root.hidden = !story?.series.length;
  root.ontoggle = () => {
    if (root.open && story && !body.childElementCount) body.replaceChildren(makeTable(story));
  };
  if (root.open && story) body.replaceChildren(makeTable(story));
}

/** @param {Story} story */
function makeTable(story) {
  const several = story.models.length > 1;
  const heads = story.series.map(({ label, model }) => (several ? `${label} (${story.models[model]})` : label));
  /** @type {Map<number, string[]>} */
  const rows = new Map();
  story.series.forEach((series, column) => {
    const values = series.points.length
      ? series.points.map((point) => ({ time: point.t, score: point.score }))
      : series.spans.map((span) => ({ time: span.start, score: span.score }));
    for (const { time, score } of values) {
      const row = rows.get(time) ?? heads.map(() => '');
      row[column] = percent(score);
      rows.set(time, row);
    }
  });
  const sorted = [...rows].sort((a, b) => a[0] - b[0]);
  return h(
    'table',
    {},
    h('thead', {}, h('tr', {}, ...['time', ...heads].map((head) => h('th', { scope: 'col' }, head)))),
    h(
      'tbody',
      {},
      ...sorted.map(([time, cells]) =>
        h('tr', {}, h('th', { scope: 'row' }, place(time)), ...cells.map((cell) => h('td', {}, cell))),
      ),
    ),
  );
}
