/** The key of a server that asks for one: kept for the session of this tab and nowhere else. */

const NAME = 'laps-api-key';

/** @returns {Record<string, string>} what a request needs beside its own headers */
export function keyHeaders() {
  const key = stored()?.getItem(NAME);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/** @param {string} key as it was typed or pasted */
export function keepKey(key) {
  stored()?.setItem(NAME, key.trim());
}

/** Browsers may refuse storage altogether. */
function stored() {
  try {
    return window.sessionStorage;
  } catch {
    return null;
  }
}
