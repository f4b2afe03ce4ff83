/**
 * The server's HTTP API. Addresses are relative to the page, so that a proxy may put it under a path.
 *
 * Uploads go by XMLHttpRequest: it is the only way that tells how much of a body is sent (Chromium streams no request
 * body over HTTP/1.1), and it shows the answer's events as they arrive.
 */

import { Failure } from './failure.js';
import { bytes } from './format.js';
import { eventReader } from './sse.js';

/** @import {Answer, Limits, Model} from './types.js' */

/**
 * What is told while a request is answered.
 *
 * @typedef {object} Listener
 * @property {(share: number) => void} onUpload how much is sent, 0 to 1
 * @property {(name: string, data: any) => void} onEvent each event but the last, see docs/streaming.md
 */

/**
 * The served models and the server's limits.
 *
 * @returns {Promise<{models: Model[], limits: Limits}>}
 */
export async function fetchModels() {
  let response;
  try {
    response = await fetch('models');
  } catch {
    throw Failure.unreachable();
  }
  if (!response.ok) throw Failure.fromBody(await response.text(), response.status);
  return response.json();
}

/**
 * Fails at once where the server would refuse the file after the upload.
 *
 * @param {File} file
 * @param {Limits} limits
 */
export function checkSize(file, limits) {
  if (file.size > limits.max_upload_bytes) {
    throw new Failure({
      code: 'too_large',
      message: `it has ${bytes(file.size)}, and the server takes ${bytes(limits.max_upload_bytes)}`,
      hint: 'choose a shorter or smaller video',
    });
  }
  if (file.size === 0) {
    throw new Failure({ code: 'unsupported_container', message: 'the file is empty', hint: 'choose another one' });
  }
}

/**
 * Send a video and follow its classification.
 *
 * @param {File} file
 * @param {URLSearchParams} query
 * @param {Listener} listener
 * @param {AbortSignal} signal
 * @returns {Promise<Answer>} rejects with a Failure, or an AbortError where the signal came
 */
export function classify(file, query, listener, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    let seen = 0;
    /** @type {Failure|null} */
    let failure = null;
    /** @type {Answer|null} */
    let answer = null;

    const read = eventReader((name, data) => {
      const body = JSON.parse(data);
      if (name === 'result') answer = body;
      else if (name === 'error') failure = Failure.fromEnvelope(body);
      else listener.onEvent(name, body);
    });
    const readMore = () => {
      if (request.status !== 200) return;
      const text = request.responseText;
      read(text.slice(seen));
      seen = text.length;
    };
    const settle = () => {
      if (request.status !== 200) reject(Failure.fromBody(request.responseText, request.status));
      else if (answer) resolve(answer);
      else reject(failure ?? Failure.cut());
    };

    request.open('POST', `classify?${query}`);
    request.setRequestHeader('Accept', 'text/event-stream');
    request.setRequestHeader('Content-Type', 'application/octet-stream');
    request.upload.onprogress = (event) => listener.onUpload(event.total ? event.loaded / event.total : 0);
    request.upload.onload = () => listener.onUpload(1);
    request.onprogress = readMore;
    request.onload = () => {
      readMore();
      settle();
    };
    // A stream that broke off may have told its error, or even its result, before.
    request.onerror = () => (answer || failure || request.status === 200 ? settle() : reject(Failure.unreachable()));
    request.onabort = () => reject(new DOMException('cancelled', 'AbortError'));
    signal.addEventListener('abort', () => request.abort(), { once: true });
    if (signal.aborted) reject(new DOMException('cancelled', 'AbortError'));
    else request.send(file);
  });
}
