/** Work that may come much more often than it is worth doing: of what comes in a pause only the last is done. */

export class Pace {
  /** @param {number} pauseMs at least this long from one call to the next */
  constructor(pauseMs) {
    this._pauseMs = pauseMs;
    /** @type {(() => void)|null} */
    this._waiting = null;
    /** @type {number|undefined} */
    this._timer = undefined;
  }

  /**
   * Call at once, or when the pause is over unless something else takes its place.
   *
   * @param {() => void} call
   */
  run(call) {
    this._waiting = call;
    if (this._timer === undefined) this._step();
  }

  /** Call what still waits. */
  finish() {
    const call = this._waiting;
    this.drop();
    call?.();
  }

  /** Forget what still waits. */
  drop() {
    this._waiting = null;
    clearTimeout(this._timer);
    this._timer = undefined;
  }

  _step() {
    const call = this._waiting;
    this._waiting = null;
    call?.();
    // From the end of the call, so that one that takes long leaves the page as much time for all else.
    this._timer = call ? setTimeout(() => this._step(), this._pauseMs) : undefined;
  }
}
