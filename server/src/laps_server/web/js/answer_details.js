/** Facts about a video, the time that each stage took, and warnings. */

import { h } from './dom.js';
import { milliseconds, sentence, timestamp } from './format.js';

/** @import {ClassifyResponse, TimingsBody, VideoBody} from './api_types.js' */

/** @type {(keyof TimingsBody)[]} */
const STAGES = ['upload', 'decode', 'queue', 'infer'];

/**
 * A line such as "384 × 288 · h264 in mp4 · 25 fps · 4.8 s · 120 frames".
 *
 * @param {VideoBody} video
 */
export function videoLine({ width, height, rotation, codec, container, fps, duration_s, frame_count }) {
  const turned = rotation % 180 !== 0;
  return [
    turned ? `${height} × ${width}` : `${width} × ${height}`,
    `${codec} in ${container}`,
    fps && `${Number(fps.toFixed(2))} fps`,
    duration_s && timestamp(duration_s),
    frame_count && `${frame_count} frames`,
  ]
    .filter(Boolean)
    .join(' · ');
}

/**
 * How long each stage took, one row for each answer.
 *
 * @param {HTMLElement} root
 * @param {ClassifyResponse[]} answers
 */
export function showTimings(root, answers) {
  const rows = answers.map(({ model, timings_ms: timings }) => {
    const sum = STAGES.reduce((total, stage) => total + timings[stage], 0) || 1;
    const bar = h('div', { class: 'timing-bar', 'aria-hidden': 'true' });
    const list = h('dl', { class: 'timing-list' });
    STAGES.forEach((stage, i) => {
      const part = h('span', { class: `stage-${i}` });
      part.style.width = `${(timings[stage] / sum) * 100}%`;
      bar.append(part);
      list.append(entry(stage, timings[stage], `stage-${i}`));
    });
    list.append(entry('total', timings.total, 'stage-total'));
    const head = answers.length > 1 ? `Time taken by ${model.name}` : 'Time taken';
    return h('div', { class: 'timing' }, h('h3', {}, head), bar, list);
  });
  root.replaceChildren(...rows);
}

/**
 * Each warning once.
 *
 * @param {HTMLElement} root
 * @param {string[]} warnings
 */
export function showWarnings(root, warnings) {
  root.replaceChildren(...[...new Set(warnings)].map((warning) => h('p', { class: 'warning' }, sentence(warning))));
}

/**
 * @param {string} stage
 * @param {number} value
 * @param {string} style
 */
function entry(stage, value, style) {
  return h('div', { class: style }, h('dt', {}, stage), h('dd', {}, milliseconds(value)));
}
