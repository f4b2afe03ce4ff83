/**
 * Shapes that the page's own modules hand each other. Those of the server's API are in api_types.js.
 *
 * @import {ClassifyEvents} from './api_types.js'
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
 * @typedef {{time: number, score: number}} Sample  The score of one sampled frame.
 * @typedef {{label: string, colour: number, model: number, samples: Sample[], spans: Span[]}} Series
 *   One of `samples` and `spans` is empty.
 * @typedef {{label: string, colour: number, model: number, start: number, end: number, score: number}} SegmentLabel
 *   The best label of one segment; `colour` is -1 if the label has no curve.
 * @typedef {{time: number, source: string}} SampledFrame  `source` is the address of an image.
 * @typedef {{label: string, colour: number, scores: (number|null)[]}} RankedLabel  A label's score in each model.
 * @typedef {{models: string[], duration: number, ranking: RankedLabel[], series: Series[],
 *   segmentLabels: SegmentLabel[], seekTimes: number[], sampledFrames: SampledFrame[]}} ChartData
 *   Model 0 is drawn solid, model 1 dashed. Arrow keys go from one of `seekTimes` to the next.
 */

export {};
