/**
 * Shapes that the page's own modules hand each other. Those of the server's API are in api_types.js.
 *
 * @import {ClassifyEvents, FramesBody} from './api_types.js'
 *
 * One event of a classification.
 * @typedef {{[Name in keyof ClassifyEvents]: {name: Name, data: ClassifyEvents[Name]}}[keyof ClassifyEvents]}
 *   ClassifyEvent
 *
 * The chosen options; an empty string is the server's default.
 * @typedef {{model: string, compare: string, views: string, segments: string, topK: number}} Options
 *
 * What is drawn. Times are seconds from the video's first frame.
 * @typedef {{start: number, end: number, score: number}} Span  A score that holds for some time.
 * @typedef {{time: number, from: number, to: number, score: number}} Sample
 *   The score of one frame, step or clip; `time` is its middle.
 * @typedef {FramesBody['kind']|'segment'} RowKind  What a curve has one score for.
 * @typedef {{key: string, label: string, colour: number, model: number, kind: RowKind, samples: Sample[],
 *   spans: Span[]}} Series
 *   `key` is that of its RankedLabel. One of `samples` and `spans` is empty: segments have spans.
 * @typedef {{label: string, colour: number, model: number, start: number, end: number, score: number}} SegmentLabel
 *   The best label of one segment; `colour` is -1 if the label has no curve.
 * @typedef {{time: number, source: string}} SampledFrame  `source` is the address of an image.
 * @typedef {{key: string, label: string, model: number|null, colour: number, scores: (number|null)[]}} RankedLabel
 *   A label's score in each model, or in the one model that has it for its own; no two have the same `key`.
 * @typedef {{models: string[], duration: number, ranking: RankedLabel[], series: Series[],
 *   segmentLabels: SegmentLabel[], seekTimes: number[], sampledFrames: SampledFrame[]}} ChartData
 *   Model 0 is drawn solid, model 1 dashed. Arrow keys go from one of `seekTimes` to the next.
 */

export {};
