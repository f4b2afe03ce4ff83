/**
 * The server's API, from its OpenAPI document. Written by `make docs`; edit the code it is derived from.
 *
 * What docs/api.md says of each field is not said again here.
 */

/**
 * @typedef {object} ClassifyQuery
 * @property {string|null} [model]
 * @property {number|null} [version]
 * @property {number|null} [top_k]
 * @property {string|null} [views]
 * @property {boolean} [frames]
 * @property {number|null} [deadline_ms]
 * @property {boolean} [thumbnails]
 * @property {boolean} [view_details]
 * @property {boolean} [explain]
 * @property {string|null} [segments]
 * @property {string[]|null} [labels]
 * @property {boolean} [embedding]
 */

/**
 * @typedef {object} ClassifyEvents
 * @property {AcceptedEvent} accepted
 * @property {DecodedEvent} decoded
 * @property {PartialEvent} partial
 * @property {SegmentEvent} segment
 * @property {ClassifyResponse} result
 * @property {ErrorEvent} error
 */

/**
 * @typedef {object} AcceptedEvent
 * @property {string} request_id
 * @property {ModelRef} model
 * @property {GridBody} views
 * @property {number} upload_bytes
 * @property {number|null} segment_s
 */

/**
 * @typedef {object} BoxBody
 * @property {number} x
 * @property {number} y
 * @property {number} width
 * @property {number} height
 */

/**
 * @typedef {object} ClassifyResponse
 * @property {string} request_id
 * @property {ModelRef} model
 * @property {PredictionBody[]} predictions
 * @property {number} agreement
 * @property {number} margin
 * @property {FramesBody|null} frames
 * @property {ViewsBody} views
 * @property {VideoBody} video
 * @property {TimingsBody} timings_ms
 * @property {string[]} warnings
 * @property {ThumbnailBody[]|null} [thumbnails]
 * @property {ReplayViewBody[]|null} [view_details]
 * @property {ReplayViewBody[]|null} [explain]
 * @property {SegmentBody[]|null} [segments]
 * @property {TimelineBody|null} [timeline]
 * @property {number[]|null} [embedding]
 */

/**
 * @typedef {object} CostBody
 * @property {number} gmacs
 * @property {number} parameters_m
 */

/**
 * @typedef {object} DecodedEvent
 * @property {VideoBody} video
 * @property {number} views_total
 * @property {number|null} segments_total
 * @property {string[]} warnings
 */

/**
 * @typedef {object} ErrorBody
 * @property {string} code
 * @property {string} message
 * @property {string|null} hint
 * @property {string} request_id
 */

/**
 * @typedef {object} ErrorEnvelope
 * @property {ErrorBody} error
 */

/**
 * @typedef {object} ErrorEvent
 * @property {ErrorBody} error
 * @property {number} status
 * @property {number|null} retry_after_s
 */

/**
 * @typedef {object} FailedVersionBody
 * @property {string} name
 * @property {number} version
 * @property {string} code
 * @property {string} message
 */

/**
 * @typedef {object} FramesBody
 * @property {'frame'|'step'|'clip'} kind
 * @property {(number|null)[]} index
 * @property {number[]} time_s
 * @property {number[]} from_s
 * @property {number[]} to_s
 * @property {string[]} labels
 * @property {number[][]} scores
 */

/**
 * @typedef {object} GridBody
 * @property {number} temporal
 * @property {number} spatial
 */

/**
 * @typedef {object} LimitsBody
 * @property {number} max_upload_bytes
 * @property {number} max_pixels
 * @property {number} max_temporal_views
 * @property {number[]} spatial_views
 * @property {number} max_segments
 * @property {number} max_requests
 * @property {number} upload_idle_timeout_ms
 * @property {number} default_deadline_ms
 * @property {number} max_deadline_ms
 */

/**
 * @typedef {object} ModelRef
 * @property {string} name
 * @property {number} version
 * @property {string} engine
 * @property {'float32'|'bfloat16'|'float16'|'int8'} precision
 */

/**
 * @typedef {object} ModelSummary
 * @property {string} name
 * @property {number[]} versions
 * @property {boolean} default
 * @property {string} family
 * @property {string} variant
 * @property {string} labels
 * @property {number} label_count
 * @property {string} default_views
 * @property {CostBody|null} cost
 * @property {boolean} untrained
 * @property {string} engine
 * @property {'float32'|'bfloat16'|'float16'|'int8'} precision
 */

/**
 * @typedef {object} ModelsResponse
 * @property {ModelSummary[]} models
 * @property {FailedVersionBody[]} failed
 * @property {LimitsBody} limits
 */

/**
 * @typedef {object} PartialEvent
 * @property {PredictionBody[]} predictions
 * @property {number} views_done
 * @property {number} views_total
 */

/**
 * @typedef {object} PredictionBody
 * @property {string} label
 * @property {number} index
 * @property {number} score
 */

/**
 * @typedef {object} ReplayFrameBody
 * @property {number|null} index
 * @property {number} pts
 * @property {number} time_s
 * @property {BoxBody} box
 */

/**
 * @typedef {object} ReplayViewBody
 * @property {number} temporal
 * @property {number} spatial
 * @property {ReplayFrameBody[]} frames
 */

/**
 * @typedef {object} SegmentBody
 * @property {number} index
 * @property {number} start_s
 * @property {number} end_s
 * @property {PredictionBody[]} predictions
 * @property {number} agreement
 * @property {number} margin
 * @property {FramesBody|null} frames
 * @property {ViewsBody} views
 * @property {ThumbnailBody[]|null} [thumbnails]
 * @property {string[]} warnings
 * @property {number[]|null} [embedding]
 */

/**
 * @typedef {object} SegmentEvent
 * @property {number} index
 * @property {number} start_s
 * @property {number} end_s
 * @property {PredictionBody[]} predictions
 * @property {number} agreement
 * @property {number} margin
 * @property {FramesBody|null} frames
 * @property {ViewsBody} views
 * @property {ThumbnailBody[]|null} [thumbnails]
 * @property {string[]} warnings
 * @property {number[]|null} [embedding]
 * @property {number} segments_done
 * @property {number} segments_total
 */

/**
 * @typedef {object} ThumbnailBody
 * @property {number|null} index
 * @property {number} time_s
 * @property {string} jpeg
 */

/**
 * @typedef {object} TimelineBody
 * @property {string[]} labels
 * @property {number[]} start_s
 * @property {number[]} end_s
 * @property {number[][]} scores
 */

/**
 * @typedef {object} TimingsBody
 * @property {number} upload
 * @property {number} decode
 * @property {number} queue
 * @property {number} infer
 * @property {number} total
 */

/**
 * @typedef {object} VideoBody
 * @property {string} container
 * @property {string} codec
 * @property {number} width
 * @property {number} height
 * @property {number|null} fps
 * @property {number|null} duration_s
 * @property {number|null} frame_count
 * @property {number} rotation
 * @property {string|null} sample_aspect_ratio
 * @property {number} stream_index
 */

/**
 * @typedef {object} ViewsBody
 * @property {number} temporal
 * @property {number} spatial
 * @property {number} used
 * @property {'laps_uniform'|'uniform_in_order'|'slowfast_uniform'|'slowfast_offset'|'strided_centre'|'segments_of_5'|'whole_clip'|'tokshift'|'steady_25'} sampling
 */

export {};
