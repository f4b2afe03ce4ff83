/**
 * The sampled frames in a row, thinned out if they are many: one Tab stop, arrow keys inside it, and the frame nearest
 * to the time is marked.
 */

import { nearest } from './chart_data.js';
import { h } from './dom.js';
import { timestamp } from './format.js';

/** @import {Player} from './player.js' */
/** @import {SampledFrame} from './types.js' */

const MOST_FRAMES = 48; // a model that looks at 25 frames a second has many, and neighbours look alike

export class Filmstrip {
  /**
   * @param {HTMLElement} root
   * @param {Player} player
   */
  constructor(root, player) {
    this._root = root;
    this._player = player;
    /** @type {SampledFrame[]} */
    this._frames = [];
    /** @type {HTMLButtonElement[]} */
    this._buttons = [];
    this._current = -1;
    root.addEventListener('keydown', (event) => this._onKey(event));
    player.addEventListener('time', () => this._markCurrent());
  }

  /** @param {SampledFrame[]} frames */
  show(frames) {
    const every = Math.ceil(frames.length / MOST_FRAMES);
    this._frames = frames.filter((_, i) => i % every === 0);
    this._current = -1;
    this._buttons = this._frames.map(({ time, source }) => {
      const button = h(
        'button',
        { type: 'button', class: 'frame', 'aria-label': `Frame at ${timestamp(time)}`, tabindex: -1 },
        h('img', { src: source, alt: '', draggable: 'false' }),
        h('span', {}, timestamp(time)),
      );
      button.addEventListener('click', () => this._player.seek(time));
      return button;
    });
    const items = this._buttons.map((button) => h('li', {}, button));
    const list = h('ul', { class: 'filmstrip', 'aria-label': 'Sampled frames' }, ...items);
    list.addEventListener('load', () => this._scrollToCurrent(), true); // only now an image is as wide as it will be
    this._root.replaceChildren(...(frames.length ? [list] : []));
    this._markCurrent();
  }

  _markCurrent() {
    const current = nearest(this._frames.map((frame) => frame.time), this._player.time);
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
    this._scrollToCurrent();
  }

  _scrollToCurrent() {
    const button = this._buttons[this._current];
    if (!button) return;
    const list = button.closest('ul');
    const item = button.parentElement;
    // Not scrollIntoView: it would scroll the page too.
    if (list && item) list.scrollLeft = item.offsetLeft - (list.clientWidth - item.offsetWidth) / 2;
  }

  /** @param {KeyboardEvent} event */
  _onKey(event) {
    const last = this._buttons.length - 1;
    const from = this._buttons.findIndex((button) => button === document.activeElement);
    const to = { ArrowRight: from + 1, ArrowLeft: from - 1, Home: 0, End: last }[event.key];
    if (from < 0 || to === undefined) return;
    event.preventDefault();
    const index = Math.min(Math.max(to, 0), last);
    this._player.seek(this._frames[index].time);
    this._buttons[index].focus({ preventScroll: true });
  }
}
