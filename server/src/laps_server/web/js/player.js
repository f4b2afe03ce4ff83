/**
 * The video and its time. If the browser cannot play the file, the sampled frame nearest to the time is shown instead,
 * and the time is the one last sought.
 *
 * Event: `time` when the time changed.
 */

import { nearest } from './chart_data.js';
import { h } from './dom.js';
import { timestamp } from './format.js';

/** @import {SampledFrame} from './types.js' */

const DECISION_MS = 4000; // a browser that has not refused a file by then is taken to play it

export class Player extends EventTarget {
  /** @param {HTMLElement} screen */
  constructor(screen) {
    super();
    this._screen = screen;
    this._time = 0;
    this._address = '';
    /** @type {SampledFrame[]} */
    this._sampledFrames = [];
    /** @type {HTMLVideoElement|null} null while sampled frames are shown */
    this._video = null;
    this._image = h('img', { class: 'sampled-frame', alt: '' });
    this._caption = h('p', { class: 'sampled-frame-note' });
  }

  /** Seconds from the video's first frame. */
  get time() {
    return this._video ? this._video.currentTime : this._time;
  }

  /**
   * Show a file.
   *
   * @param {File} file
   * @returns {Promise<boolean>} whether the browser plays it
   */
  async load(file) {
    this._release();
    this._sampledFrames = [];
    this._time = 0;
    this._address = URL.createObjectURL(file);
    const video = h('video', { controls: true, playsinline: true, preload: 'auto', 'aria-label': `Video ${file.name}` });
    this._video = video;
    this._screen.replaceChildren(video);
    for (const name of ['seeking', 'seeked', 'timeupdate', 'loadedmetadata']) {
      video.addEventListener(name, () => this._onTime());
    }
    video.addEventListener('play', () => this._follow(video));
    const decided = decide(video);
    video.src = this._address;
    const plays = await decided;
    if (this._video === video && !plays) this._showFramesInstead(file);
    return plays;
  }

  /**
   * @param {number} time seconds
   */
  seek(time) {
    this._time = time;
    if (this._video) this._video.currentTime = time;
    else this._onTime();
  }

  /** Play, or pause. */
  toggle() {
    if (!this._video) return;
    if (this._video.paused) this._video.play().catch(() => undefined); // the player itself shows why it may not
    else this._video.pause();
  }

  /**
   * The frames to show if the browser cannot play the file.
   *
   * @param {SampledFrame[]} frames
   */
  setSampledFrames(frames) {
    this._sampledFrames = frames;
    if (!this._video) this._showFrame();
  }

  _release() {
    this._video?.pause();
    this._video?.removeAttribute('src');
    this._video = null;
    if (this._address) URL.revokeObjectURL(this._address);
    this._address = '';
  }

  /** @param {File} file */
  _showFramesInstead(file) {
    this._release();
    const suffix = /\.([a-z0-9]{1,5})$/i.exec(file.name)?.[1];
    const kind = suffix ? `${suffix.toUpperCase()} file` : 'file';
    this._caption.textContent = `This browser cannot play this ${kind}. The sampled frames are shown instead.`;
    this._screen.replaceChildren(this._image, this._caption);
    this._showFrame();
  }

  _showFrame() {
    const frame = this._sampledFrames[nearest(this._sampledFrames.map((each) => each.time), this._time)];
    this._image.hidden = frame === undefined;
    if (!frame) return;
    this._image.src = frame.source;
    this._image.alt = `Frame at ${timestamp(frame.time)}`;
  }

  /**
   * Report the time at each repaint while the video plays; its own events come four times a second.
   *
   * @param {HTMLVideoElement} video
   */
  _follow(video) {
    const step = () => {
      this._onTime();
      if (this._video === video && !video.paused && !video.ended) requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  _onTime() {
    if (!this._video) this._showFrame();
    this.dispatchEvent(new Event('time'));
  }
}

/**
 * @param {HTMLVideoElement} video before it has a source
 * @returns {Promise<boolean>}
 */
function decide(video) {
  return new Promise((resolve) => {
    // A file of which only the sound can be decoded loads too, without a size.
    video.addEventListener('loadeddata', () => resolve(video.videoWidth > 0), { once: true });
    video.addEventListener('error', () => resolve(false), { once: true });
    setTimeout(() => resolve(true), DECISION_MS);
  });
}
