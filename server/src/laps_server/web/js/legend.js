/** One switch for each label's curves, with its score at the time; and which model is solid, which dashed. */

import { colourClass } from './chart.js';
import { h, svg } from './dom.js';
import { percent } from './format.js';
import { scoreAt } from './story.js';

/** @import {Player} from './player.js' */
/** @import {Story} from './types.js' */

export class Legend extends EventTarget {
  /**
   * Events: `change` when a switch was turned, `point` when a label is pointed at or no longer is.
   *
   * @param {HTMLElement} root
   * @param {Player} player
   */
  constructor(root, player) {
    super();
    this._root = root;
    this._player = player;
    /** @type {Story|null} */
    this._story = null;
    /** Labels without curves. */
    this.hidden = new Set();
    /** @type {string|null} the label that is pointed at */
    this.pointed = null;
    player.addEventListener('time', () => this._fill());
  }

  /**
   * @param {Story|null} story
   */
  show(story) {
    this._story = story;
    const focused = this._root.contains(document.activeElement) ? document.activeElement?.getAttribute('data-label') : null;
    const switches = (story?.ranking ?? []).map(({ label, colour }) => this._switch(label, colour));
    const models = (story && story.models.length > 1 ? story.models : []).map((model, i) =>
      h('span', { class: 'model' }, sample(`plain m${i}`), model),
    );
    this._root.replaceChildren(...models, ...switches);
    switches.find((each) => each.dataset.label === focused)?.focus();
    this._fill();
  }

  /** All curves again. */
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
      h('span', { class: 'chip-now' }),
    );
    button.dataset.label = label;
    button.addEventListener('click', () => {
      if (!this.hidden.delete(label)) this.hidden.add(label);
      button.setAttribute('aria-pressed', String(!this.hidden.has(label)));
      this.dispatchEvent(new Event('change'));
    });
    const point = (/** @type {string|null} */ to) => {
      this.pointed = to;
      this.dispatchEvent(new Event('point'));
    };
    button.addEventListener('pointerenter', () => point(label));
    button.addEventListener('pointerleave', () => point(null));
    button.addEventListener('focus', () => point(label));
    button.addEventListener('blur', () => point(null));
    return button;
  }

  _fill() {
    if (!this._story) return;
    for (const button of this._root.querySelectorAll('button')) {
      const series = this._story.series.filter((each) => each.label === button.dataset.label);
      const words = series.map((each) => percent(scoreAt(each, this._player.time))).join(' · ');
      const now = /** @type {HTMLElement} */ (button.querySelector('.chip-now'));
      if (now.textContent !== words) now.textContent = words;
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
