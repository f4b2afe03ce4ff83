/** What a model is and costs, in words: those of the client's cli/model_facts.py. */

import { h } from './dom.js';

/** @import {ModelSummary} from './api_types.js' */

const UNKNOWN = '-';
const DIGITS = 2;

/**
 * Family, default views, and what a view and a video of that many views cost.
 *
 * @param {Pick<ModelSummary, 'family'|'variant'|'default_views'|'cost'>} model
 * @returns {Record<string, string>}
 */
export function modelFacts({ family, variant, default_views: views, cost }) {
  const count = views.split('x').reduce((product, part) => product * Number(part), 1);
  return {
    family: `${family}, ${variant}`,
    views,
    'GMACs a view': cost ? cost.gmacs.toFixed(DIGITS) : UNKNOWN,
    'GMACs a video': cost ? (cost.gmacs * count).toFixed(DIGITS) : UNKNOWN,
  };
}

/**
 * A line for each model, which begins with its name where there are several.
 *
 * @param {HTMLElement} root
 * @param {ModelSummary[]} models
 */
export function showModelFacts(root, models) {
  const lines = models.map((model) => {
    const facts = Object.entries(modelFacts(model)).map(([what, value]) => `${what} ${value}`);
    return h('p', { class: 'facts-line' }, [...(models.length > 1 ? [model.name] : []), ...facts].join(' · '));
  });
  root.replaceChildren(...lines);
}
