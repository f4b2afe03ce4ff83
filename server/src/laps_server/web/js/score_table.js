/** The numbers behind the curves, for those who cannot see the curves or want exact values. */

import { h } from './dom.js';
import { percent, timestamp } from './format.js';

/** @import {ChartData} from './types.js' */

/**
 * @param {HTMLDetailsElement} root filled when it is opened
 * @param {ChartData|null} data
 */
export function showScoreTable(root, data) {
  const body = root.lastElementChild;
  if (!body) throw new Error('the table has no place for its rows');
  body.replaceChildren();
  root.hidden = !data?.series.length;
  root.ontoggle = () => {
    if (root.open && data && !body.childElementCount) body.replaceChildren(makeTable(data));
  };
  if (root.open && data) body.replaceChildren(makeTable(data));
}

/** @param {ChartData} data */
function makeTable(data) {
  const several = data.models.length > 1;
  const heads = data.series.map(({ label, model }) => (several ? `${label} (${data.models[model]})` : label));
  /** @type {Map<number, string[]>} */
  const rows = new Map();
  data.series.forEach(({ samples, spans }, column) => {
    const scores = samples.length ? samples : spans.map(({ start, score }) => ({ time: start, score }));
    for (const { time, score } of scores) {
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
        h('tr', {}, h('th', { scope: 'row' }, timestamp(time)), ...cells.map((cell) => h('td', {}, cell))),
      ),
    ),
  );
}
