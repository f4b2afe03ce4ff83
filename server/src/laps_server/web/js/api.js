/**
 * The server's HTTP API. Addresses are relative to the page, so that a proxy may put it under a path.
 *
 * Uploads use XMLHttpRequest: nothing else reports how much of a body is sent (Chromium streams no request body over
 * HTTP/1.1). It also shows the answer's events as they arrive.
 */

import { keyHeaders } from './api_key.js';
import { bytes } from './format.js';
import { RequestError } from './request_errors.js';
import { eventReader } from './sse.js';

/** @import {ClassifyResponse, LimitsBody, ModelsResponse} from './api_types.js' */
/** @import {ClassifyEvent} from './types.js' */

/**
 * Is called while a request is answered.
 *
 * @typedef {object} ClassifyListener
 * @property {(share: number) => void} onUpload how much is sent, 0 to 1
 * @property {(event: ClassifyEvent) => void} onEvent each event but the last, see docs/streaming.md
 */

/**
 * The served models and the server's limits.
 *
 * @returns {Promise<ModelsResponse>}
 */
export async function fetchModels() {
  let response;
  try {
    response = await fetch('models', { headers: keyHeaders() });
  } catch {
    throw RequestError.unreachable();
  }
  if (!response.ok) throw RequestError.fromBody(await response.text(), response.status);
  return response.json();
}

/**
 * Throws at once if the server would refuse the file after the upload.
 *
 * @param {File} file
 * @param {LimitsBody} limits
 */
export function checkSize(file, limits) {
  if (file.size > limits.max_upload_bytes) {
    throw new RequestError({
      code: 'too_large',
      message: `the file has ${bytes(file.size)}, and the server takes at most ${bytes(limits.max_upload_bytes)}`,
      hint: 'choose a shorter or smaller video',
    });
  }
  if (file.size === 0) {
    throw new RequestError({ code: 'unsupported_container', message: 'the file is empty', hint: 'choose another one' });
  }
}

/**
 * Send a video and follow its classification.
 *
 * @param {File} file
 * @param {URLSearchParams} query
 * @param {ClassifyListener} listener
 * @param {AbortSignal} signal
 * @returns {Promise<ClassifyResponse>} rejects with a RequestError, or with an AbortError once the signal is aborted
 */
export function classify(file, query, listener, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    let seen = 0;
    /** @type {RequestError|null} */
    let error = null;
    /** @type {ClassifyResponse|null} */
    let answer = null;

    const read = eventReader((name, data) => {
      const event = /** @type {ClassifyEvent} */ ({ name, data: JSON.parse(data) }); // other names are ignored
      if (event.name === 'result') answer = event.data;
      else if (event.name === 'error') error = RequestError.fromEnvelope(event.data);
      else listener.onEvent(event);
    });
    const readMore = () => {
      if (request.status !== 200) return;
      const text = request.responseText;
      read(text.slice(seen));
      seen = text.length;
    };
    const settle = () => {
      if (request.status !== 200) reject(RequestError.fromBody(request.responseText, request.status));
      else if (answer) resolve(answer);
      else reject(error ?? RequestError.cut());
    };
    const cancel = () => reject(new DOMException('cancelled', 'AbortError'));

    request.open('POST', `classify?${query}`);
    for (const [name, value] of Object.entries(keyHeaders())) request.setRequestHeader(name, value);
    request.setRequestHeader('Accept', 'text/event-stream');
    request.setRequestHeader('Content-Type', 'application/octet-stream');
    request.upload.onprogress = (event) => listener.onUpload(event.total ? event.loaded / event.total : 0);
    request.upload.onload = () => listener.onUpload(1);
    request.onprogress = readMore;
    request.onload = () => {
      readMore();
      settle();
    };
    // A stream that broke off may have sent its error, or even its result, before.
    request.onerror = () => (answer || error || request.status === 200 ? settle() : reject(RequestError.unreachable()));
    request.onabort = cancel;
    signal.addEventListener('abort', () => request.abort(), { once: true });
    if (signal.aborted) cancel();
    else request.send(file);
  });
}
