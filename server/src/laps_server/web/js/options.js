/** The form of choices. */

import { byId, h } from './dom.js';

/** @import {Model, Options} from './types.js' */

const VIEWS = ['1x1', '2x1', '5x1', '10x1', '1x3', '5x3', '10x3'];
/** @type {[string, string][]} */
const SEGMENTS = [
  ['', 'none'],
  ['1s', '1 s'],
  ['2s', '2 s'],
  ['5s', '5 s'],
  ['10s', '10 s'],
  ['30s', '30 s'],
  ['1m', '1 min'],
  ['5m', '5 min'],
];
const TOP_K = [1, 2, 3, 5, 8, 10];

export class OptionsForm extends EventTarget {
  /** Events: `change` when a choice was made, `submit` when it shall be used. */
  constructor() {
    super();
    this._form = /** @type {HTMLFormElement} */ (byId('options'));
    this._model = /** @type {HTMLSelectElement} */ (byId('model'));
    this._compare = /** @type {HTMLSelectElement} */ (byId('compare'));
    this._views = /** @type {HTMLSelectElement} */ (byId('views'));
    this._segments = /** @type {HTMLSelectElement} */ (byId('segments'));
    this._topK = /** @type {HTMLSelectElement} */ (byId('top_k'));
    this._submit = /** @type {HTMLButtonElement} */ (byId('again'));
    /** @type {Model[]} */
    this._models = [];
    this._form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.dispatchEvent(new Event('submit'));
    });
    this._form.addEventListener('change', () => {
      this._namesDefaults();
      this.dispatchEvent(new Event('change'));
    });
  }

  /**
   * Fill the form once the models are known.
   *
   * @param {Model[]} models
   * @param {Options} options
   */
  fill(models, options) {
    this._models = models;
    const standard = models.find((model) => model.default);
    // The default model is the one without a name in the address, whichever it is on this server.
    choices(this._model, models.map(({ name }) => [name === standard?.name ? '' : name, name]), options.model);
    if (options.model === standard?.name) this._model.value = '';
    choices(this._compare, [['', 'no other'], ...models.map(({ name }) => pair(name))], options.compare);
    this._compare.disabled = models.length < 2;
    choices(this._views, [['', ''], ...VIEWS.map(pair)], options.views);
    choices(this._segments, SEGMENTS, options.segments);
    choices(this._topK, TOP_K.map((count) => pair(String(count))), String(options.topK));
    this._namesDefaults();
  }

  /** @returns {Options} */
  get value() {
    return {
      model: this._model.value,
      compare: this._compare.value,
      views: this._views.value,
      segments: this._segments.value,
      topK: Number(this._topK.value),
    };
  }

  /**
   * Whether there is something to classify again for.
   *
   * @param {boolean} possible
   */
  allowSubmit(possible) {
    this._submit.disabled = !possible;
    this._submit.classList.toggle('primary', possible);
  }

  /** What the model's own views are, and that a model is not compared with itself. */
  _namesDefaults() {
    const chosen = this._models.find((model) => model.name === this._model.value) ?? this._models.find((m) => m.default);
    this._views.options[0].text = chosen ? `${chosen.default_views}, default` : 'default';
    for (const option of this._compare.options) option.disabled = option.value === chosen?.name;
    if (this._compare.value === chosen?.name) this._compare.value = '';
  }
}

/**
 * @param {HTMLSelectElement} select
 * @param {[string, string][]} entries value and words
 * @param {string} value chosen; added where it is none of them
 */
function choices(select, entries, value) {
  const known = entries.some(([each]) => each === value);
  const all = known || !value ? entries : [...entries, pair(value)];
  select.replaceChildren(...all.map(([each, words]) => h('option', { value: each }, words)));
  select.value = value;
}

/**
 * @param {string} text
 * @returns {[string, string]}
 */
function pair(text) {
  return [text, text];
}
