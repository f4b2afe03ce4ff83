/** Draws a story as SVG. Looks are in css/chart.css; what is drawn depends on nothing but the arguments. */

import { smoothPath, stepPaths } from './curve.js';
import { svg } from './dom.js';
import { percent, place, tickPercent, tickTime } from './format.js';
import { linear, scoreTop, timeTicks } from './scale.js';

/** @import {Scale} from './scale.js' */
/** @import {Series, Story} from './types.js' */

/**
 * @typedef {object} Look
 * @property {number} width pixels
 * @property {number} height of the plot with its axes, pixels; a legend comes on top of it
 * @property {Set<string>} [hidden] labels without curves
 * @property {string} [title] for a drawing that stands alone: title and legend are drawn
 *
 * @typedef {object} Chart
 * @property {SVGSVGElement} root
 * @property {Scale} x seconds to pixels
 * @property {{left: number, right: number, top: number, bottom: number}} area of the curves, pixels
 */

const COLOURS = 10; // classes c0 to c9 of the style sheet
const MARGIN = { left: 46, right: 14, top: 10, bottom: 30 };
const RIBBON = 20;
const RIBBON_GAP = 4;
const LEGEND_ROW = 22;
const MOST_DOTS_PER_PIXEL = 1 / 9;

/**
 * @param {Story} story
 * @param {Look} look
 * @returns {Chart}
 */
export function drawChart(story, { width, height, hidden = new Set(), title }) {
  const head = title === undefined ? { node: null, height: 0 } : drawHead(story, title, width);
  const ribbons = new Set(story.cells.map((cell) => cell.model)).size;
  const area = {
    left: MARGIN.left,
    right: width - MARGIN.right,
    top: head.height + MARGIN.top + ribbons * (RIBBON + RIBBON_GAP),
    bottom: head.height + height - MARGIN.bottom,
  };
  const series = story.series.filter((each) => !hidden.has(each.label));
  const x = linear([0, story.duration || 1], [area.left, area.right]);
  const highest = Math.max(0, ...story.series.flatMap((each) => [...each.points, ...each.spans]).map((p) => p.score));
  const top = scoreTop(highest);
  const y = linear([0, top], [area.bottom, area.top]);

  const total = head.height + height;
  const root = svg(
    'svg',
    { class: 'chart', width, height: total, viewBox: `0 0 ${width} ${total}`, 'aria-hidden': true },
    head.node,
    drawScores(y, top, area),
    drawTimes(x, story.duration, area),
    drawRibbons(story, x, head.height + MARGIN.top),
    // The second model first, so that solid lines lie over dashed ones.
    ...[...series].sort((a, b) => b.model - a.model).map((each) => drawSeries(each, x, y)),
  );
  return { root, x, area };
}

/**
 * @param {number} colour
 */
export function colourClass(colour) {
  return colour < 0 ? 'other' : `c${colour % COLOURS}`;
}

/**
 * @param {Series} series
 * @param {Scale} x
 * @param {Scale} y
 */
function drawSeries({ label, colour, model, points, spans }, x, y) {
  const places = points.map(({ t, score }) => ({ x: x(t), y: y(score) }));
  const steps = stepPaths(spans.map(({ start, end, score }) => ({ x0: x(start), x1: x(end), y: y(score) })));
  const room = places.length > 1 ? places[places.length - 1].x - places[0].x : Infinity;
  const dots = model === 0 && places.length / room <= MOST_DOTS_PER_PIXEL ? places : [];
  return svg(
    'g',
    { class: `series ${colourClass(colour)} m${model}`, 'data-label': label, 'data-model': model },
    steps.joins && svg('path', { class: 'join', d: steps.joins }),
    svg('path', { class: 'curve', d: steps.levels || smoothPath(places) }),
    ...dots.map((dot) => svg('circle', { class: 'dot', cx: dot.x.toFixed(2), cy: dot.y.toFixed(2), r: 2.25 })),
  );
}

/**
 * @param {Scale} y
 * @param {number} top
 * @param {Chart['area']} area
 */
function drawScores(y, top, area) {
  const shares = area.bottom - area.top < 130 ? [0, 0.5, 1] : [0, 0.25, 0.5, 0.75, 1];
  return svg(
    'g',
    { class: 'axis scores-axis' },
    ...shares.flatMap((share) => {
      const place = y(share * top);
      return [
        svg('line', { class: share ? 'grid' : 'floor', x1: area.left, x2: area.right, y1: place, y2: place }),
        svg('text', { class: 'tick', x: area.left - 8, y: place + 4, 'text-anchor': 'end' }, tickPercent(share * top)),
      ];
    }),
  );
}

/**
 * @param {Scale} x
 * @param {number} duration
 * @param {Chart['area']} area
 */
function drawTimes(x, duration, area) {
  const { step, ticks } = timeTicks(duration, Math.max(2, Math.floor((area.right - area.left) / 75)));
  return svg(
    'g',
    { class: 'axis time-axis' },
    ...ticks.flatMap((tick) => {
      const anchor = tick === 0 ? 'start' : x(tick) > area.right - 20 ? 'end' : 'middle';
      return [
        svg('line', { class: 'mark', x1: x(tick), x2: x(tick), y1: area.bottom, y2: area.bottom + 5 }),
        svg('text', { class: 'tick', x: x(tick), y: area.bottom + 20, 'text-anchor': anchor }, tickTime(tick, step, duration)),
      ];
    }),
  );
}

/**
 * The best label of each segment, one row for each model.
 *
 * @param {Story} story
 * @param {Scale} x
 * @param {number} top
 */
function drawRibbons(story, x, top) {
  const cells = story.cells.map((cell) => {
    const y = top + cell.model * (RIBBON + RIBBON_GAP);
    const left = x(cell.start);
    const width = Math.max(1, x(cell.end) - left - 1);
    const room = Math.floor((width - 10) / 6.4);
    const words = cell.label.length <= room ? cell.label : room > 4 ? `${cell.label.slice(0, room - 1)}…` : '';
    const told = `${place(cell.start)} to ${place(cell.end)}: ${cell.label}, ${percent(cell.score)}`;
    return svg(
      'g',
      { class: `cell ${colourClass(cell.colour)} m${cell.model}`, 'data-label': cell.label, 'data-start': cell.start },
      svg('title', {}, told),
      svg('rect', { class: 'cell-box', x: left, y, width, height: RIBBON, rx: Math.min(3, width / 2) }),
      words && svg('text', { class: 'cell-word', x: left + 6, y: y + 14 }, words),
    );
  });
  return cells.length ? svg('g', { class: 'ribbons' }, ...cells) : null;
}

/**
 * Title and legend of a drawing that stands alone.
 *
 * @param {Story} story
 * @param {string} title
 * @param {number} width
 */
function drawHead(story, title, width) {
  const head = svg('g', { class: 'head' }, svg('text', { class: 'title', x: MARGIN.left, y: 24 }, title));
  const entries = story.ranking.map(({ label, colour }) => ({ words: label, style: `${colourClass(colour)} m0` }));
  const models = story.models.map((model, i) => ({ words: model, style: `plain m${i}` }));
  let x = MARGIN.left;
  let y = 48;
  for (const { words, style } of [...models, ...entries]) {
    const room = 30 + words.length * 7 + 18;
    if (x + room > width - MARGIN.right && x > MARGIN.left) {
      x = MARGIN.left;
      y += LEGEND_ROW;
    }
    head.append(
      svg(
        'g',
        { class: `series ${style}` },
        svg('path', { class: 'curve', d: `M${x},${y - 4}h22` }),
        svg('text', { class: 'legend-word', x: x + 29, y }, words),
      ),
    );
    x += room;
  }
  return { node: head, height: y + 4 };
}
