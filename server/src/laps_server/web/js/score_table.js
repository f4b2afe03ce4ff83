/** The numbers behind the curves, for those who cannot see the curves or want exact values. */

import { h } from './dom.js';
import { percent, stretch, timestamp } from './format.js';

/** @import {ChartData, Series} from './types.js' */

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
  /** @type {Map<string, {from: number, to: number, name: string, cells: string[]}>} */
  const rows = new Map();
  data.series.forEach((series, column) => {
    for (const { from, to, name, score } of rowsOf(series)) {
      const row = rows.get(`${from} ${to}`) ?? { from, to, name, cells: heads.map(() => '') };
      row.cells[column] = percent(score);
      rows.set(`${from} ${to}`, row);
    }
  });
  const sorted = [...rows.values()].sort((a, b) => a.from - b.from || a.to - b.to);
  const kinds = new Set(data.series.map(({ kind }) => (kind === 'frame' ? 'time' : kind)));
  const rowHead = kinds.size === 1 ? [...kinds][0] : 'time';
  return h(
    'table',
    {},
    h('thead', {}, h('tr', {}, ...[rowHead, ...heads].map((head) => h('th', { scope: 'col' }, head)))),
    h(
      'tbody',
      {},
      ...sorted.map(({ name, cells }) =>
        h('tr', {}, h('th', { scope: 'row' }, name), ...cells.map((cell) => h('td', {}, cell))),
      ),
    ),
  );
}

/**
 * A frame has its time, anything longer says from when to when it lasts.
 *
 * @param {Series} series
 */
function rowsOf({ kind, samples, spans }) {
  const rows = [...samples, ...spans.map(({ start, end, score }) => ({ from: start, to: end, score }))];
  return rows.map((row) => ({ ...row, name: kind === 'frame' ? timestamp(row.from) : stretch(row.from, row.to) }));
}
