/** Draws scores as SVG, from its arguments alone. Colours and line styles are in css/chart.css. */

import { smoothPath, stepPaths } from './curve_paths.js';
import { svg } from './dom.js';
import { percent, stretch, tickPercent, tickTime, timestamp } from './format.js';
import { groupsOf } from './ranked_labels.js';
import { linear, scoreTop, timeTicks } from './scale.js';

/** @import {Point} from './curve_paths.js' */
/** @import {Scale} from './scale.js' */
/** @import {ChartData, RankedLabel, RowKind, Sample, Series} from './types.js' */

/**
 * @typedef {object} ChartOptions
 * @property {number} width pixels
 * @property {number} height of the curves with their axes, pixels; title and legend add to it
 * @property {Set<string>} [hidden] keys of the labels without curves
 * @property {string} [title] for a drawing outside the page: adds the title and a legend
 *
 * @typedef {object} Chart
 * @property {SVGSVGElement} root
 * @property {Scale} x seconds to pixels
 * @property {{left: number, right: number, top: number, bottom: number}} area of the curves, pixels
 */

const COLOURS = 10; // classes c0 to c9 of the style sheet
const MARGIN = { left: 46, right: 14, top: 10, bottom: 30 };
const SEGMENT_ROW = 20;
const SEGMENT_ROW_GAP = 4;
const LEGEND_ROW = 22;
const MOST_DOTS_PER_PIXEL = 1 / 9;

/**
 * @param {ChartData} data
 * @param {ChartOptions} options
 * @returns {Chart}
 */
export function drawChart(data, { width, height, hidden = new Set(), title }) {
  const head = title === undefined ? { node: null, height: 0 } : drawHead(data, title, width);
  const segmentRows = new Set(data.segmentLabels.map((each) => each.model)).size;
  const area = {
    left: MARGIN.left,
    right: width - MARGIN.right,
    top: head.height + MARGIN.top + segmentRows * (SEGMENT_ROW + SEGMENT_ROW_GAP),
    bottom: head.height + height - MARGIN.bottom,
  };
  const series = data.series.filter((each) => !hidden.has(each.key));
  const x = linear([0, data.duration || 1], [area.left, area.right]);
  const highest = Math.max(0, ...data.series.flatMap((each) => [...each.samples, ...each.spans]).map(({ score }) => score));
  const top = scoreTop(highest);
  const y = linear([0, top], [area.bottom, area.top]);

  const total = head.height + height;
  const root = svg(
    'svg',
    { class: 'chart', width, height: total, viewBox: `0 0 ${width} ${total}`, 'aria-hidden': true },
    head.node,
    drawScores(y, top, area),
    drawTimes(x, data.duration, area),
    drawSegmentLabels(data, x, head.height + MARGIN.top),
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
function drawSeries({ key, label, colour, model, kind, samples, spans }, x, y) {
  const points = samples.map(({ time, score }) => ({ x: x(time), y: y(score) }));
  const steps = stepPaths(spans.map(({ start, end, score }) => ({ x0: x(start), x1: x(end), y: y(score) })));
  const width = points.length > 1 ? points[points.length - 1].x - points[0].x : Infinity;
  const dotted = model === 0 && points.length / width <= MOST_DOTS_PER_PIXEL;
  const dots = (dotted ? samples : []).map((sample, i) => {
    return drawDot(points[i], `${nameOf(kind, sample)}: ${label}, ${percent(sample.score)}`);
  });
  return svg(
    'g',
    { class: `series ${colourClass(colour)} m${model}`, 'data-key': key, 'data-label': label, 'data-model': model },
    steps.joins && svg('path', { class: 'join', d: steps.joins }),
    svg('path', { class: 'curve', d: steps.levels || smoothPath(withEdges(points, samples, x)) }),
    ...dots,
  );
}

/**
 * The points, and the first and last one's scores held to where their rows begin and end.
 *
 * @param {Point[]} points at the middles of the rows
 * @param {Sample[]} samples the rows
 * @param {Scale} x
 */
function withEdges(points, samples, x) {
  if (!points.length) return points;
  const first = { x: x(Math.min(...samples.map(({ from }) => from))), y: points[0].y };
  const last = { x: x(Math.max(...samples.map(({ to }) => to))), y: points[points.length - 1].y };
  return [
    ...(first.x < points[0].x ? [first] : []),
    ...points,
    ...(last.x > points[points.length - 1].x ? [last] : []),
  ];
}

/**
 * @param {Point} point
 * @param {string} title
 */
function drawDot({ x, y }, title) {
  return svg('circle', { class: 'dot', cx: x.toFixed(2), cy: y.toFixed(2), r: 2.25 }, svg('title', {}, title));
}

/**
 * @param {RowKind} kind
 * @param {Sample} row
 */
function nameOf(kind, { time, from, to }) {
  if (kind === 'frame') return `Frame at ${timestamp(time)}`;
  return `${kind === 'step' ? 'Step' : 'Clip'} ${stretch(from, to)}`;
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
      const height = y(share * top);
      return [
        svg('line', { class: share ? 'grid' : 'baseline', x1: area.left, x2: area.right, y1: height, y2: height }),
        svg('text', { class: 'tick', x: area.left - 8, y: height + 4, 'text-anchor': 'end' }, tickPercent(share * top)),
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
 * @param {ChartData} data
 * @param {Scale} x
 * @param {number} top
 */
function drawSegmentLabels(data, x, top) {
  const labels = data.segmentLabels.map(({ label, colour, model, start, end, score }) => {
    const y = top + model * (SEGMENT_ROW + SEGMENT_ROW_GAP);
    const left = x(start);
    const width = Math.max(1, x(end) - left - 1);
    const room = Math.floor((width - 10) / 6.4);
    const text = label.length <= room ? label : room > 4 ? `${label.slice(0, room - 1)}…` : '';
    const title = `${stretch(start, end)}: ${label}, ${percent(score)}`;
    return svg(
      'g',
      { class: `segment-label ${colourClass(colour)} m${model}`, 'data-label': label, 'data-start': start },
      svg('title', {}, title),
      svg('rect', { class: 'segment-box', x: left, y, width, height: SEGMENT_ROW, rx: Math.min(3, width / 2) }),
      text && svg('text', { class: 'segment-text', x: left + 6, y: y + 14 }, text),
    );
  });
  return labels.length ? svg('g', { class: 'segment-labels' }, ...labels) : null;
}

/**
 * Title and legend of a drawing outside the page.
 *
 * @param {ChartData} data
 * @param {string} title
 * @param {number} width
 */
function drawHead(data, title, width) {
  const head = svg('g', { class: 'head' }, svg('text', { class: 'title', x: MARGIN.left, y: 24 }, title));
  const groups = groupsOf(data.ranking);
  const models = data.models.map((model, i) => ({ text: model, style: `plain m${i}` }));
  const own = groups.some(({ model }) => model !== null);
  const entries = own
    ? groups.flatMap(({ model, ranking }) => [models[model ?? 0], ...legendEntries(ranking)])
    : [...models, ...legendEntries(data.ranking)];
  let x = MARGIN.left;
  let y = 48;
  for (const { text, style } of entries) {
    const room = 30 + text.length * 7 + 18;
    if (x + room > width - MARGIN.right && x > MARGIN.left) {
      x = MARGIN.left;
      y += LEGEND_ROW;
    }
    head.append(
      svg(
        'g',
        { class: `series ${style}` },
        svg('path', { class: 'curve', d: `M${x},${y - 4}h22` }),
        svg('text', { class: 'legend-text', x: x + 29, y }, text),
      ),
    );
    x += room;
  }
  return { node: head, height: y + 4 };
}

/** @param {RankedLabel[]} ranking */
function legendEntries(ranking) {
  return ranking.map(({ label, colour, model }) => ({ text: label, style: `${colourClass(colour)} m${model ?? 0}` }));
}
