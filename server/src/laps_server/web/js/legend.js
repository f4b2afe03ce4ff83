/**
 * A switch for each label's curves, with the score at the player's time, and a sample of each model's line. Labels that
 * are one model's own come behind its sample.
 */

import { colourClass } from './chart.js';
import { scoreAt } from './chart_data.js';
import { h } from './dom.js';
import { percent } from './format.js';
import { lineSample } from './line_sample.js';
import { ofModel } from './ranked_labels.js';

/** @import {Player} from './player.js' */
/** @import {ChartData, RankedLabel} from './types.js' */

export class Legend extends EventTarget {
  /**
   * Events: `change` after a switch was used, `highlight` after another label, or none, is pointed at.
   *
   * @param {HTMLElement} root
   * @param {Player} player
   */
  constructor(root, player) {
    super();
    this._root = root;
    this._player = player;
    /** @type {ChartData|null} */
    this._data = null;
    /** @type {Set<string>} keys of the labels without curves */
    this.hidden = new Set();
    /** @type {string|null} the key of the label that is pointed at */
    this.highlighted = null;
    player.addEventListener('time', () => this._showScores());
  }

  /**
   * @param {ChartData|null} data
   */
  show(data) {
    this._data = data;
    const within = this._root.contains(document.activeElement);
    const focused = within ? document.activeElement?.getAttribute('data-key') : null;
    const ranking = data?.ranking ?? [];
    const models = (data && data.models.length > 1 ? data.models : []).map((model, i) =>
      h('span', { class: 'model' }, lineSample(`plain m${i}`), model),
    );
    const own = models.length > 0 && ranking.some(({ model }) => model !== null);
    const parts = own
      ? models.map((model, i) => h('div', { class: 'legend' }, model, ...this._switches(ofModel(ranking, i))))
      : [...models, ...this._switches(ranking)];
    this._root.replaceChildren(...parts);
    for (const button of this._root.querySelectorAll('button')) if (button.dataset.key === focused) button.focus();
    this._showScores();
  }

  /** Show all curves again. */
  reset() {
    this.hidden = new Set();
  }

  /** @param {RankedLabel[]} ranking */
  _switches(ranking) {
    return ranking.map((ranked) => this._switch(ranked));
  }

  /** @param {RankedLabel} ranked */
  _switch({ key, label, model, colour }) {
    const button = h(
      'button',
      { type: 'button', class: `chip ${colourClass(colour)}`, 'aria-pressed': String(!this.hidden.has(key)) },
      lineSample(`${colourClass(colour)} m${model ?? 0}`),
      h('span', { class: 'chip-name' }, label),
      h('span', { class: 'chip-score' }),
    );
    button.dataset.key = key;
    button.addEventListener('click', () => {
      if (!this.hidden.delete(key)) this.hidden.add(key);
      button.setAttribute('aria-pressed', String(!this.hidden.has(key)));
      this.dispatchEvent(new Event('change'));
    });
    const highlight = (/** @type {string|null} */ to) => {
      this.highlighted = to;
      this.dispatchEvent(new Event('highlight'));
    };
    button.addEventListener('pointerenter', () => highlight(key));
    button.addEventListener('pointerleave', () => highlight(null));
    button.addEventListener('focus', () => highlight(key));
    button.addEventListener('blur', () => highlight(null));
    return button;
  }

  _showScores() {
    if (!this._data) return;
    for (const button of this._root.querySelectorAll('button')) {
      const series = this._data.series.filter((each) => each.key === button.dataset.key);
      const text = series.map((each) => percent(scoreAt(each, this._player.time))).join(' · ');
      const score = button.querySelector('.chip-score');
      if (score && score.textContent !== text) score.textContent = text;
    }
  }
}
