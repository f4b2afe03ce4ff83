/** Says what went wrong, what to do about it, and the code and request that somebody who helps will ask for. */

import { keepKey } from './api_key.js';
import { h } from './dom.js';
import { sentence } from './format.js';

/** @import {RequestError} from './request_errors.js' */

/**
 * @param {HTMLElement} root an alert, so that it is read out
 * @param {RequestError} error
 * @param {() => void} retry
 */
export function showErrorPanel(root, error, retry) {
  const button = h('button', { type: 'button', class: 'button' }, 'Try again');
  button.addEventListener('click', retry);
  root.replaceChildren(
    h(
      'div',
      { class: 'error-panel card' },
      h(
        'div',
        { class: 'error-text' },
        h('p', { class: 'error-headline' }, error.headline),
        h('p', {}, sentence(error.message)),
        error.hint && h('p', { class: 'hint' }, sentence(error.hint)),
        h(
          'p',
          { class: 'muted small' },
          h('code', {}, error.code),
          error.requestId && ' · request ',
          error.requestId && h('code', {}, error.requestId),
        ),
      ),
      error.code === 'unauthorized' ? keyForm(retry) : button,
    ),
  );
}

/** @param {() => void} retry */
function keyForm(retry) {
  const input = h('input', { type: 'password', id: 'api-key', autocomplete: 'off', spellcheck: 'false', required: true });
  const form = h(
    'form',
    { class: 'key-form' },
    h('label', { for: 'api-key' }, 'Key'),
    input,
    h('button', { type: 'submit', class: 'button primary' }, 'Use it'),
    h('p', { class: 'muted small' }, 'It is kept until this tab is closed.'),
  );
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    keepKey(input.value);
    retry();
  });
  return form;
}
