/** Where a request stands: a line, a bar, and for screen readers only what is news. */

import { byId } from './dom.js';

export class Progress {
  /** @param {() => void} onCancel */
  constructor(onCancel) {
    this._root = byId('progress');
    this._stage = byId('stage');
    this._bar = /** @type {HTMLProgressElement} */ (byId('bar'));
    this._said = byId('said');
    byId('cancel').addEventListener('click', onCancel);
  }

  /**
   * @param {string} words
   * @param {number|null} share 0 to 1, null where nobody knows
   */
  show(words, share = null) {
    this._root.hidden = false;
    this._stage.textContent = words;
    if (share === null) this._bar.removeAttribute('value');
    else this._bar.value = share;
  }

  hide() {
    this._root.hidden = true;
  }

  /**
   * Say something to a screen reader.
   *
   * @param {string} words
   */
  say(words) {
    if (this._said.textContent !== words) this._said.textContent = words;
  }
}
