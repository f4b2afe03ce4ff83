/** From answers to what is drawn: labels, their curves, where arrow keys go. Pure functions. */

import { ofModel, rankLabels, scoresOf } from './ranked_labels.js';

/** @import {ClassifyResponse, SegmentBody, ThumbnailBody, VideoBody} from './api_types.js' */
/** @import {ChartData, RankedLabel, SampledFrame, SegmentLabel, Series} from './types.js' */

const LAST_SPAN_SLACK_S = 0.5; // a player may stand a little after the last segment

/**
 * What is drawn of one answer, or of two about the same video.
 *
 * @param {ClassifyResponse[]} answers the first is drawn solid
 * @param {{topK: number, shared: boolean}} options how many labels; whether the models score the same ones
 * @returns {ChartData}
 */
export function toChartData(answers, options) {
  const first = answers[0];
  const ranking = rankLabels(answers.map((answer) => answer.predictions), options);
  return {
    models: answers.map((answer) => answer.model.name),
    duration: Math.max(...answers.map(durationOf)),
    ranking,
    series: answers.flatMap((answer, model) => seriesOf(answer, model, ranking)),
    segmentLabels: answers.flatMap((answer, model) => segmentLabelsOf(answer.segments ?? [], model, ranking)),
    seekTimes: first.timeline ? first.timeline.start_s : (first.frames?.time_s ?? []),
    sampledFrames: first.segments ? sampledFramesOfAll(first.segments) : sampledFramesOf(first),
  };
}

/**
 * What is drawn of the segments so far. A curve has gaps where its label is not among a segment's best.
 *
 * @param {string} model
 * @param {VideoBody} video
 * @param {SegmentBody[]} segments in order of time
 * @param {number} topK
 * @returns {ChartData}
 */
export function toPartialChartData(model, video, segments, topK) {
  const last = segments.at(-1);
  const ranking = scoresOf(bestLabels(segments, topK), [last?.predictions ?? []]);
  const series = ranking.map(({ key, label, colour }) => {
    const spans = segments.flatMap(({ start_s, end_s, predictions }) => {
      const found = predictions.find((prediction) => prediction.label === label);
      return found ? [{ start: start_s, end: end_s, score: found.score }] : [];
    });
    return { key, label, colour, model: 0, kind: /** @type {const} */ ('segment'), samples: [], spans };
  });
  return {
    models: [model],
    duration: Math.max(video.duration_s ?? 0, last?.end_s ?? 0),
    ranking,
    series,
    segmentLabels: segmentLabelsOf(segments, 0, ranking),
    seekTimes: segments.map((segment) => segment.start_s),
    sampledFrames: sampledFramesOfAll(segments),
  };
}

/**
 * The score at a time: that of the row whose middle is nearest, or of the segment around it; null if there is none.
 *
 * @param {Series} series
 * @param {number} time
 */
export function scoreAt({ samples, spans }, time) {
  const span = spanAt(spans, time);
  if (span) return span.score;
  if (!samples.length) return null;
  return samples[nearest(samples.map((sample) => sample.time), time)].score;
}

/**
 * Index of the nearest time; -1 if there are no times.
 *
 * @param {number[]} times in order
 * @param {number} time
 */
export function nearest(times, time) {
  let best = -1;
  times.forEach((each, i) => {
    if (best < 0 || Math.abs(each - time) < Math.abs(times[best] - time)) best = i;
  });
  return best;
}

/**
 * The span around a time, or the last one just after it.
 *
 * @template {{start: number, end: number}} S
 * @param {S[]} spans
 * @param {number} time
 */
export function spanAt(spans, time) {
  const around = spans.find(({ start, end }) => time >= start && time < end);
  const last = spans.at(-1);
  return around ?? (last && time >= last.end && time - last.end < LAST_SPAN_SLACK_S ? last : undefined);
}

/**
 * The labels with the highest sums of scores.
 *
 * @param {SegmentBody[]} segments
 * @param {number} topK
 */
function bestLabels(segments, topK) {
  /** @type {Map<string, number>} */
  const sums = new Map();
  for (const segment of segments) {
    for (const { label, score } of segment.predictions) sums.set(label, (sums.get(label) ?? 0) + score);
  }
  return [...sums].sort((a, b) => b[1] - a[1]).slice(0, topK).map(([label]) => label);
}

/**
 * @param {ClassifyResponse} answer
 * @param {number} model
 * @param {RankedLabel[]} ranking
 * @returns {Series[]}
 */
function seriesOf(answer, model, ranking) {
  const { timeline, frames } = answer;
  const table = timeline ?? frames;
  if (!table) return [];
  return ofModel(ranking, model).flatMap(({ key, label, colour }) => {
    const column = table.labels.indexOf(label);
    if (column < 0) return [];
    const spans = timeline
      ? timeline.scores.map((row, i) => ({ start: timeline.start_s[i], end: timeline.end_s[i], score: row[column] }))
      : [];
    const samples =
      frames && !timeline
        ? frames.scores.map((row, i) => {
            return { time: frames.time_s[i], from: frames.from_s[i], to: frames.to_s[i], score: row[column] };
          })
        : [];
    const kind = frames && !timeline ? frames.kind : 'segment';
    return [{ key, label, colour, model, kind, samples, spans }];
  });
}

/**
 * @param {SegmentBody[]} segments
 * @param {number} model
 * @param {RankedLabel[]} ranking
 * @returns {SegmentLabel[]}
 */
function segmentLabelsOf(segments, model, ranking) {
  const colours = new Map(ofModel(ranking, model).map((ranked) => [ranked.label, ranked.colour]));
  return segments.map(({ start_s: start, end_s: end, predictions: [{ label, score }] }) => ({
    label,
    colour: colours.get(label) ?? -1,
    model,
    start,
    end,
    score,
  }));
}

/** @param {ClassifyResponse} answer */
function durationOf({ video, frames, timeline }) {
  const ends = timeline ? timeline.end_s : (frames?.to_s ?? []);
  return Math.max(video.duration_s ?? 0, ends.at(-1) ?? 0);
}

/**
 * @param {SegmentBody[]} segments
 * @returns {SampledFrame[]}
 */
function sampledFramesOfAll(segments) {
  return segments.flatMap(sampledFramesOf);
}

/**
 * @param {{thumbnails?: ThumbnailBody[]|null}} answer of a video, or of a segment
 * @returns {SampledFrame[]}
 */
function sampledFramesOf({ thumbnails }) {
  return (thumbnails ?? []).map(({ time_s, jpeg }) => ({ time: time_s, source: `data:image/jpeg;base64,${jpeg}` }));
}
