/** The best labels with a bar for each model's score. */

import { colourClass } from './chart.js';
import { h } from './dom.js';
import { percent } from './format.js';

/** @import {RankedLabel} from './types.js' */

/**
 * @param {HTMLElement} root
 * @param {RankedLabel[]} ranking best first
 * @param {string[]} models one for each score
 */
export function showRanking(root, ranking, models) {
  // Rows that stay are changed, not replaced, so that their bars move.
  const rows = new Map([...root.querySelectorAll('li')].map((row) => [row.dataset.label, row]));
  const list = root.querySelector('ol') ?? h('ol', { class: 'ranking' });
  const items = ranking.map((ranked) => {
    const kept = rows.get(ranked.label);
    const row = kept?.querySelectorAll('.score').length === ranked.scores.length ? kept : makeRow(ranked, models);
    fillRow(row, ranked);
    return row;
  });
  list.replaceChildren(...items);
  if (list.parentElement !== root) root.replaceChildren(list);
}

/**
 * @param {RankedLabel} ranked
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
 * @param {RankedLabel} ranked
 */
function fillRow(row, { colour, scores }) {
  row.className = `ranked-label ${colourClass(colour)}`;
  row.querySelectorAll('.score').forEach((score, model) => {
    const fill = /** @type {HTMLElement} */ (score.querySelector('.fill'));
    const value = /** @type {HTMLElement} */ (score.querySelector('.value'));
    fill.style.width = `${(scores[model] ?? 0) * 100}%`;
    value.textContent = percent(scores[model]);
  });
}
