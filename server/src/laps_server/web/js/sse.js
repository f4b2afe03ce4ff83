/** Reads server-sent events from text that arrives in pieces of any length. */

/**
 * @param {(name: string, data: string) => void} onEvent called once for each whole event; comments are skipped
 * @returns {(text: string) => void} takes the next piece
 */
export function eventReader(onEvent) {
  let buffer = '';
  let searched = 0;

  return (text) => {
    buffer += text;
    for (;;) {
      const end = buffer.indexOf('\n\n', searched);
      if (end < 0) {
        searched = Math.max(0, buffer.length - 1); // so that a large event is searched once, not once a piece
        return;
      }
      const block = buffer.slice(0, end);
      buffer = buffer.slice(end + 2);
      searched = 0;
      readBlock(block, onEvent);
    }
  };
}

/**
 * @param {string} block the lines of one event
 * @param {(name: string, data: string) => void} onEvent
 */
function readBlock(block, onEvent) {
  let name = 'message';
  const data = [];
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') name = value;
    else if (field === 'data') data.push(value);
  }
  if (data.length) onEvent(name, data.join('\n'));
}
