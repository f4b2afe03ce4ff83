/** A video from the file dialog, or dropped anywhere on the page. */

import { byId } from './dom.js';
import { bytes } from './format.js';

/** @import {LimitsBody} from './api_types.js' */

/**
 * @param {(file: File) => void} onFile
 */
export function watchForFiles(onFile) {
  const source = byId('source');
  const input = byId('file', HTMLInputElement);
  let depth = 0; // both events come for every element that the pointer crosses
  const mark = () => source.classList.toggle('is-over', depth > 0);

  input.addEventListener('change', () => {
    const file = input.files?.[0];
    input.value = ''; // so that choosing the same file again is a change too
    if (file) onFile(file);
  });
  document.addEventListener('dragenter', (event) => {
    if (!holdsFile(event)) return;
    depth += 1;
    mark();
  });
  document.addEventListener('dragleave', (event) => {
    if (!holdsFile(event)) return;
    depth = Math.max(0, depth - 1);
    mark();
  });
  document.addEventListener('dragover', (event) => {
    if (holdsFile(event)) event.preventDefault();
  });
  document.addEventListener('drop', (event) => {
    depth = 0;
    mark();
    const file = event.dataTransfer?.files[0];
    if (!file) return;
    event.preventDefault();
    onFile(file);
  });
}

/**
 * Turn the drop zone into a bar that names the chosen video.
 *
 * @param {File} file
 */
export function showChosen(file) {
  byId('source').classList.add('has-file');
  byId('source-title').textContent = file.name;
  byId('source-note').textContent = bytes(file.size);
  byId('choose').textContent = 'Choose another';
  byId('choose').classList.remove('primary');
  byId('record').textContent = 'Record';
}

/** @param {LimitsBody} limits */
export function showLimits(limits) {
  byId('source-note').textContent =
    `MP4, MOV, MKV, WebM, AVI, TS, FLV, Ogg or GIF, up to ${bytes(limits.max_upload_bytes)}. ` +
    'The file is sent to this server and nowhere else.';
}

/** @param {DragEvent} event */
function holdsFile(event) {
  return event.dataTransfer?.types.includes('Files') ?? false;
}
