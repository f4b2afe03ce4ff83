/** The lower part of the page: everything that shows a story, and the files made of it. */

import { byId, h } from './dom.js';
import { jsonFile, pngFile, save, svgText } from './download.js';
import { showNotes, showTimings, videoLine } from './facts.js';
import { Legend } from './legend.js';
import { Player } from './player.js';
import { Plot } from './plot.js';
import { showRanking } from './ranking.js';
import { Strip } from './strip.js';
import { showTable } from './table.js';

/** @import {Answer, Rank, Story, VideoFacts} from './types.js' */

export class Result {
  constructor() {
    this.player = new Player(byId('screen'));
    this._plot = new Plot(byId('plot'), this.player);
    this._legend = new Legend(byId('legend'), this.player);
    this._strip = new Strip(byId('strip'), this.player);
    this._name = '';
    /** @type {Story|null} */
    this._story = null;
    /** @type {Answer[]} */
    this._answers = [];

    this._legend.addEventListener('change', () => this._plot.show(this._story, this._legend.hidden));
    this._legend.addEventListener('point', () => this._plot.emphasise(this._legend.pointed));
    this._downloads = [
      this._download('JSON', () => save(jsonFile(this._answers), `${this._name}.scores.json`)),
      this._download('SVG', () => save(this._drawing(), `${this._name}.scores.svg`)),
      this._download('PNG', async () => save(await pngFile(this._draw()), `${this._name}.scores.png`)),
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
    this._show(null);
    byId('ranking').replaceChildren(h('p', { class: 'muted' }, 'The best labels appear here as views are classified.'));
    showNotes(byId('notes'), []);
    showTimings(byId('timings'), []);
    byId('provenance').textContent = '';
  }

  /** Nothing came of it: show no empty frames, unless there is an answer of before. */
  giveUp() {
    if (!this._answers.length) byId('result').hidden = true;
  }

  /** @param {VideoFacts} video */
  showVideo(video) {
    byId('video-facts').textContent = videoLine(video);
  }

  /**
   * A ranking that is not final.
   *
   * @param {Rank[]} ranking
   * @param {string[]} models
   */
  showRanking(ranking, models) {
    byId('ranking').classList.add('is-partial');
    showRanking(byId('ranking'), ranking, models);
  }

  /**
   * A story that is not whole.
   *
   * @param {Story} story
   */
  showSoFar(story) {
    this.showRanking(story.ranking, story.models);
    this._show(story);
  }

  /**
   * The whole story.
   *
   * @param {Story} story
   * @param {Answer[]} answers
   */
  showAnswers(story, answers) {
    this._answers = answers;
    byId('ranking').classList.remove('is-partial');
    showRanking(byId('ranking'), story.ranking, story.models);
    this._show(story);
    this.showVideo(answers[0].video);
    showNotes(byId('notes'), answers.flatMap((answer) => answer.warnings));
    showTimings(byId('timings'), answers);
    byId('provenance').textContent = answers.map(provenance).join(' · ');
  }

  /** @param {Story|null} story */
  _show(story) {
    this._story = story;
    this._plot.show(story, this._legend.hidden);
    this._legend.show(story);
    this._strip.show(story?.stills ?? []);
    this.player.setStills(story?.stills ?? []);
    showTable(/** @type {HTMLDetailsElement} */ (byId('table')), story);
    byId('scores').classList.toggle('is-empty', !story);
    for (const button of this._downloads) button.disabled = !this._answers.length;
  }

  /**
   * @param {string} words
   * @param {() => void} onClick
   */
  _download(words, onClick) {
    const button = h('button', { type: 'button', class: 'button small', 'aria-label': `Download ${words}` }, words);
    button.addEventListener('click', onClick);
    return button;
  }

  _draw() {
    if (!this._story) throw new Error('there is no plot yet');
    return svgText(this._story, this._name, this._legend.hidden);
  }

  _drawing() {
    return new Blob([this._draw().text], { type: 'image/svg+xml' });
  }
}

/** @param {Answer} answer */
function provenance({ model, views, request_id: id }) {
  return `${model.name} version ${model.version}, ${views.used} ${views.used === 1 ? 'view' : 'views'}, request ${id}`;
}
