/** The best labels with a bar for each model's score. */

import { colourClass } from './chart.js';
import { h } from './dom.js';
import { percent } from './format.js';

/** @import {Rank} from './types.js' */

/**
 * @param {HTMLElement} root
 * @param {Rank[]} ranking best first
 * @param {string[]} models one for each score
 */
export function showRanking(root, ranking, models) {
  // Rows that stay are changed and not made anew, so that their bars move.
  const rows = new Map([...root.querySelectorAll('li')].map((row) => [row.dataset.label, row]));
  const list = root.querySelector('ol') ?? h('ol', { class: 'ranking' });
  const items = ranking.map((rank) => {
    const kept = rows.get(rank.label);
    const row = kept?.querySelectorAll('.score').length === rank.scores.length ? kept : makeRow(rank, models);
    fillRow(row, rank);
    return row;
  });
  list.replaceChildren(...items);
  if (list.parentElement !== root) root.replaceChildren(list);
}

/**
 * @param {Rank} rank
 * @param {string[]} models
 */
function makeRow({ label, scores }, models) {
  const row = h(
    'li',
    {},
    h('span', { class: 'name' }, label),
    ...scores.map((_, model) =>
      h(
        'span',
        { class: `score m${model}` },
        h('span', { class: 'track', 'aria-hidden': 'true' }, h('span', { class: 'fill' })),
        scores.length > 1 && h('span', { class: 'visually-hidden' }, `${models[model]}: `),
        h('span', { class: 'value' }),
      ),
    ),
  );
  row.dataset.label = label;
  return row;
}

/**
 * @param {HTMLLIElement} row
 * @param {Rank} rank
 */
function fillRow(row, { colour, scores }) {
  row.className = `rank ${colourClass(colour)}`;
  row.querySelectorAll('.score').forEach((score, model) => {
    const fill = /** @type {HTMLElement} */ (score.querySelector('.fill'));
    const value = /** @type {HTMLElement} */ (score.querySelector('.value'));
    fill.style.width = `${(scores[model] ?? 0) * 100}%`;
    value.textContent = percent(scores[model]);
  });
}
