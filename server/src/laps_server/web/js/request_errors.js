/** What can go wrong with a request, in words. */

/** @import {ErrorEnvelope} from './api_types.js' */

/**
 * What each code means to somebody who looks at a page; the server's own message says more.
 *
 * tests/contract/test_errors.py compares the codes with the server's, and lists those that need no words here.
 */
const HEADLINES = new Map(
  Object.entries({
    unsupported_container: 'This file is not a video that the server can open',
    unsupported_codec: 'The server cannot decode this kind of video',
    no_video_stream: 'There is no video in this file',
    video_corrupt: 'This video is damaged',
    resolution_too_large: 'The frames of this video are too large',
    too_many_streams: 'This file has too many streams',
    decoder_crashed: 'The server gave up on decoding this video',
    too_large: 'This file is too large',
    slow_upload: 'The upload stalled',
    unauthorized: 'This server asks for a key',
    forbidden: 'Your key may not do this',
    quota_exceeded: 'Your key has used what it may for now',
    bad_parameter: 'The server does not accept one of the options',
    model_not_found: 'There is no such model',
    version_not_found: 'There is no such model',
    not_ready: 'The server is still loading its models',
    shutting_down: 'The server is shutting down',
    overloaded: 'The server is busy',
    storage_full: 'The server has no space left for uploads',
    deadline_exceeded: 'The classification took too long',
    backend_unavailable: 'The models are not available at the moment',
    backend_timeout: 'The model took too long to answer',
    backend_mismatch: 'The server is not set up correctly for this model',
    internal: 'Something went wrong on the server',
    unreachable: 'The server cannot be reached',
    cut: 'The connection closed before the answer arrived',
  }),
);

/** A request that failed; `message` is the server's own if it gave one. */
export class RequestError extends Error {
  /**
   * @param {{code: string, message: string, hint?: string|null, requestId?: string|null}} details
   */
  constructor({ code, message, hint = null, requestId = null }) {
    super(message);
    this.name = 'RequestError';
    this.code = code;
    this.hint = hint;
    this.requestId = requestId;
  }

  /** One line for people. */
  get headline() {
    return HEADLINES.get(this.code) ?? 'The video could not be classified';
  }

  /**
   * The error in an answer's body; a body without the server's error envelope gives one that says so.
   *
   * @param {string} body
   * @param {number} status
   */
  static fromBody(body, status) {
    try {
      return RequestError.fromEnvelope(JSON.parse(body));
    } catch {
      const message = `the answer was HTTP ${status}, and not in this server's format`;
      return new RequestError({ code: 'foreign', message, hint: 'it may have come from a proxy' });
    }
  }

  /** @param {ErrorEnvelope} envelope */
  static fromEnvelope({ error }) {
    const { code, message, hint, request_id: requestId } = error;
    return new RequestError({ code, message, hint, requestId });
  }

  static unreachable() {
    return new RequestError({
      code: 'unreachable',
      message: 'the connection failed or was closed',
      hint: 'check that the server is running, then try again',
    });
  }

  static cut() {
    return new RequestError({
      code: 'cut',
      message: 'the stream of events ended early',
      hint: 'the server may have stopped, or a proxy stopped waiting; try again',
    });
  }
}

/**
 * Whether an error is a cancellation, which is not reported.
 *
 * @param {unknown} error
 */
export function isCancellation(error) {
  return error instanceof DOMException && error.name === 'AbortError';
}
