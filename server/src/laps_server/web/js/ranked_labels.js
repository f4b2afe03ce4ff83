/** Which labels are shown, in which colours: pure functions. */

/** @import {ModelSummary, PredictionBody} from './api_types.js' */
/** @import {RankedLabel} from './types.js' */

/**
 * Whether two models score the same labels, so that a label's curves can share a colour.
 *
 * @param {ModelSummary} one
 * @param {ModelSummary} other
 */
export function shareLabels(one, other) {
  return one.labels === other.labels && one.label_count === other.label_count;
}

/**
 * The labels of one model or two. Shared labels are the first model's best, and the second's best one if it is another;
 * each has a score in both. Otherwise each model has its own.
 *
 * @param {PredictionBody[][]} lists one for each model, best first
 * @param {{topK: number, shared: boolean}} options how many of a model; whether the models score the same labels
 * @returns {RankedLabel[]}
 */
export function rankLabels(lists, { topK, shared }) {
  const best = lists.map((list) => list.slice(0, topK));
  if (shared || lists.length < 2) {
    const others = lists.slice(1).flatMap((list) => list.slice(0, 1));
    const labels = new Set([...best[0], ...others].map(({ label }) => label));
    return scoresOf([...labels], lists);
  }
  const entries = best.flatMap((list, model) => list.map(({ label, score }) => ({ label, model, score })));
  return entries.map(({ label, model, score }, colour) => {
    return { key: keyOf(label, model), label, model, colour, scores: [score] };
  });
}

/**
 * Shared labels with their scores in each list.
 *
 * @param {string[]} labels
 * @param {PredictionBody[][]} lists one for each model
 * @returns {RankedLabel[]}
 */
export function scoresOf(labels, lists) {
  return labels.map((label, colour) => ({
    key: keyOf(label, 0),
    label,
    model: null,
    colour,
    scores: lists.map((list) => list.find((prediction) => prediction.label === label)?.score ?? null),
  }));
}

/**
 * The shown labels of one model.
 *
 * @param {RankedLabel[]} ranking
 * @param {number} model
 */
export function ofModel(ranking, model) {
  return ranking.filter((ranked) => ranked.model === null || ranked.model === model);
}

/**
 * A ranking in its groups: one of all models, or one of each model that has labels of its own.
 *
 * @param {RankedLabel[]} ranking
 * @returns {{model: number|null, ranking: RankedLabel[]}[]}
 */
export function groupsOf(ranking) {
  return [...new Set(ranking.map(({ model }) => model))].map((model) => ({
    model,
    ranking: ranking.filter((ranked) => ranked.model === model),
  }));
}

/**
 * A name that no two shown labels have. No label holds the end of a line.
 *
 * @param {string} label
 * @param {number} model
 */
function keyOf(label, model) {
  return model ? `${label}\n${model}` : label;
}
