/** A switch for each label's curves, with the score at the player's time, and a sample of each model's line. */

import { colourClass } from './chart.js';
import { scoreAt } from './chart_data.js';
import { h, svg } from './dom.js';
import { percent } from './format.js';

/** @import {Player} from './player.js' */
/** @import {ChartData} from './types.js' */

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
    /** @type {Set<string>} labels without curves */
    this.hidden = new Set();
    /** @type {string|null} the label that is pointed at */
    this.highlighted = null;
    player.addEventListener('time', () => this._showScores());
  }

  /**
   * @param {ChartData|null} data
   */
  show(data) {
    this._data = data;
    const focused = this._root.contains(document.activeElement) ? document.activeElement?.getAttribute('data-label') : null;
    const switches = (data?.ranking ?? []).map(({ label, colour }) => this._switch(label, colour));
    const models = (data && data.models.length > 1 ? data.models : []).map((model, i) =>
      h('span', { class: 'model' }, sample(`plain m${i}`), model),
    );
    this._root.replaceChildren(...models, ...switches);
    switches.find((each) => each.dataset.label === focused)?.focus();
    this._showScores();
  }

  /** Show all curves again. */
  reset() {
    this.hidden = new Set();
  }

  /**
   * @param {string} label
   * @param {number} colour
   */
  _switch(label, colour) {
    const button = h(
      'button',
      { type: 'button', class: `chip ${colourClass(colour)}`, 'aria-pressed': String(!this.hidden.has(label)) },
      sample(`${colourClass(colour)} m0`),
      h('span', { class: 'chip-name' }, label),
      h('span', { class: 'chip-score' }),
    );
    button.dataset.label = label;
    button.addEventListener('click', () => {
      if (!this.hidden.delete(label)) this.hidden.add(label);
      button.setAttribute('aria-pressed', String(!this.hidden.has(label)));
      this.dispatchEvent(new Event('change'));
    });
    const highlight = (/** @type {string|null} */ to) => {
      this.highlighted = to;
      this.dispatchEvent(new Event('highlight'));
    };
    button.addEventListener('pointerenter', () => highlight(label));
    button.addEventListener('pointerleave', () => highlight(null));
    button.addEventListener('focus', () => highlight(label));
    button.addEventListener('blur', () => highlight(null));
    return button;
  }

  _showScores() {
    if (!this._data) return;
    for (const button of this._root.querySelectorAll('button')) {
      const series = this._data.series.filter((each) => each.label === button.dataset.label);
      const text = series.map((each) => percent(scoreAt(each, this._player.time))).join(' · ');
      const score = button.querySelector('.chip-score');
      if (score && score.textContent !== text) score.textContent = text;
    }
  }
}

/**
 * A piece of a curve.
 *
 * @param {string} style
 */
function sample(style) {
  return svg(
    'svg',
    { class: 'sample', width: 22, height: 10, viewBox: '0 0 22 10', 'aria-hidden': true },
    svg('g', { class: `series ${style}` }, svg('path', { class: 'curve', d: 'M1,5h20' })),
  );
}
