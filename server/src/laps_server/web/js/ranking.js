/** The best labels with a bar for each model's score; labels that are one model's own are below its name. */

import { colourClass } from './chart.js';
import { h } from './dom.js';
import { percent } from './format.js';
import { lineSample } from './line_sample.js';
import { groupsOf } from './ranked_labels.js';

/** @import {RankedLabel} from './types.js' */

/**
 * @param {HTMLElement} root
 * @param {RankedLabel[]} ranking best first
 * @param {string[]} models
 */
export function showRanking(root, ranking, models) {
  // Rows that stay are changed, not replaced, so that their bars move.
  const rows = new Map([...root.querySelectorAll('li')].map((row) => [row.dataset.key, row]));
  const lists = [...root.querySelectorAll('ol')];
  const groups = groupsOf(ranking);
  const rowOf = (/** @type {RankedLabel} */ ranked) => {
    const kept = rows.get(ranked.key);
    const row = kept?.querySelectorAll('.score').length === ranked.scores.length ? kept : makeRow(ranked, models);
    fillRow(row, ranked);
    return row;
  };
  const parts = groups.flatMap((group, i) => {
    const list = lists[i] ?? h('ol', { class: 'ranking' });
    list.replaceChildren(...group.ranking.map(rowOf));
    if (group.model === null) return [list];
    return [h('h3', { class: 'model' }, lineSample(`plain m${group.model}`), models[group.model]), list];
  });
  const stays = parts.length === 1 && root.childElementCount === 1 && parts[0].parentElement === root;
  if (!stays) root.replaceChildren(...parts);
}

/**
 * @param {RankedLabel} ranked
 * @param {string[]} models
 */
function makeRow({ key, label, model: own, scores }, models) {
  const row = h(
    'li',
    {},
    h('span', { class: 'name' }, label),
    ...scores.map((_, model) =>
      h(
        'span',
        { class: `score m${own ?? model}` },
        h('span', { class: 'track', 'aria-hidden': 'true' }, h('span', { class: 'fill' })),
        scores.length > 1 && h('span', { class: 'visually-hidden' }, `${models[model]}: `),
        h('span', { class: 'value' }),
      ),
    ),
  );
  row.dataset.key = key;
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
