/**
 * The video and its time. Where the browser cannot play the file, the sampled frame nearest to the time stands in, and
 * the time is wherever it was sent.
 *
 * Events: `time` when the time changed, `still` when a sampled frame stands in or no longer does.
 */

import { h } from './dom.js';
import { place } from './format.js';
import { nearest } from './story.js';

/** @import {Still} from './types.js' */

const DECISION_MS = 4000; // a browser that has not refused a file by then is taken to play it

export class Player extends EventTarget {
  /** @param {HTMLElement} screen */
  constructor(screen) {
    super();
    this._screen = screen;
    this._time = 0;
    this._address = '';
    /** @type {Still[]} */
    this._stills = [];
    /** @type {HTMLVideoElement|null} */
    this._video = null;
    this._picture = h('img', { class: 'still', alt: '' });
    this._caption = h('p', { class: 'still-note' });
  }

  /** Seconds from the video's first frame. */
  get time() {
    return this._video ? this._video.currentTime : this._time;
  }

  /** Whether sampled frames stand in for the player. */
  get standsIn() {
    return this._video === null;
  }

  /**
   * Show a file.
   *
   * @param {File} file
   * @returns {Promise<boolean>} whether the browser plays it
   */
  async load(file) {
    this._release();
    this._stills = [];
    this._time = 0;
    this._address = URL.createObjectURL(file);
    const video = h('video', { controls: true, playsinline: true, preload: 'auto', 'aria-label': `Video ${file.name}` });
    this._video = video;
    this._screen.replaceChildren(video);
    for (const name of ['seeking', 'seeked', 'timeupdate', 'loadedmetadata']) {
      video.addEventListener(name, () => this._tell());
    }
    video.addEventListener('play', () => this._follow(video));
    const decided = decide(video);
    video.src = this._address;
    const plays = await decided;
    if (this._video === video && !plays) this._standIn(file);
    return plays;
  }

  /**
   * @param {number} time seconds
   */
  seek(time) {
    this._time = time;
    if (this._video) this._video.currentTime = time;
    else this._tell();
  }

  /** Play, or pause. */
  toggle() {
    if (!this._video) return;
    if (this._video.paused) this._video.play().catch(() => undefined); // it says so itself where it may not
    else this._video.pause();
  }

  /**
   * The sampled frames, for standing in.
   *
   * @param {Still[]} stills
   */
  setStills(stills) {
    this._stills = stills;
    if (this.standsIn) this._showStill();
  }

  _release() {
    this._video?.pause();
    this._video?.removeAttribute('src');
    this._video = null;
    if (this._address) URL.revokeObjectURL(this._address);
    this._address = '';
  }

  /** @param {File} file */
  _standIn(file) {
    this._release();
    const suffix = /\.([a-z0-9]{1,5})$/i.exec(file.name)?.[1];
    const kind = suffix ? `${suffix.toUpperCase()} file` : 'file';
    this._caption.textContent = `This browser cannot play this ${kind}: the sampled frames stand in for it.`;
    this._screen.replaceChildren(this._picture, this._caption);
    this._showStill();
    this.dispatchEvent(new Event('still'));
  }

  _showStill() {
    const still = this._stills[nearest(this._stills.map((each) => each.time), this._time)];
    this._picture.hidden = still === undefined;
    if (!still) return;
    this._picture.src = still.source;
    this._picture.alt = `Frame at ${place(still.time)}`;
  }

  /**
   * Tell the time at each picture while the video plays; its own events come four times a second.
   *
   * @param {HTMLVideoElement} video
   */
  _follow(video) {
    const step = () => {
      this._tell();
      if (this._video === video && !video.paused && !video.ended) requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  _tell() {
    if (this.standsIn) this._showStill();
    this.dispatchEvent(new Event('time'));
  }
}

/**
 * @param {HTMLVideoElement} video before it has a source
 * @returns {Promise<boolean>}
 */
function decide(video) {
  return new Promise((resolve) => {
    // A file whose sound alone can be decoded loads too, without pictures.
    video.addEventListener('loadeddata', () => resolve(video.videoWidth > 0), { once: true });
    video.addEventListener('error', () => resolve(false), { once: true });
    setTimeout(() => resolve(true), DECISION_MS);
  });
}
