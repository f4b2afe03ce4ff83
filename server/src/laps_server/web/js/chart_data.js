/** From answers to what is drawn: labels, their curves, where arrow keys go. Pure functions. */

/** @import {ClassifyResponse, PredictionBody, SegmentBody, ThumbnailBody, VideoBody} from './api_types.js' */
/** @import {ChartData, RankedLabel, SampledFrame, SegmentLabel, Series, Span} from './types.js' */

const LAST_SPAN_SLACK_S = 0.5; // a player may stand a little after the last segment

/**
 * What is drawn of one answer, or of two about the same video.
 *
 * @param {ClassifyResponse[]} answers the first is drawn solid and gives the labels
 * @param {number} topK how many labels
 * @returns {ChartData}
 */
export function toChartData(answers, topK) {
  const first = answers[0];
  const labels = labelsOf(answers, topK);
  return {
    models: answers.map((answer) => answer.model.name),
    duration: durationOf(first),
    ranking: rankLabels(labels, answers.map((answer) => answer.predictions)),
    series: answers.flatMap((answer, model) => seriesOf(answer, model, labels)),
    segmentLabels: answers.flatMap((answer, model) => segmentLabelsOf(answer.segments ?? [], model, labels)),
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
  const labels = bestLabels(segments, topK);
  const series = labels.map((label, colour) => {
    const spans = segments.flatMap(({ start_s, end_s, predictions }) => {
      const found = predictions.find((prediction) => prediction.label === label);
      return found ? [{ start: start_s, end: end_s, score: found.score }] : [];
    });
    return { label, colour, model: 0, samples: [], spans };
  });
  const last = segments.at(-1);
  return {
    models: [model],
    duration: Math.max(video.duration_s ?? 0, last?.end_s ?? 0),
    ranking: rankLabels(labels, [last?.predictions ?? []]),
    series,
    segmentLabels: segmentLabelsOf(segments, 0, labels),
    seekTimes: segments.map((segment) => segment.start_s),
    sampledFrames: sampledFramesOfAll(segments),
  };
}

/**
 * Labels with their scores in each list.
 *
 * @param {string[]} labels
 * @param {PredictionBody[][]} lists one for each model
 * @returns {RankedLabel[]}
 */
export function rankLabels(labels, lists) {
  return labels.map((label, colour) => ({
    label,
    colour,
    scores: lists.map((list) => list.find((prediction) => prediction.label === label)?.score ?? null),
  }));
}

/**
 * The score at a time: that of the nearest sampled frame, or of the segment around it; null if there is none.
 *
 * @param {Series} series
 * @param {number} time
 */
export function scoreAt({ samples, spans }, time) {
  const span = spans.find(({ start, end }) => time >= start && time < end) ?? lastIfJustOver(spans, time);
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
 * @param {Span[]} spans
 * @param {number} time
 */
function lastIfJustOver(spans, time) {
  const last = spans.at(-1);
  return last && time >= last.end && time - last.end < LAST_SPAN_SLACK_S ? last : undefined;
}

/**
 * The first model's best labels, and the second's best one if it is another.
 *
 * @param {ClassifyResponse[]} answers
 * @param {number} topK
 */
function labelsOf(answers, topK) {
  const labels = answers[0].predictions.slice(0, topK).map((prediction) => prediction.label);
  for (const answer of answers.slice(1)) {
    const best = answer.predictions[0]?.label;
    if (best !== undefined && !labels.includes(best)) labels.push(best);
  }
  return labels;
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
 * @param {string[]} labels
 * @returns {Series[]}
 */
function seriesOf(answer, model, labels) {
  const { timeline, frames } = answer;
  const table = timeline ?? frames;
  if (!table) return [];
  return labels.flatMap((label, colour) => {
    const column = table.labels.indexOf(label);
    if (column < 0) return [];
    const spans = timeline
      ? timeline.scores.map((row, i) => ({ start: timeline.start_s[i], end: timeline.end_s[i], score: row[column] }))
      : [];
    const samples =
      frames && !timeline ? frames.scores.map((row, i) => ({ time: frames.time_s[i], score: row[column] })) : [];
    return [{ label, colour, model, samples, spans }];
  });
}

/**
 * @param {SegmentBody[]} segments
 * @param {number} model
 * @param {string[]} labels
 * @returns {SegmentLabel[]}
 */
function segmentLabelsOf(segments, model, labels) {
  return segments.map(({ start_s: start, end_s: end, predictions: [{ label, score }] }) => ({
    label,
    colour: labels.indexOf(label),
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
