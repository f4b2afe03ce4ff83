/** What a person chose, to and from the page's address, so that a link brings the same choices. */

/** @import {Limits, Model, Options} from './types.js' */

const TOP_K = 5;
const MAX_TOP_K = 20; // more curves than that tell nothing
const SEGMENTS = /^[0-9]+(\.[0-9]+)?[smh]$/;
const VIEWS = /^([1-9][0-9]*)x([1-9][0-9]*)$/;

/** @returns {Options} */
export function defaults() {
  return { model: '', compare: '', views: '', segments: '', topK: TOP_K };
}

/**
 * Options from an address; what this server cannot do is left out and told.
 *
 * @param {string} search the part of the address from the question mark on
 * @param {Model[]} models
 * @param {Limits} limits
 * @returns {{options: Options, problems: string[]}}
 */
export function readOptions(search, models, limits) {
  const given = new URLSearchParams(search);
  const names = models.map((model) => model.name);
  const options = defaults();
  /** @type {string[]} */
  const problems = [];

  /**
   * @param {string} name
   * @param {(value: string) => boolean} fits
   * @param {(value: string) => void} take
   */
  const read = (name, fits, take) => {
    const value = given.get(name);
    if (!value) return;
    if (fits(value)) take(value);
    else problems.push(`the link asks for ${name} “${value.slice(0, 40)}”, which this server does not have`);
  };
  read('model', (value) => names.includes(value), (value) => (options.model = value));
  read('compare', (value) => names.includes(value), (value) => (options.compare = value));
  read('views', (value) => fitsViews(value, limits), (value) => (options.views = value));
  read('segments', (value) => SEGMENTS.test(value), (value) => (options.segments = value));
  read('top_k', (value) => /^[0-9]{1,2}$/.test(value) && Number(value) >= 1 && Number(value) <= MAX_TOP_K, (value) => {
    options.topK = Number(value);
  });
  return { options, problems };
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
 * @param {Limits} limits
 */
function fitsViews(value, limits) {
  const parts = VIEWS.exec(value);
  return (
    parts !== null && Number(parts[1]) <= limits.max_temporal_views && limits.spatial_views.includes(Number(parts[2]))
  );
}
