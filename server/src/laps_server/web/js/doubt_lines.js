/** How far to trust each answer, below its labels, and each segment while the player is in it. */

import { spanAt } from './chart_data.js';
import { h } from './dom.js';
import { doubt } from './doubt.js';
import { percent, sentence, stretch } from './format.js';

/** @import {ClassifyResponse, SegmentBody} from './api_types.js' */
/** @import {Player} from './player.js' */

/**
 * What one model's lines are about; `answer` is there once it is whole.
 *
 * @typedef {{model: string, answer: ClassifyResponse|null, segments: SegmentBody[]}} DoubtSource
 */

export class DoubtLines {
  /**
   * @param {HTMLElement} root
   * @param {Player} player
   */
  constructor(root, player) {
    this._root = root;
    this._player = player;
    /** @type {DoubtSource[]} */
    this._sources = [];
    /** @type {(SegmentBody|undefined)[]} the segment that each source's line is about */
    this._current = [];
    player.addEventListener('time', () => this._follow());
  }

  /** @param {DoubtSource[]} sources one for each model */
  show(sources) {
    this._sources = sources;
    this._current = sources.map((source) => this._segmentOf(source));
    this._draw();
  }

  _follow() {
    const current = this._sources.map((source) => this._segmentOf(source));
    if (current.every((segment, i) => segment === this._current[i])) return;
    this._current = current;
    this._draw();
  }

  /** @param {DoubtSource} source */
  _segmentOf({ segments }) {
    const spans = segments.map((segment) => ({ start: segment.start_s, end: segment.end_s, segment }));
    return spanAt(spans, this._player.time)?.segment;
  }

  _draw() {
    const lines = this._sources.flatMap(({ model, answer }, i) => {
      const about = this._sources.length > 1 ? [model] : [];
      const segment = this._current[i];
      return [answer && line(about, doubt(answer)), segment && line([...about, ...namesOf(segment)], doubt(segment))];
    });
    this._root.replaceChildren(...lines.filter((each) => each instanceof Node));
  }
}

/**
 * @param {string[]} about names what the words are about
 * @param {ReturnType<typeof doubt>} told
 */
function line(about, told) {
  if (!told) return null;
  const text = about.length ? `${[...about, told.words].join(' · ')}.` : sentence(told.words);
  return h('p', { class: told.doubtful ? 'doubt is-doubtful' : 'doubt' }, text);
}

/** @param {SegmentBody} segment */
function namesOf({ start_s, end_s, predictions: [{ label, score }] }) {
  return [stretch(start_s, end_s), `${label} ${percent(score)}`];
}
