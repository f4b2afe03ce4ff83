/** Numbers as people read them. */

/**
 * 0.934 as "93 %", 0.0241 as "2.4 %", 0.0004 as "<0.1 %".
 *
 * @param {number|null} score a probability, or null if there is none
 */
export function percent(score) {
  if (score === null) return '–';
  const value = score * 100;
  if (value > 0 && value < 0.1) return '<0.1 %';
  const whole = value >= 10 && value < 99.5;
  const digits = whole || value === 0 || value >= 99.95 ? 0 : 1;
  return `${value.toFixed(digits)} %`;
}

/**
 * A share on an axis: 0.25 as "25 %", 0.025 as "2.5 %".
 *
 * @param {number} share
 */
export function tickPercent(share) {
  return `${Number((share * 100).toPrecision(6))} %`;
}

/**
 * A time in the video: "2.5 s" below a minute, then "1:02.5", then "1:02:03".
 *
 * @param {number} seconds
 */
export function timestamp(seconds) {
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  return seconds < 3600 ? clock(seconds, 1) : clock(seconds, 0);
}

/**
 * From one time in the video to another: "8.4 s to 9.0 s".
 *
 * @param {number} from seconds
 * @param {number} to seconds
 */
export function stretch(from, to) {
  return `${timestamp(from)} to ${timestamp(to)}`;
}

/**
 * A time on an axis whose marks are `step` apart.
 *
 * @param {number} seconds
 * @param {number} step
 * @param {number} duration
 */
export function tickTime(seconds, step, duration) {
  if (duration < 60) return `${Number(seconds.toFixed(2))} s`;
  return clock(seconds, step < 1 ? 1 : 0);
}

/**
 * @param {number} seconds
 * @param {number} digits of the seconds
 */
function clock(seconds, digits) {
  const rounded = Number(seconds.toFixed(digits));
  const hours = Math.floor(rounded / 3600);
  const minutes = Math.floor((rounded % 3600) / 60);
  const rest = (rounded % 60).toFixed(digits).padStart(digits ? 3 + digits : 2, '0');
  return hours ? `${hours}:${String(minutes).padStart(2, '0')}:${rest}` : `${minutes}:${rest}`;
}

/**
 * Bytes as "35 KiB" or "1.2 GiB".
 *
 * @param {number} count
 */
export function bytes(count) {
  const units = ['bytes', 'KiB', 'MiB', 'GiB'];
  let unit = 0;
  let value = count;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/**
 * Milliseconds as "12 ms" or "1.4 s".
 *
 * @param {number} value
 */
export function milliseconds(value) {
  return value < 1000 ? `${value < 10 ? value.toFixed(1) : Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`;
}

/**
 * A message as a sentence: the server's begin with a small letter and end without a full stop.
 *
 * @param {string} text
 */
export function sentence(text) {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}
