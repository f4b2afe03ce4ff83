/** From answers to what is drawn: which labels, their curves, where keys stop. Pure functions. */

/** @import {Answer, Cell, Prediction, Rank, Segment, Series, Still, Story, VideoFacts} from './types.js' */

/**
 * The story of one answer, or of two of the same video.
 *
 * @param {Answer[]} answers the first is drawn solid and gives the labels
 * @param {number} topK how many labels
 * @returns {Story}
 */
export function tell(answers, topK) {
  const first = answers[0];
  const labels = labelsOf(answers, topK);
  const stops = first.timeline ? first.timeline.start_s : (first.frames?.time_s ?? []);
  return {
    models: answers.map((answer) => answer.model.name),
    duration: durationOf(first),
    ranking: rank(labels, answers.map((answer) => answer.predictions)),
    series: answers.flatMap((answer, model) => seriesOf(answer, model, labels)),
    cells: answers.flatMap((answer, model) => cellsOf(answer.segments ?? [], model, labels)),
    stops,
    stills: stillsOf(first),
  };
}

/**
 * The story so far, of segments that are done. Their curves have gaps where a label was not among a segment's best.
 *
 * @param {string} model
 * @param {VideoFacts} video
 * @param {Segment[]} segments in order of time
 * @param {number} topK
 * @returns {Story}
 */
export function tellSoFar(model, video, segments, topK) {
  /** @type {Map<string, number>} */
  const sums = new Map();
  for (const segment of segments) {
    for (const { label, score } of segment.predictions) sums.set(label, (sums.get(label) ?? 0) + score);
  }
  const labels = [...sums].sort((a, b) => b[1] - a[1]).slice(0, topK).map(([label]) => label);
  const series = labels.map((label, colour) => {
    const spans = segments.flatMap(({ start_s, end_s, predictions }) => {
      const found = predictions.find((prediction) => prediction.label === label);
      return found ? [{ start: start_s, end: end_s, score: found.score }] : [];
    });
    return { label, colour, model: 0, points: [], spans };
  });
  const last = segments[segments.length - 1];
  return {
    models: [model],
    duration: Math.max(video.duration_s ?? 0, last?.end_s ?? 0),
    ranking: rank(labels, [last?.predictions ?? []]),
    series,
    cells: cellsOf(segments, 0, labels),
    stops: segments.map((segment) => segment.start_s),
    stills: segments.flatMap(stillOf),
  };
}

/**
 * Labels with their scores in each list.
 *
 * @param {string[]} labels
 * @param {Prediction[][]} lists one for each model
 * @returns {Rank[]}
 */
export function rank(labels, lists) {
  return labels.map((label, colour) => ({
    label,
    colour,
    scores: lists.map((list) => list.find((prediction) => prediction.label === label)?.score ?? null),
  }));
}

/**
 * The score at a time: of the nearest sampled frame, or of the segment around it; null where there is none.
 *
 * @param {Series} series
 * @param {number} time
 */
export function scoreAt({ points, spans }, time) {
  const span = spans.find(({ start, end }) => time >= start && time < end) ?? lastIfAfter(spans, time);
  if (span) return span.score;
  if (!points.length) return null;
  return points[nearest(points.map((point) => point.t), time)].score;
}

/**
 * Index of the time that is nearest; -1 where there is none.
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
 * @param {{start: number, end: number, score: number}[]} spans
 * @param {number} time
 */
function lastIfAfter(spans, time) {
  const last = spans[spans.length - 1];
  return last && time >= last.end && time - last.end < 0.5 ? last : undefined;
}

/**
 * The first model's best labels, and the second's best one if it is another.
 *
 * @param {Answer[]} answers
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
 * @param {Answer} answer
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
    const points =
      frames && !timeline ? frames.scores.map((row, i) => ({ t: frames.time_s[i], score: row[column] })) : [];
    return [{ label, colour, model, points, spans }];
  });
}

/**
 * @param {Segment[]} segments
 * @param {number} model
 * @param {string[]} labels
 * @returns {Cell[]}
 */
function cellsOf(segments, model, labels) {
  return segments.map(({ start_s: start, end_s: end, predictions: [{ label, score }] }) => ({
    label,
    colour: labels.indexOf(label),
    model,
    start,
    end,
    score,
  }));
}

/** @param {Answer} answer */
function durationOf({ video, frames, timeline }) {
  const ends = timeline ? timeline.end_s : (frames?.time_s ?? []);
  return Math.max(video.duration_s ?? 0, ends[ends.length - 1] ?? 0);
}

/**
 * @param {Answer} answer
 * @returns {Still[]}
 */
function stillsOf({ thumbnails, segments }) {
  if (segments) return segments.flatMap(stillOf);
  return (thumbnails ?? []).map(still);
}

/**
 * @param {Segment} segment one picture of it stands for all
 * @returns {Still[]}
 */
function stillOf({ thumbnails }) {
  return (thumbnails ?? []).map(still);
}

/**
 * @param {{time_s: number, jpeg: string}} thumbnail
 * @returns {Still}
 */
function still({ time_s, jpeg }) {
  return { time: time_s, source: `data:image/jpeg;base64,${jpeg}` };
}
