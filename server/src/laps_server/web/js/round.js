/**
 * One round: the same video through one model or two, one after the other, so that the first answer is not held up by
 * the second. Answers are kept while the video is, so that adding a model to compare with asks for that one only.
 */

import { classify } from './api.js';

/** @import {Answer, Model, Options, Prediction, Segment, VideoFacts} from './types.js' */

const MOST_LABELS = 1000; // of the second model; its labels are looked up by name

/**
 * What one round asks of one model.
 *
 * @typedef {{model: Model, query: URLSearchParams}} Task
 *
 * What is told on the way; `task` is 0 or 1.
 * @typedef {object} Watcher
 * @property {(task: number, share: number) => void} onUpload
 * @property {(task: number) => void} onAccepted
 * @property {(task: number, decoded: {video: VideoFacts, views_total: number, segments_total: number|null,
 *   warnings: string[]}) => void} onDecoded
 * @property {(task: number, partial: {predictions: Prediction[], views_done: number, views_total: number}) => void}
 *   onPartial
 * @property {(task: number, segment: Segment & {segments_done: number, segments_total: number}) => void} onSegment
 * @property {(task: number, answer: Answer) => void} onAnswer
 */

/**
 * @param {Options} options
 * @param {Model[]} models
 * @param {boolean} stills whether sampled frames are wanted
 * @returns {Task[]}
 */
export function tasksFor(options, models, stills) {
  const first = models.find((model) => model.name === options.model) ?? models.find((model) => model.default) ?? models[0];
  const second = models.find((model) => model.name === options.compare && model !== first);
  const common = {
    ...(options.views && { views: options.views }),
    ...(options.segments && { segments: options.segments, frames: 'false' }), // a timeline has its own curves
  };
  const topK = Math.min(options.topK, first.label_count);
  const tasks = [{ model: first, query: { top_k: topK, ...common, ...(stills && { thumbnails: 'true' }) } }];
  // The second model's curves are those of the first one's labels, wherever they stand in its own ranking.
  if (second) tasks.push({ model: second, query: { top_k: Math.min(second.label_count, MOST_LABELS), ...common } });
  return tasks.map(({ model, query }) => ({
    model,
    query: new URLSearchParams(Object.entries({ model: model.name, ...query }).map(([key, value]) => [key, String(value)])),
  }));
}

/**
 * @param {File} file
 * @param {Task[]} tasks
 * @param {Map<string, Answer>} known answers for this file, by query; grows
 * @param {Watcher} watcher
 * @param {AbortSignal} signal
 */
export async function runRound(file, tasks, known, watcher, signal) {
  for (const [task, { query }] of tasks.entries()) {
    const key = query.toString();
    let answer = known.get(key);
    if (!answer) {
      const listener = {
        onUpload: (/** @type {number} */ share) => watcher.onUpload(task, share),
        onEvent: (/** @type {string} */ name, /** @type {any} */ data) => {
          if (name === 'accepted') watcher.onAccepted(task);
          else if (name === 'decoded') watcher.onDecoded(task, data);
          else if (name === 'partial') watcher.onPartial(task, data);
          else if (name === 'segment') watcher.onSegment(task, data);
        },
      };
      answer = await classify(file, query, listener, signal);
      known.set(key, answer);
    }
    watcher.onAnswer(task, answer);
  }
}
