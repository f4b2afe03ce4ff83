/** The page: puts its parts together. What each part does is in its own module. */

import { readOptions, writeOptions } from './address_options.js';
import { showWarnings } from './answer_details.js';
import { checkSize, fetchModels } from './api.js';
import { toChartData, toPartialChartData } from './chart_data.js';
import { requestsFor, runComparison } from './comparison.js';
import { byId } from './dom.js';
import { showErrorPanel } from './error_panel.js';
import { showChosen, showLimits, watchForFiles } from './file_picker.js';
import { percent } from './format.js';
import { OptionsForm } from './options_form.js';
import { Progress } from './progress.js';
import { rankLabels, shareLabels } from './ranked_labels.js';
import { Recorder } from './recorder.js';
import { RequestError, isCancellation } from './request_errors.js';
import { Result } from './result.js';
import { Throttle } from './throttle.js';

/** @import {ClassifyResponse, LimitsBody, ModelSummary, SegmentBody, VideoBody} from './api_types.js' */
/** @import {ComparisonListener, ModelRequest} from './comparison.js' */
/** @import {Options} from './types.js' */

const REDRAW_MS = 250; // a timeline is drawn whole each time, and an hour of video may have 1800 segments

class App {
  /**
   * @param {ModelSummary[]} models
   * @param {LimitsBody} limits
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
    /** @type {Map<string, ClassifyResponse>} those for this file, by query */
    this._answers = new Map();
    this._shown = ''; // the options of the answers on the page, as an address

    const { options, warnings } = readOptions(location.search, models, limits);
    this._form.fill(models, options);
    showWarnings(byId('errors'), warnings);
    this._form.addEventListener('change', () => this._onOptions());
    this._form.addEventListener('submit', () => this._classify());
    const open = (/** @type {File} */ file) => this._open(file);
    watchForFiles(open);
    new Recorder(open);
    showLimits(limits);
  }

  /** @param {File} file */
  _open(file) {
    this._running?.abort();
    this._file = file;
    this._answers = new Map();
    this._shown = '';
    showChosen(file);
    this._plays = this._result.open(file);
    this._classify();
  }

  _onOptions() {
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
    const redraws = new Throttle(REDRAW_MS);
    byId('errors').replaceChildren();
    byId('result').hidden = false;
    this._form.allowSubmit(false);
    try {
      checkSize(file, this._limits);
      this._progress.show('Opening the video');
      // A frame of each segment of an hour is too much to send if the browser can show the video itself.
      const thumbnails = !options.segments || !(await this._plays);
      const requests = requestsFor(options, this._models, thumbnails);
      const listener = this._listener(requests, options, redraws);
      if (!running.signal.aborted) await runComparison(file, requests, this._answers, listener, running.signal);
      this._shown = writeOptions(options);
    } catch (error) {
      if (this._running === running) redraws.flush(); // the last segments before it
      this._onError(error, running);
    } finally {
      if (this._running !== running) {
        redraws.cancel(); // another video is on the page
      } else {
        this._running = null;
        this._progress.hide();
        this._form.allowSubmit(writeOptions(this._form.value) !== this._shown || !this._answers.size);
      }
    }
  }

  /**
   * @param {unknown} error
   * @param {AbortController} running
   */
  _onError(error, running) {
    if (this._running !== running) return; // another video was chosen meanwhile
    this._shown = '\0'; // no answer is on the page: any options may be submitted
    if (isCancellation(error)) {
      this._progress.announce('Cancelled');
      return;
    }
    if (!(error instanceof RequestError)) throw error;
    this._result.endEarly();
    showErrorPanel(byId('errors'), error, () => this._classify());
  }

  /**
   * Shows what is known so far while a comparison runs.
   *
   * @param {ModelRequest[]} requests
   * @param {Options} options
   * @param {Throttle} redraws
   * @returns {ComparisonListener}
   */
  _listener(requests, options, redraws) {
    const models = requests.map(({ model }) => model.name);
    const shared = requests.every(({ model }) => shareLabels(requests[0].model, model));
    const shownLabels = { topK: options.topK, shared };
    const prefix = (/** @type {number} */ i) => (requests.length > 1 ? `${models[i]}: ` : '');
    const show = (/** @type {number} */ i, /** @type {string} */ text, /** @type {number|null} */ share = null) =>
      this._progress.show(`${prefix(i)}${text}`, share);
    const announce = (/** @type {number} */ i, /** @type {string} */ text) =>
      this._progress.announce(`${prefix(i)}${text}`);
    /** @type {ClassifyResponse[]} */
    const answers = [];
    /** @type {SegmentBody[]} */
    const segments = [];
    /** @type {VideoBody|null} */
    let video = null;

    return {
      onUpload: (i, share) => {
        if (share < 1) show(i, `Uploading, ${percent(share)}`, share);
        else show(i, 'Uploaded');
        announce(i, share < 1 ? 'Uploading' : 'Uploaded');
      },
      onAccepted: (i) => show(i, 'Decoding'),
      onDecoded: (i, decoded) => {
        video = decoded.video;
        if (i === 0) this._result.showVideo(decoded.video);
        show(i, 'Classifying', 0);
        announce(i, 'Classifying');
      },
      onPartial: (i, { predictions, views_done: done, views_total: total }) => {
        show(i, `Classifying, view ${done} of ${total}`, done / total);
        const lists = [...answers.map((answer) => answer.predictions), predictions];
        this._result.showPartialRanking(rankLabels(lists, shownLabels), models.slice(0, lists.length));
      },
      onSegment: (i, segment) => {
        const { segments_done: done, segments_total: total } = segment;
        show(i, `Classifying, segment ${done} of ${total}`, done / total);
        const facts = video;
        if (i > 0 || !facts) return;
        segments.push(segment);
        redraws.run(() => {
          this._result.showPartial(toPartialChartData(models[0], facts, segments, options.topK), segments);
        });
      },
      onAnswer: (i, answer) => {
        answers.push(answer);
        redraws.cancel();
        this._result.showAnswers(toChartData(answers, shownLabels), answers);
        const [best] = answer.predictions;
        announce(i, `${best.label}, ${percent(best.score)}`);
      },
    };
  }
}

try {
  const { models, limits } = await fetchModels();
  new App(models, limits);
} catch (error) {
  if (!(error instanceof RequestError)) throw error;
  showErrorPanel(byId('errors'), error, () => location.reload());
}
