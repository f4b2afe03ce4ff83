/** Limits how often work is done: of the tasks that come during a pause, only the last one runs. */

export class Throttle {
  /** @param {number} pauseMs shortest time from the end of one task to the start of the next */
  constructor(pauseMs) {
    this._pauseMs = pauseMs;
    /** @type {(() => void)|null} */
    this._waiting = null;
    /** @type {number|undefined} */
    this._timer = undefined;
  }

  /**
   * Run a task now, or after the pause unless a later task replaces it.
   *
   * @param {() => void} task
   */
  run(task) {
    this._waiting = task;
    if (this._timer === undefined) this._step();
  }

  /** Run the waiting task now. */
  flush() {
    const task = this._waiting;
    this.cancel();
    task?.();
  }

  /** Forget the waiting task. */
  cancel() {
    this._waiting = null;
    clearTimeout(this._timer);
    this._timer = undefined;
  }

  _step() {
    const task = this._waiting;
    this._waiting = null;
    task?.();
    // The pause begins after the task, so that a long one leaves the page as much time for everything else.
    this._timer = task ? setTimeout(() => this._step(), this._pauseMs) : undefined;
  }
}
