/** The sampled frames as a strip: one stop of the Tab key, arrow keys inside it, the nearest one to the time marked. */

import { h } from './dom.js';
import { place } from './format.js';
import { nearest } from './story.js';

/** @import {Player} from './player.js' */
/** @import {Still} from './types.js' */

export class Strip {
  /**
   * @param {HTMLElement} root
   * @param {Player} player
   */
  constructor(root, player) {
    this._root = root;
    this._player = player;
    /** @type {Still[]} */
    this._stills = [];
    /** @type {HTMLButtonElement[]} */
    this._buttons = [];
    this._current = -1;
    root.addEventListener('keydown', (event) => this._onKey(event));
    player.addEventListener('time', () => this._mark());
  }

  /** @param {Still[]} stills */
  show(stills) {
    this._stills = stills;
    this._current = -1;
    this._buttons = stills.map(({ time, source }) => {
      const button = h(
        'button',
        { type: 'button', class: 'frame', 'aria-label': `Frame at ${place(time)}`, tabindex: -1 },
        h('img', { src: source, alt: '', loading: 'lazy', draggable: 'false' }),
        h('span', {}, place(time)),
      );
      button.addEventListener('click', () => this._player.seek(time));
      return button;
    });
    const list = h('ul', { class: 'strip', 'aria-label': 'Sampled frames' }, ...this._buttons.map((each) => h('li', {}, each)));
    this._root.replaceChildren(...(stills.length ? [list] : []));
    this._mark();
  }

  _mark() {
    const current = nearest(this._stills.map((still) => still.time), this._player.time);
    if (current === this._current || current < 0) return;
    const before = this._buttons[this._current];
    if (before) {
      before.removeAttribute('aria-current');
      before.tabIndex = -1;
    }
    this._current = current;
    const button = this._buttons[current];
    button.setAttribute('aria-current', 'true');
    button.tabIndex = 0;
    const list = button.closest('ul');
    const item = button.parentElement;
    // Not scrollIntoView: it would scroll the page too.
    if (list && item) list.scrollLeft = item.offsetLeft - (list.clientWidth - item.offsetWidth) / 2;
  }

  /** @param {KeyboardEvent} event */
  _onKey(event) {
    const last = this._buttons.length - 1;
    const from = this._buttons.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
    const to = { ArrowRight: from + 1, ArrowLeft: from - 1, Home: 0, End: last }[event.key];
    if (from < 0 || to === undefined) return;
    event.preventDefault();
    const index = Math.min(Math.max(to, 0), last);
    this._player.seek(this._stills[index].time);
    this._buttons[index].focus({ preventScroll: true });
  }
}
