/** What can go wrong with a request, in words. */

/**
 * What each code means to somebody who looks at a page; the server's own message says more.
 *
 * tests/contract/test_errors.py compares the codes with the server's, and lists those that need no words here.
 */
const HEADLINES = new Map(
  Object.entries({
    unsupported_container: 'This file is not a video that the server can open',
    unsupported_codec: 'The server does not decode this kind of video',
    no_video_stream: 'There is no picture in this file',
    video_corrupt: 'This video is damaged',
    resolution_too_large: 'The pictures of this video are too large',
    too_many_streams: 'This file holds too many streams',
    too_large: 'This file is too large',
    slow_upload: 'The upload stalled',
    bad_parameter: 'One of the choices does not work',
    model_not_found: 'There is no such model',
    version_not_found: 'There is no such model',
    not_ready: 'The server is still loading its models',
    shutting_down: 'The server is shutting down',
    overloaded: 'The server is busy',
    storage_full: 'The server has no room for uploads',
    deadline_exceeded: 'It took too long',
    backend_unavailable: 'The models are not available at the moment',
    backend_timeout: 'The model took too long to answer',
    backend_mismatch: 'The server is not set up correctly for this model',
    internal: 'Something went wrong on the server',
    unreachable: 'The server cannot be reached',
    cut: 'The connection ended before the answer',
  }),
);

/** A request that failed; `message` is the server's own where it gave one. */
export class Failure extends Error {
  /**
   * @param {{code: string, message: string, hint?: string|null, requestId?: string|null}} what
   */
  constructor({ code, message, hint = null, requestId = null }) {
    super(message);
    this.name = 'Failure';
    this.code = code;
    this.hint = hint;
    this.requestId = requestId;
  }

  /** One line for people. */
  get headline() {
    return HEADLINES.get(this.code) ?? 'The video could not be classified';
  }

  /**
   * The failure that the server's envelope tells; anything else becomes one that says so.
   *
   * @param {string} body
   * @param {number} status
   */
  static fromBody(body, status) {
    try {
      return Failure.fromEnvelope(JSON.parse(body));
    } catch {
      const message = `the answer was HTTP ${status} and not of this server's form`;
      return new Failure({ code: 'foreign', message, hint: 'a proxy in between may have answered' });
    }
  }

  /** @param {{error: {code: string, message: string, hint: string|null, request_id: string}}} envelope */
  static fromEnvelope({ error }) {
    return new Failure({ code: error.code, message: error.message, hint: error.hint, requestId: error.request_id });
  }

  static unreachable() {
    return new Failure({
      code: 'unreachable',
      message: 'the connection failed or was closed',
      hint: 'check that the server is running, then try again',
    });
  }

  static cut() {
    return new Failure({
      code: 'cut',
      message: 'the stream of events broke off',
      hint: 'the server may have stopped, or a proxy gave up waiting; try again',
    });
  }
}

/**
 * Whether an error is a cancellation, which is nothing to report.
 *
 * @param {unknown} error
 */
export function isCancellation(error) {
  return error instanceof DOMException && error.name === 'AbortError';
}
