/** Records a clip with the webcam. */

import { byId } from './dom.js';

const TYPES = ['video/webm;codecs=vp9', 'video/webm;codecs=vp8', 'video/webm', 'video/mp4'];
const LONGEST_S = 60;

export class Recorder {
  /** @param {(file: File) => void} onFile */
  constructor(onFile) {
    this._onFile = onFile;
    this._dialog = byId('recorder', HTMLDialogElement);
    this._preview = byId('preview', HTMLVideoElement);
    this._status = byId('recorder-status');
    this._go = byId('recorder-go', HTMLButtonElement);
    /** @type {MediaStream|null} */
    this._stream = null;
    /** @type {MediaRecorder|null} */
    this._recorder = null;
    this._timer = 0;

    byId('record').addEventListener('click', () => this._open());
    byId('recorder-close').addEventListener('click', () => this._dialog.close());
    this._dialog.addEventListener('close', () => this._release());
    this._go.addEventListener('click', () => (this._recorder ? this._recorder.stop() : this._begin()));
  }

  async _open() {
    this._dialog.showModal();
    this._go.disabled = true;
    this._showStatus('Waiting for the webcam.');
    if (!navigator.mediaDevices || typeof MediaRecorder === 'undefined') {
      this._showStatus('Browsers allow the webcam only on pages served over HTTPS or from this computer.');
      return;
    }
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 } }, audio: false });
      if (!this._dialog.open) {
        for (const track of stream.getTracks()) track.stop();
        return;
      }
      this._stream = stream;
      this._preview.srcObject = stream;
      await this._preview.play();
      this._go.disabled = false;
      this._showStatus(`Ready. Records up to ${LONGEST_S} seconds, without sound.`);
    } catch (error) {
      if (this._dialog.open) this._showStatus(`The webcam cannot be used: ${reasonFor(error)}.`);
    }
  }

  _begin() {
    if (!this._stream) return;
    const mimeType = TYPES.find((type) => MediaRecorder.isTypeSupported(type));
    const recorder = new MediaRecorder(this._stream, mimeType ? { mimeType } : {});
    /** @type {Blob[]} */
    const parts = [];
    recorder.ondataavailable = (event) => parts.push(event.data);
    recorder.onstop = () => {
      const closed = this._recorder !== recorder; // the dialog was closed: the recording is dropped
      this._recorder = null;
      if (closed) return;
      const type = recorder.mimeType.split(';')[0];
      this._dialog.close();
      this._onFile(new File(parts, `webcam.${type === 'video/mp4' ? 'mp4' : 'webm'}`, { type }));
    };
    recorder.start();
    this._recorder = recorder;
    this._go.textContent = 'Stop';
    this._go.classList.add('recording');
    const began = performance.now();
    const tick = () => {
      const seconds = Math.floor((performance.now() - began) / 1000);
      this._showStatus(`Recording, ${seconds} s`);
      if (seconds >= LONGEST_S && recorder.state === 'recording') recorder.stop();
    };
    tick();
    this._timer = window.setInterval(tick, 1000);
  }

  _release() {
    window.clearInterval(this._timer);
    const recorder = this._recorder;
    this._recorder = null;
    if (recorder?.state === 'recording') recorder.stop();
    for (const track of this._stream?.getTracks() ?? []) track.stop();
    this._stream = null;
    this._preview.srcObject = null;
    this._go.textContent = 'Record';
    this._go.classList.remove('recording');
  }

  /** @param {string} text */
  _showStatus(text) {
    this._status.textContent = text;
  }
}

/** @param {unknown} error */
function reasonFor(error) {
  const name = error instanceof DOMException ? error.name : '';
  if (name === 'NotAllowedError') return 'access was denied';
  if (name === 'NotFoundError') return 'none was found';
  if (name === 'NotReadableError') return 'another program is using it';
  return 'it did not start';
}
