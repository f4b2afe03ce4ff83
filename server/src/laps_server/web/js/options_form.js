/** The form with the options of a classification. */

import { byId, h } from './dom.js';
import { showModelFacts } from './model_facts.js';

/** @import {ModelSummary} from './api_types.js' */
/** @import {Options} from './types.js' */

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
  /** Events: `change` after an option was chosen, `submit` when the options are to be used. */
  constructor() {
    super();
    this._form = byId('options', HTMLFormElement);
    this._model = byId('model', HTMLSelectElement);
    this._compare = byId('compare', HTMLSelectElement);
    this._views = byId('views', HTMLSelectElement);
    this._segments = byId('segments', HTMLSelectElement);
    this._topK = byId('top_k', HTMLSelectElement);
    this._submit = byId('again', HTMLButtonElement);
    this._facts = byId('model-facts');
    /** @type {ModelSummary[]} */
    this._models = [];
    this._form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.dispatchEvent(new Event('submit'));
    });
    this._form.addEventListener('change', () => {
      this._updateDefaults();
      this.dispatchEvent(new Event('change'));
    });
  }

  /**
   * Fill the form once the models are known.
   *
   * @param {ModelSummary[]} models
   * @param {Options} options
   */
  fill(models, options) {
    this._models = models;
    const standard = models.find((model) => model.default);
    // An address without a name means the default model, whichever that is on this server.
    choices(this._model, models.map(({ name }) => [name === standard?.name ? '' : name, name]), options.model);
    if (options.model === standard?.name) this._model.value = '';
    choices(this._compare, [['', 'none'], ...models.map(({ name }) => pair(name))], options.compare);
    this._compare.disabled = models.length < 2;
    choices(this._views, [['', ''], ...VIEWS.map(pair)], options.views);
    choices(this._segments, SEGMENTS, options.segments);
    choices(this._topK, TOP_K.map((count) => pair(String(count))), String(options.topK));
    this._updateDefaults();
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
   * Enable the button, or disable it.
   *
   * @param {boolean} possible
   */
  allowSubmit(possible) {
    this._submit.disabled = !possible;
    this._submit.classList.toggle('primary', possible);
  }

  /** Name the model's own views, keep it from being compared with itself, and say what the chosen ones are. */
  _updateDefaults() {
    const chosen = this._models.find((model) => model.name === this._model.value) ?? this._models.find((m) => m.default);
    this._views.options[0].text = chosen ? `${chosen.default_views}, default` : 'default';
    for (const option of this._compare.options) option.disabled = option.value === chosen?.name;
    if (this._compare.value === chosen?.name) this._compare.value = '';
    const compared = this._models.find((model) => model.name === this._compare.value);
    showModelFacts(this._facts, [chosen, compared].filter((model) => model !== undefined));
  }
}

/**
 * @param {HTMLSelectElement} select
 * @param {[string, string][]} entries value and text
 * @param {string} value chosen; added if the entries lack it
 */
function choices(select, entries, value) {
  const known = entries.some(([each]) => each === value);
  const all = known || !value ? entries : [...entries, pair(value)];
  select.replaceChildren(...all.map(([each, text]) => h('option', { value: each }, text)));
  select.value = value;
}

/**
 * @param {string} text
 * @returns {[string, string]}
 */
function pair(text) {
  return [text, text];
}
