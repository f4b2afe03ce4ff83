/** Progress of a request: text and a bar, and announcements for screen readers. */

import { byId } from './dom.js';

export class Progress {
  /** @param {() => void} onCancel */
  constructor(onCancel) {
    this._root = byId('progress');
    this._stage = byId('stage');
    this._bar = byId('bar', HTMLProgressElement);
    this._announcement = byId('announcement');
    byId('cancel').addEventListener('click', onCancel);
  }

  /**
   * @param {string} text
   * @param {number|null} share 0 to 1, null if unknown
   */
  show(text, share = null) {
    this._root.hidden = false;
    this._stage.textContent = text;
    if (share === null) this._bar.removeAttribute('value');
    else this._bar.value = share;
  }

  hide() {
    this._root.hidden = true;
  }

  /**
   * Have a screen reader say something.
   *
   * @param {string} text
   */
  announce(text) {
    if (this._announcement.textContent !== text) this._announcement.textContent = text;
  }
}
