/**
 * The chart on the page, with a playhead and a slider's behaviour: a click, a drag and keys seek in the video. To a
 * screen reader it is a slider that says the scores at its position.
 */

import { drawChart } from './chart.js';
import { scoreAt } from './chart_data.js';
import { svg } from './dom.js';
import { percent, timestamp } from './format.js';

/** @import {Chart} from './chart.js' */
/** @import {Player} from './player.js' */
/** @import {ChartData} from './types.js' */

const HEIGHT = 300;
const LOW_HEIGHT = 230;
const NARROW = 560;
const PAGE = 0.1; // of the video, for Page Up and Page Down
const SPOKEN_LABELS = 2;
const SEEK_SLACK_S = 0.02; // a player may land this far beside the time that it was sent to

export class SeekableChart {
  /**
   * @param {HTMLElement} root
   * @param {Player} player moved by the slider; the playhead shows its time
   */
  constructor(root, player) {
    this._root = root;
    this._player = player;
    /** @type {ChartData|null} */
    this._data = null;
    /** @type {Set<string>} */
    this._hidden = new Set();
    /** @type {Chart|null} */
    this._chart = null;
    this._playhead = svg('g', { class: 'playhead' });

    root.setAttribute('role', 'slider');
    root.setAttribute('aria-label', 'Position in the video');
    root.setAttribute('aria-valuemin', '0');
    root.tabIndex = 0;
    root.addEventListener('keydown', (event) => this._onKey(event));
    root.addEventListener('pointerdown', (event) => this._onPointer(event));
    root.addEventListener('pointermove', (event) => event.buttons & 1 && this._onPointer(event));
    player.addEventListener('time', () => this._placePlayhead());
    new ResizeObserver(() => this._draw()).observe(root);
  }

  /**
   * @param {ChartData|null} data null empties the chart
   * @param {Set<string>} hidden keys of the labels without curves
   */
  show(data, hidden = new Set()) {
    this._data = data;
    this._hidden = hidden;
    this._draw();
  }

  /**
   * Make one label stand out.
   *
   * @param {string|null} key
   */
  highlight(key) {
    for (const each of this._root.querySelectorAll('.series')) {
      each.classList.toggle('faint', key !== null && each.getAttribute('data-key') !== key);
    }
  }

  _draw() {
    const width = this._root.clientWidth;
    this._root.hidden = false;
    if (!this._data || !width) {
      this._root.replaceChildren();
      this._chart = null;
      return;
    }
    const height = width < NARROW ? LOW_HEIGHT : HEIGHT;
    this._chart = drawChart(this._data, { width, height, hidden: this._hidden });
    const { area } = this._chart;
    this._playhead.replaceChildren(
      svg('line', { x1: 0, x2: 0, y1: 4, y2: area.bottom }),
      svg('circle', { cx: 0, cy: area.bottom, r: 5 }),
    );
    this._chart.root.append(this._playhead);
    this._root.replaceChildren(this._chart.root);
    this._root.setAttribute('aria-valuemax', this._data.duration.toFixed(2));
    this._placePlayhead();
  }

  _placePlayhead() {
    if (!this._chart || !this._data) return;
    const time = Math.min(this._player.time, this._data.duration);
    this._playhead.setAttribute('transform', `translate(${this._chart.x(time).toFixed(1)} 0)`);
    this._root.setAttribute('aria-valuenow', time.toFixed(2));
    this._root.setAttribute('aria-valuetext', `${timestamp(time)}: ${spoken(this._data, time)}`);
  }

  /** @param {PointerEvent} event */
  _onPointer(event) {
    if (!this._chart || !this._data || event.button > 0) return;
    if (event.type === 'pointerdown') this._root.setPointerCapture(event.pointerId);
    const x = event.clientX - this._chart.root.getBoundingClientRect().left;
    this._seek(this._chart.x.invert(x));
  }

  /** @param {KeyboardEvent} event */
  _onKey(event) {
    if (!this._data || event.ctrlKey || event.altKey || event.metaKey) return;
    const { duration, seekTimes } = this._data;
    const now = this._player.time;
    const next = () => seekTimes.find((time) => time > now + SEEK_SLACK_S) ?? duration;
    const previous = () => seekTimes.findLast((time) => time < now - SEEK_SLACK_S) ?? 0;
    const target = {
      ArrowRight: next,
      ArrowUp: next,
      ArrowLeft: previous,
      ArrowDown: previous,
      PageUp: () => now + duration * PAGE,
      PageDown: () => now - duration * PAGE,
      Home: () => 0,
      End: () => duration,
    }[event.key];
    if (target) this._seek(target());
    else if (event.key === ' ') this._player.toggle();
    else return;
    event.preventDefault();
  }

  /** @param {number} time */
  _seek(time) {
    if (this._data) this._player.seek(Math.min(Math.max(time, 0), this._data.duration));
  }
}

/**
 * The first model's best labels at a time, in words.
 *
 * @param {ChartData} data
 * @param {number} time
 */
function spoken(data, time) {
  return data.series
    .filter((each) => each.model === 0)
    .map((each) => ({ label: each.label, score: scoreAt(each, time) ?? -1 }))
    .filter((each) => each.score >= 0)
    .sort((a, b) => b.score - a.score)
    .slice(0, SPOKEN_LABELS)
    .map((each) => `${each.label} ${percent(each.score)}`)
    .join(', ');
}
