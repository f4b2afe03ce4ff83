/** The page: puts its parts together. What each does is in its own module. */

import { checkSize, fetchModels } from './api.js';
import { byId } from './dom.js';
import { Failure, isCancellation } from './failure.js';
import { showNotes } from './facts.js';
import { percent } from './format.js';
import { OptionsForm } from './options.js';
import { Pace } from './pace.js';
import { showChosen, showLimits, watchForFiles } from './picker.js';
import { showProblem } from './problem.js';
import { Progress } from './progress.js';
import { Recorder } from './recorder.js';
import { Result } from './result.js';
import { runRound, tasksFor } from './round.js';
import { readOptions, writeOptions } from './state.js';
import { rank, tell, tellSoFar } from './story.js';

/** @import {Answer, Limits, Model, Options, Segment, VideoFacts} from './types.js' */
/** @import {Task, Watcher} from './round.js' */

const REDRAW_MS = 250; // a timeline so far is drawn whole, and an hour may have a segment for each other second

class App {
  /**
   * @param {Model[]} models
   * @param {Limits} limits
   */
  constructor(models, limits) {
    this._models = models;
    this._limits = limits;
    this._form = new OptionsForm();
    this._result = new Result();
    this._progress = new Progress(() => this._running?.abort());
    /** @type {File|null} */
    this._file = null;
    /** @type {Promise<boolean>} */
    this._plays = Promise.resolve(true);
    /** @type {AbortController|null} */
    this._running = null;
    /** @type {Map<string, Answer>} */
    this._known = new Map();
    this._shown = ''; // the choices of what is on the page

    const { options, problems } = readOptions(location.search, models, limits);
    this._form.fill(models, options);
    showNotes(byId('problem'), problems);
    this._form.addEventListener('change', () => this._onChoice());
    this._form.addEventListener('submit', () => this._classify());
    const take = (/** @type {File} */ file) => this._open(file);
    watchForFiles(take);
    new Recorder(take);
    showLimits(limits);
  }

  /** @param {File} file */
  _open(file) {
    this._running?.abort();
    this._file = file;
    this._known = new Map();
    this._shown = '';
    showChosen(file);
    this._plays = this._result.open(file);
    this._classify();
  }

  _onChoice() {
    const search = writeOptions(this._form.value);
    history.replaceState(null, '', search || location.pathname);
    this._form.allowSubmit(this._file !== null && search !== this._shown);
  }

  async _classify() {
    const file = this._file;
    if (!file) return;
    this._running?.abort();
    const running = new AbortController();
    this._running = running;
    const options = this._form.value;
    const drawing = new Pace(REDRAW_MS);
    byId('problem').replaceChildren();
    byId('result').hidden = false;
    this._form.allowSubmit(false);
    try {
      checkSize(file, this._limits);
      this._progress.show('Opening the video');
      // A frame of each segment of an hour is much to send where the browser has the video itself.
      const stills = !options.segments || !(await this._plays);
      const tasks = tasksFor(options, this._models, stills);
      const watcher = this._watch(tasks, options, drawing);
      if (!running.signal.aborted) await runRound(file, tasks, this._known, watcher, running.signal);
      this._shown = writeOptions(options);
    } catch (error) {
      this._onFailure(error, running);
    } finally {
      if (this._running !== running) {
        drawing.drop(); // another video is on the page
      } else {
        drawing.finish(); // what a round that was cancelled had found out
        this._running = null;
        this._progress.hide();
        this._form.allowSubmit(writeOptions(this._form.value) !== this._shown || !this._known.size);
      }
    }
  }

  /**
   * @param {unknown} error
   * @param {AbortController} running
   */
  _onFailure(error, running) {
    if (this._running !== running) return; // another video was chosen meanwhile
    this._shown = '\0'; // no choice is on the page: any may be classified
    if (isCancellation(error)) {
      this._progress.say('Cancelled');
      return;
    }
    if (!(error instanceof Failure)) throw error;
    this._result.giveUp();
    showProblem(byId('problem'), error, () => this._classify());
  }

  /**
   * What is shown while a round runs.
   *
   * @param {Task[]} tasks
   * @param {Options} options
   * @param {Pace} drawing
   * @returns {Watcher}
   */
  _watch(tasks, options, drawing) {
    const several = tasks.length > 1;
    const name = (/** @type {number} */ task) => (several ? `${tasks[task].model.name}: ` : '');
    const stage = (/** @type {number} */ task, /** @type {string} */ words, /** @type {number|null} */ share = null) =>
      this._progress.show(`${name(task)}${words}`, share);
    /** @type {Answer[]} */
    const answers = [];
    /** @type {Segment[]} */
    const segments = [];
    /** @type {VideoFacts|null} */
    let video = null;

    return {
      onUpload: (task, share) => {
        if (share < 1) stage(task, `Uploading, ${percent(share)}`, share);
        else stage(task, 'Uploaded');
        this._progress.say(share < 1 ? `${name(task)}Uploading` : `${name(task)}Uploaded`);
      },
      onAccepted: (task) => stage(task, 'Decoding'),
      onDecoded: (task, decoded) => {
        video = decoded.video;
        if (task === 0) this._result.showVideo(decoded.video);
        stage(task, 'Classifying', 0);
        this._progress.say(`${name(task)}Classifying`);
      },
      onPartial: (task, { predictions, views_done: done, views_total: total }) => {
        stage(task, `Classifying, view ${done} of ${total}`, done / total);
        const lists = [...answers.map((answer) => answer.predictions), predictions];
        const labels = lists[0].slice(0, options.topK).map((prediction) => prediction.label);
        this._result.showRanking(rank(labels, lists), tasks.slice(0, lists.length).map((each) => each.model.name));
      },
      onSegment: (task, segment) => {
        const { segments_done: done, segments_total: total } = segment;
        stage(task, `Classifying, segment ${done} of ${total}`, done / total);
        const facts = video;
        if (task > 0 || !facts) return;
        segments.push(segment);
        drawing.run(() => this._result.showSoFar(tellSoFar(tasks[0].model.name, facts, segments, options.topK)));
      },
      onAnswer: (task, answer) => {
        answers.push(answer);
        drawing.drop();
        this._result.showAnswers(tell(answers, options.topK), answers);
        const [best] = answer.predictions;
        this._progress.say(`${name(task)}${best.label}, ${percent(best.score)}`);
      },
    };
  }
}

try {
  const { models, limits } = await fetchModels();
  new App(models, limits);
} catch (error) {
  if (!(error instanceof Failure)) throw error;
  showProblem(byId('problem'), error, () => location.reload());
}
