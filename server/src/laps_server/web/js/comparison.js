/**
 * The same video through one model or two, one after the other, so that the second does not delay the first answer.
 * Answers are kept for as long as the video is, so that adding a model to compare with sends one request only.
 */

import { classify } from './api.js';
import { shareLabels } from './ranked_labels.js';

/** @import {ClassifyListener} from './api.js' */
/** @import {ClassifyQuery, ClassifyResponse, DecodedEvent, ModelSummary, PartialEvent} from './api_types.js' */
/** @import {SegmentEvent} from './api_types.js' */
/** @import {Options} from './types.js' */

const MOST_LABELS = 1000; // of a second model; its labels are looked up by name

/**
 * What one model is asked.
 *
 * @typedef {{model: ModelSummary, query: URLSearchParams}} ModelRequest
 *
 * Is called as answers arrive; `i` is the index of the request, 0 or 1.
 * @typedef {object} ComparisonListener
 * @property {(i: number, share: number) => void} onUpload
 * @property {(i: number) => void} onAccepted
 * @property {(i: number, decoded: DecodedEvent) => void} onDecoded
 * @property {(i: number, partial: PartialEvent) => void} onPartial
 * @property {(i: number, segment: SegmentEvent) => void} onSegment
 * @property {(i: number, answer: ClassifyResponse) => void} onAnswer
 */

/**
 * @param {Options} options
 * @param {ModelSummary[]} models
 * @param {boolean} thumbnails whether sampled frames are wanted
 * @returns {ModelRequest[]}
 */
export function requestsFor(options, models, thumbnails) {
  const chosen = models.find((model) => model.name === options.model);
  const first = chosen ?? models.find((model) => model.default) ?? models[0];
  const second = models.find((model) => model.name === options.compare && model !== first);
  /** @type {ClassifyQuery} */
  const common = {
    ...(options.views && { views: options.views }),
    ...(options.segments && { segments: options.segments, frames: false }), // a timeline has its own curves
  };
  const topK = Math.min(options.topK, first.label_count);
  const requests = [requestTo(first, { top_k: topK, ...common, ...(thumbnails && { thumbnails }) })];
  if (second) {
    // Shared labels are the first model's best, wherever they stand in the second one's ranking.
    const most = shareLabels(first, second) ? MOST_LABELS : options.topK;
    requests.push(requestTo(second, { top_k: Math.min(second.label_count, most), ...common }));
  }
  return requests;
}

/**
 * @param {File} file
 * @param {ModelRequest[]} requests
 * @param {Map<string, ClassifyResponse>} answers those known for this file, by query; grows
 * @param {ComparisonListener} listener
 * @param {AbortSignal} signal
 */
export async function runComparison(file, requests, answers, listener, signal) {
  for (const [i, { query }] of requests.entries()) {
    const key = query.toString();
    const answer = answers.get(key) ?? (await classify(file, query, listenerOf(i, listener), signal));
    answers.set(key, answer);
    listener.onAnswer(i, answer);
  }
}

/**
 * @param {number} i
 * @param {ComparisonListener} listener
 * @returns {ClassifyListener}
 */
function listenerOf(i, listener) {
  return {
    onUpload: (share) => listener.onUpload(i, share),
    onEvent: (event) => {
      if (event.name === 'accepted') listener.onAccepted(i);
      else if (event.name === 'decoded') listener.onDecoded(i, event.data);
      else if (event.name === 'partial') listener.onPartial(i, event.data);
      else if (event.name === 'segment') listener.onSegment(i, event.data);
    },
  };
}

/**
 * @param {ModelSummary} model
 * @param {ClassifyQuery} query
 * @returns {ModelRequest}
 */
function requestTo(model, query) {
  const parameters = Object.entries({ model: model.name, ...query }).map(([key, value]) => [key, String(value)]);
  return { model, query: new URLSearchParams(parameters) };
}
