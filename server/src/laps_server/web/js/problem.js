/** Tells what went wrong: in words, with what to do, and with what somebody who helps will ask for. */

import { h } from './dom.js';
import { sentence } from './format.js';

/** @import {Failure} from './failure.js' */

/**
 * @param {HTMLElement} root an alert, so that it is read out
 * @param {Failure} failure
 * @param {(() => void)|null} retry
 */
export function showProblem(root, failure, retry) {
  const button = retry && h('button', { type: 'button', class: 'button' }, 'Try again');
  if (button && retry) button.addEventListener('click', retry);
  root.replaceChildren(
    h(
      'div',
      { class: 'problem card' },
      h(
        'div',
        { class: 'problem-words' },
        h('p', { class: 'problem-head' }, failure.headline),
        h('p', {}, sentence(failure.message)),
        failure.hint && h('p', { class: 'hint' }, sentence(failure.hint)),
        h(
          'p',
          { class: 'muted small' },
          h('code', {}, failure.code),
          failure.requestId && ' · request ',
          failure.requestId && h('code', {}, failure.requestId),
        ),
      ),
      button,
    ),
  );
}
