/** How far to trust an answer's first label, in words: those of the client's cli/result_block.py, with its numbers. */

/** @import {ClassifyResponse, SegmentBody} from './api_types.js' */

const MOST_AGREE = 2 / 3; // of the views; fewer make an answer doubtful
const CLOSE = 0.1; // margins below it make one doubtful
const FAR_AHEAD = 0.5; // from this margin on the first label has more than all others together
const ROUNDING = 1e-6;

/**
 * "all 3 views agree; far ahead of the next label", or "in doubt: 1 of 3 views agrees; the next label is close".
 *
 * A single view can neither agree nor disagree. Null where there is nothing to say.
 *
 * @param {Pick<ClassifyResponse|SegmentBody, 'agreement'|'margin'|'predictions'|'views'>} answer
 * @returns {{words: string, doubtful: boolean}|null}
 */
export function doubt({ agreement, margin, predictions, views: { used } }) {
  const { score } = predictions[0];
  const agreeing = Math.round(agreement * used);
  const few = agreeing < MOST_AGREE * used;
  // With one label ranked nothing is behind it. Among several, all the score may be the first one's too.
  const alone = predictions.length === 1 && margin === score;
  // Two labels that add up to more than 1 are no rivals: the model scores each label for itself.
  const rivals = 2 * score - margin <= 1 + ROUNDING;
  const doubtful = few || (!alone && margin < CLOSE && rivals);
  const parts = [used > 1 && agreementOf(agreeing, used), !alone && lead(margin)].filter(Boolean);
  return parts.length ? { words: `${doubtful ? 'in doubt: ' : ''}${parts.join('; ')}`, doubtful } : null;
}

/**
 * @param {number} agreeing
 * @param {number} used
 */
function agreementOf(agreeing, used) {
  if (agreeing === used) return `all ${used} views agree`;
  return agreeing < 2 ? `${agreeing || 'none'} of ${used} views agrees` : `${agreeing} of ${used} views agree`;
}

/** @param {number} margin */
function lead(margin) {
  if (margin < CLOSE) return 'the next label is close';
  return margin >= FAR_AHEAD ? 'far ahead of the next label' : 'ahead of the next label';
}
