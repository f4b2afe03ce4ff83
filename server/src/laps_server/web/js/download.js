/** Files made of an answer: its JSON, and the chart as SVG or PNG. */

import { drawChart } from './chart.js';
import { h, svg } from './dom.js';

/** @import {ClassifyResponse} from './api_types.js' */
/** @import {ChartData} from './types.js' */

const WIDTH = 960;
const HEIGHT = 360;
const MARGIN = 16;
const PNG_SCALE = 2;
/** Characters that a file's name may hold and XML may not, not even escaped; the serializer lets them through. */
const NOT_XML = /[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/gu;
/** Styles that are copied from the page's style sheet into attributes, which every program reads. */
const INHERITED = [
  'fill',
  'fill-opacity',
  'stroke',
  'stroke-width',
  'stroke-dasharray',
  'stroke-linecap',
  'stroke-linejoin',
  'stroke-opacity',
  'font-family',
  'font-size',
  'font-weight',
];

/**
 * @param {ClassifyResponse[]} answers one, or two of a comparison
 * @returns {Blob} the answer as the server gave it, or a list of both
 */
export function jsonFile(answers) {
  const body = answers.length === 1 ? answers[0] : answers;
  return new Blob([`${JSON.stringify(body, null, 2)}\n`], { type: 'application/json' });
}

/**
 * The chart as a drawing outside the page: light, with title and legend.
 *
 * @param {ChartData} data
 * @param {string} title
 * @param {Set<string>} hidden keys of the labels without curves
 * @returns {{text: string, width: number, height: number}}
 */
export function svgText(data, title, hidden) {
  const shown = { ...data, ranking: data.ranking.filter((each) => !hidden.has(each.key)) };
  const { root } = drawChart(shown, { width: WIDTH, height: HEIGHT, hidden, title });
  const holder = h('div', { class: 'offscreen', 'data-theme': 'light', 'aria-hidden': 'true' }, root);
  document.body.append(holder); // styles are computed only for what is in the document
  try {
    const elements = [...root.querySelectorAll('*')];
    for (const element of elements) {
      const style = getComputedStyle(element);
      for (const name of INHERITED) element.setAttribute(name, style.getPropertyValue(name));
    }
    // Only now: what an element looks like depends on the classes around it.
    for (const element of elements) element.removeAttribute('class');
    const height = Number(root.getAttribute('height')) + MARGIN;
    root.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
    root.setAttribute('height', String(height));
    root.setAttribute('viewBox', `0 0 ${WIDTH} ${height}`);
    root.removeAttribute('class');
    root.removeAttribute('aria-hidden');
    root.prepend(svg('rect', { width: '100%', height: '100%', fill: '#ffffff' }));
    const text = new XMLSerializer().serializeToString(root).replace(NOT_XML, '');
    return { text, width: WIDTH, height };
  } finally {
    holder.remove();
  }
}

/**
 * @param {{text: string, width: number, height: number}} drawing
 * @returns {Promise<Blob>}
 */
export async function pngFile({ text, width, height }) {
  const address = URL.createObjectURL(new Blob([text], { type: 'image/svg+xml' }));
  try {
    const image = new Image(width, height);
    image.src = address;
    await image.decode();
    const canvas = h('canvas', { width: width * PNG_SCALE, height: height * PNG_SCALE });
    canvas.getContext('2d')?.drawImage(image, 0, 0, canvas.width, canvas.height);
    return await new Promise((resolve, reject) => {
      canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error('no PNG was made'))), 'image/png');
    });
  } finally {
    URL.revokeObjectURL(address);
  }
}

/**
 * Have the browser save a file.
 *
 * @param {Blob} blob
 * @param {string} name
 */
export function save(blob, name) {
  const address = URL.createObjectURL(blob);
  h('a', { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000); // the browser reads it after the click
}
