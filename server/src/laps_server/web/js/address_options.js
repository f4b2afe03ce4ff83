/** The chosen options, to and from the page's address, so that a link brings the same options. */

/** @import {LimitsBody, ModelSummary} from './api_types.js' */
/** @import {Options} from './types.js' */

const TOP_K = 5;
const MAX_TOP_K = 20; // more curves are hard to read
const SEGMENTS = /^[0-9]+(\.[0-9]+)?[smh]$/;
const VIEWS = /^([1-9][0-9]*)x([1-9][0-9]*)$/;

/** @returns {Options} */
function defaults() {
  return { model: '', compare: '', views: '', segments: '', topK: TOP_K };
}

/**
 * Options from an address; each that this server cannot do is left out, with a warning.
 *
 * @param {string} search the part of the address from the question mark on
 * @param {ModelSummary[]} models
 * @param {LimitsBody} limits
 * @returns {{options: Options, warnings: string[]}}
 */
export function readOptions(search, models, limits) {
  const given = new URLSearchParams(search);
  const names = models.map((model) => model.name);
  const options = defaults();
  /** @type {string[]} */
  const warnings = [];

  /**
   * @param {string} name
   * @param {(value: string) => boolean} fits
   * @param {(value: string) => void} take
   */
  const read = (name, fits, take) => {
    const value = given.get(name);
    if (!value) return;
    if (fits(value)) take(value);
    else warnings.push(`the link asks for ${name} “${value.slice(0, 40)}”, which this server does not offer`);
  };
  read('model', (value) => names.includes(value), (value) => (options.model = value));
  read('compare', (value) => names.includes(value), (value) => (options.compare = value));
  read('views', (value) => fitsViews(value, limits), (value) => (options.views = value));
  read('segments', (value) => SEGMENTS.test(value), (value) => (options.segments = value));
  read('top_k', fitsTopK, (value) => (options.topK = Number(value)));
  return { options, warnings };
}

/**
 * The same as an address; only what is not the default is in it.
 *
 * @param {Options} options
 * @returns {string} from the question mark on, or empty
 */
export function writeOptions(options) {
  const query = new URLSearchParams();
  if (options.model) query.set('model', options.model);
  if (options.compare) query.set('compare', options.compare);
  if (options.views) query.set('views', options.views);
  if (options.segments) query.set('segments', options.segments);
  if (options.topK !== TOP_K) query.set('top_k', String(options.topK));
  const text = query.toString();
  return text ? `?${text}` : '';
}

/**
 * @param {string} value
 * @param {LimitsBody} limits
 */
function fitsViews(value, limits) {
  const parts = VIEWS.exec(value);
  return (
    parts !== null && Number(parts[1]) <= limits.max_temporal_views && limits.spatial_views.includes(Number(parts[2]))
  );
}

/** @param {string} value */
function fitsTopK(value) {
  return /^[0-9]{1,2}$/.test(value) && Number(value) >= 1 && Number(value) <= MAX_TOP_K;
}
