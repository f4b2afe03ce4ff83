/**
 * The plot on the page: the chart, a playhead, and a slider's behaviour, so that a click, a drag and the keys seek.
 * To a screen reader it is a slider over the video that says the scores at each place.
 */

import { drawChart } from './chart.js';
import { h, svg } from './dom.js';
import { percent, place } from './format.js';
import { scoreAt } from './story.js';

/** @import {Chart} from './chart.js' */
/** @import {Player} from './player.js' */
/** @import {Story} from './types.js' */

const HEIGHT = 300;
const LOW_HEIGHT = 230;
const NARROW = 560;
const PAGE = 0.1; // of the video, for Page Up and Page Down
const SPOKEN_LABELS = 2;

export class Plot {
  /**
   * @param {HTMLElement} root
   * @param {Player} player what is sought, and whose time the playhead shows
   */
  constructor(root, player) {
    this._root = root;
    this._player = player;
    /** @type {Story|null} */
    this._story = null;
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
   * @param {Story|null} story null empties the plot
   * @param {Set<string>} hidden labels without curves
   */
  show(story, hidden = new Set()) {
    this._story = story;
    this._hidden = hidden;
    this._draw();
  }

  /**
   * Let one label stand out.
   *
   * @param {string|null} label
   */
  emphasise(label) {
    for (const each of this._root.querySelectorAll('.series')) {
      each.classList.toggle('faint', label !== null && each.getAttribute('data-label') !== label);
    }
  }

  _draw() {
    const width = this._root.clientWidth;
    this._root.hidden = false;
    if (!this._story || !width) {
      this._root.replaceChildren();
      this._chart = null;
      return;
    }
    if (!this._story.series.length && !this._story.cells.length) {
      this._root.replaceChildren(h('p', { class: 'muted' }, 'This model scores whole clips: there are no curves.'));
      this._chart = null;
      return;
    }
    const height = width < NARROW ? LOW_HEIGHT : HEIGHT;
    this._chart = drawChart(this._story, { width, height, hidden: this._hidden });
    const { area } = this._chart;
    this._playhead.replaceChildren(
      svg('line', { x1: 0, x2: 0, y1: 4, y2: area.bottom }),
      svg('circle', { cx: 0, cy: area.bottom, r: 5 }),
    );
    this._chart.root.append(this._playhead);
    this._root.replaceChildren(this._chart.root);
    this._root.setAttribute('aria-valuemax', this._story.duration.toFixed(2));
    this._placePlayhead();
  }

  _placePlayhead() {
    if (!this._chart || !this._story) return;
    const time = Math.min(this._player.time, this._story.duration);
    this._playhead.setAttribute('transform', `translate(${this._chart.x(time).toFixed(1)} 0)`);
    this._root.setAttribute('aria-valuenow', time.toFixed(2));
    this._root.setAttribute('aria-valuetext', `${place(time)}: ${this._spoken(this._story, time)}`);
  }

  /**
   * The best labels at a time, in words.
   *
   * @param {Story} story
   * @param {number} time
   */
  _spoken(story, time) {
    return story.series
      .filter((each) => each.model === 0)
      .map((each) => ({ label: each.label, score: scoreAt(each, time) ?? -1 }))
      .filter((each) => each.score >= 0)
      .sort((a, b) => b.score - a.score)
      .slice(0, SPOKEN_LABELS)
      .map((each) => `${each.label} ${percent(each.score)}`)
      .join(', ');
  }

  /** @param {PointerEvent} event */
  _onPointer(event) {
    if (!this._chart || !this._story || event.button > 0) return;
    if (event.type === 'pointerdown') this._root.setPointerCapture(event.pointerId);
    const place = event.clientX - this._chart.root.getBoundingClientRect().left;
    this._seek(this._chart.x.invert(place));
  }

  /** @param {KeyboardEvent} event */
  _onKey(event) {
    if (!this._story || event.ctrlKey || event.altKey || event.metaKey) return;
    const { duration, stops } = this._story;
    const now = this._player.time;
    const slack = 0.02; // a player lands a little beside the time it was sent to
    const target = {
      ArrowRight: () => stops.find((stop) => stop > now + slack) ?? duration,
      ArrowUp: () => stops.find((stop) => stop > now + slack) ?? duration,
      ArrowLeft: () => stops.findLast((stop) => stop < now - slack) ?? 0,
      ArrowDown: () => stops.findLast((stop) => stop < now - slack) ?? 0,
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
    if (this._story) this._player.seek(Math.min(Math.max(time, 0), this._story.duration));
  }
}
