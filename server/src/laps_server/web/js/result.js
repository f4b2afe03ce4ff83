/** The lower part of the page: everything that shows answers, and the files made of them. */

import { showTimings, showWarnings, videoLine } from './answer_details.js';
import { curveNote } from './curve_note.js';
import { byId, h } from './dom.js';
import { jsonFile, pngFile, save, svgText } from './download.js';
import { DoubtLines } from './doubt_lines.js';
import { Filmstrip } from './filmstrip.js';
import { Legend } from './legend.js';
import { Player } from './player.js';
import { showRanking } from './ranking.js';
import { showScoreTable } from './score_table.js';
import { SeekableChart } from './seekable_chart.js';

/** @import {ClassifyResponse, SegmentBody, VideoBody} from './api_types.js' */
/** @import {ChartData, RankedLabel} from './types.js' */

export class Result {
  constructor() {
    this.player = new Player(byId('screen'));
    this._chart = new SeekableChart(byId('chart'), this.player);
    this._legend = new Legend(byId('legend'), this.player);
    this._filmstrip = new Filmstrip(byId('filmstrip'), this.player);
    this._doubt = new DoubtLines(byId('doubt'), this.player);
    this._name = '';
    /** @type {ChartData|null} */
    this._data = null;
    /** @type {ClassifyResponse[]} */
    this._answers = [];
    this._isPartial = false; // what is shown is of a run that has not ended, or ended in an error

    this._legend.addEventListener('change', () => this._chart.show(this._data, this._legend.hidden));
    this._legend.addEventListener('highlight', () => this._chart.highlight(this._legend.highlighted));
    this._downloads = [
      this._download('JSON', () => save(jsonFile(this._answers), `${this._name}.scores.json`)),
      this._download('SVG', () => save(this._svgFile(), `${this._name}.scores.svg`)),
      this._download('PNG', async () => save(await pngFile(this._drawing()), `${this._name}.scores.png`)),
    ];
    byId('downloads').append(...this._downloads);
  }

  /**
   * Begin with another video.
   *
   * @param {File} file
   * @returns {Promise<boolean>} whether the browser plays it
   */
  open(file) {
    this._name = file.name.replace(/\.[^.]*$/, '') || 'video';
    this.clear();
    byId('video-facts').textContent = '';
    byId('result').hidden = false;
    return this.player.load(file);
  }

  /** Show no answer. */
  clear() {
    this._legend.reset();
    this._answers = [];
    this._isPartial = false;
    this._show(null);
    byId('ranking').replaceChildren(h('p', { class: 'muted' }, 'The best labels appear here as views are classified.'));
    this._doubt.show([]);
    showWarnings(byId('warnings'), []);
    showTimings(byId('timings'), []);
    byId('provenance').textContent = '';
  }

  /** After a failure: keep what was found until then, or an earlier answer, and show no empty panels. */
  endEarly() {
    if (this._isPartial) showWarnings(byId('warnings'), ['This is what was found before the error.']);
    else if (!this._answers.length) byId('result').hidden = true;
  }

  /** @param {VideoBody} video */
  showVideo(video) {
    byId('video-facts').textContent = videoLine(video);
  }

  /**
   * Show a ranking that is not final.
   *
   * @param {RankedLabel[]} ranking
   * @param {string[]} models
   */
  showPartialRanking(ranking, models) {
    if (!this._isPartial) showWarnings(byId('warnings'), []); // those of an earlier answer, or failure
    this._isPartial = true;
    byId('ranking').classList.add('is-partial');
    showRanking(byId('ranking'), ranking, models);
  }

  /**
   * Show the scores of the segments so far.
   *
   * @param {ChartData} data
   * @param {SegmentBody[]} segments
   */
  showPartial(data, segments) {
    this.showPartialRanking(data.ranking, data.models);
    this._doubt.show([{ model: data.models[0], answer: null, segments }]);
    this._show(data);
  }

  /**
   * Show whole answers.
   *
   * @param {ChartData} data
   * @param {ClassifyResponse[]} answers
   */
  showAnswers(data, answers) {
    this._answers = answers;
    this._isPartial = false;
    byId('ranking').classList.remove('is-partial');
    showRanking(byId('ranking'), data.ranking, data.models);
    this._doubt.show(answers.map((answer) => ({ model: answer.model.name, answer, segments: answer.segments ?? [] })));
    this._show(data);
    this.showVideo(answers[0].video);
    showWarnings(byId('warnings'), answers.flatMap((answer) => answer.warnings));
    showTimings(byId('timings'), answers);
    byId('provenance').textContent = answers.map(provenance).join(' · ');
  }

  /** @param {ChartData|null} data */
  _show(data) {
    this._data = data;
    this._chart.show(data, this._legend.hidden);
    this._legend.show(data);
    byId('curve-note').textContent = data ? curveNote(data) : '';
    this._filmstrip.show(data?.sampledFrames ?? []);
    this.player.setSampledFrames(data?.sampledFrames ?? []);
    showScoreTable(byId('score-table', HTMLDetailsElement), data);
    byId('scores').classList.toggle('is-empty', !data);
    for (const button of this._downloads) button.disabled = !this._answers.length;
  }

  /**
   * @param {string} format
   * @param {() => void} onClick
   */
  _download(format, onClick) {
    const button = h('button', { type: 'button', class: 'button small', 'aria-label': `Download ${format}` }, format);
    button.addEventListener('click', onClick);
    return button;
  }

  _drawing() {
    if (!this._data) throw new Error('there is no chart yet');
    return svgText(this._data, this._name, this._legend.hidden);
  }

  _svgFile() {
    return new Blob([this._drawing().text], { type: 'image/svg+xml' });
  }
}

/** @param {ClassifyResponse} answer */
function provenance({ model, views, request_id: id }) {
  return `${model.name} version ${model.version}, ${model.engine} ${model.precision}, ${views.used} ${views.used === 1 ? 'view' : 'views'}, request ${id}`;
}
