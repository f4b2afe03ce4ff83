/**
 * Shapes that modules hand each other. The first part is the server's API, as its OpenAPI page shows it.
 *
 * @typedef {{label: string, index: number, score: number}} Prediction
 * @typedef {{index: (number|null)[], time_s: number[], labels: string[], scores: number[][]}} Frames
 *   `scores[i][j]` is frame i, label j.
 * @typedef {{index: number|null, time_s: number, jpeg: string}} Thumbnail  `jpeg` is base64.
 * @typedef {{labels: string[], start_s: number[], end_s: number[], scores: number[][]}} Timeline
 * @typedef {{container: string, codec: string, width: number, height: number, fps: number|null,
 *   duration_s: number|null, frame_count: number|null, rotation: number}} VideoFacts
 * @typedef {{upload: number, decode: number, queue: number, infer: number, total: number}} Timings  Milliseconds.
 * @typedef {{index: number, start_s: number, end_s: number, predictions: Prediction[],
 *   thumbnails: Thumbnail[]|null, warnings: string[]}} Segment
 * @typedef {{request_id: string, model: {name: string, version: number}, predictions: Prediction[],
 *   frames: Frames|null, views: {temporal: number, spatial: number, used: number, sampling: string},
 *   video: VideoFacts, timings_ms: Timings, warnings: string[], thumbnails: Thumbnail[]|null,
 *   segments: Segment[]|null, timeline: Timeline|null}} Answer
 * @typedef {{name: string, default: boolean, label_count: number, default_views: string,
 *   untrained: boolean}} Model
 * @typedef {{max_upload_bytes: number, max_temporal_views: number, spatial_views: number[]}} Limits
 *
 * What a person chose; an empty string is the server's default.
 * @typedef {{model: string, compare: string, views: string, segments: string, topK: number}} Options
 *
 * What is drawn. Times are seconds from the video's first frame.
 * @typedef {{start: number, end: number, score: number}} Span  A score that holds for some time.
 * @typedef {{t: number, score: number}} Point  A score of one sampled frame.
 * @typedef {{label: string, colour: number, model: number, points: Point[], spans: Span[]}} Series
 *   One of `points` and `spans` is empty.
 * @typedef {{label: string, colour: number, model: number, start: number, end: number, score: number}} Cell
 *   The best label of one segment; `colour` is -1 where it has no curve.
 * @typedef {{time: number, source: string}} Still  A sampled frame as the address of a picture.
 * @typedef {{label: string, colour: number, scores: (number|null)[]}} Rank  A label's score in each model.
 * @typedef {{models: string[], duration: number, ranking: Rank[], series: Series[], cells: Cell[],
 *   stops: number[], stills: Still[]}} Story
 *   `stops` are the times that arrow keys go to. Model 0 is drawn solid, model 1 dashed.
 */

export {};
