/** What is known of a video and of the work on it, in a few words. */

import { h } from './dom.js';
import { milliseconds, place, sentence } from './format.js';

/** @import {Answer, Timings, VideoFacts} from './types.js' */

/** @type {(keyof Timings)[]} */
const STAGES = ['upload', 'decode', 'queue', 'infer'];

/**
 * A line such as "384 × 288 · h264 in mp4 · 25 fps · 4.8 s · 120 frames".
 *
 * @param {VideoFacts} video
 */
export function videoLine({ width, height, rotation, codec, container, fps, duration_s, frame_count }) {
  const turned = rotation % 180 !== 0;
  return [
    turned ? `${height} × ${width}` : `${width} × ${height}`,
    `${codec} in ${container}`,
    fps && `${Number(fps.toFixed(2))} fps`,
    duration_s && place(duration_s),
    frame_count && `${frame_count} frames`,
  ]
    .filter(Boolean)
    .join(' · ');
}

/**
 * Where the time went, one row for each answer.
 *
 * @param {HTMLElement} root
 * @param {Answer[]} answers
 */
export function showTimings(root, answers) {
  const rows = answers.map(({ model, timings_ms: timings }) => {
    const sum = STAGES.reduce((total, stage) => total + timings[stage], 0) || 1;
    const bar = h('div', { class: 'timing-bar', 'aria-hidden': 'true' });
    const words = h('dl', { class: 'timing-words' });
    STAGES.forEach((stage, i) => {
      const part = h('span', { class: `stage-${i}` });
      part.style.width = `${(timings[stage] / sum) * 100}%`;
      bar.append(part);
      words.append(pair(stage, timings[stage], `stage-${i}`));
    });
    words.append(pair('total', timings.total, 'stage-total'));
    const head = answers.length > 1 ? `Time taken by ${model.name}` : 'Time taken';
    return h('div', { class: 'timing' }, h('h3', {}, head), bar, words);
  });
  root.replaceChildren(...rows);
}

/**
 * Warnings; each only once.
 *
 * @param {HTMLElement} root
 * @param {string[]} warnings
 */
export function showNotes(root, warnings) {
  root.replaceChildren(...[...new Set(warnings)].map((warning) => h('p', { class: 'note' }, sentence(warning))));
}

/**
 * @param {string} stage
 * @param {number} value
 * @param {string} style
 */
function pair(stage, value, style) {
  return h('div', { class: style }, h('dt', {}, stage), h('dd', {}, milliseconds(value)));
}
