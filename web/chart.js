// chart.js - a line over time, as SVG: what it is of, its scale, marks, and the point under the pointer or the arrow keys.

import { el, svg } from './dom.js';

const HEIGHT = 220;
const LEFT = 46;
const RIGHT = 12;
const TOP = 12;
const BOTTOM = 28;

// Four or so round numbers from low to high.
export function ticks(low, high, n = 4) {
  const raw = (high - low) / n || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
  const found = [];
  for (let t = Math.ceil(low / step - 1e-9) * step; t <= high + step * 1e-6; t += step) found.push(t);
  return found;
}

const path = (points) => points.map(([x, y], i) => `${i === 0 ? 'M' : 'L'}${x.toFixed(1)} ${y.toFixed(1)}`).join('');

export class Chart {
  // sayX, sayY: numbers as text; tickY: on the axis; time: x is one, and is told at the ends only; click(point): what a press on a point does, or undefined
  constructor({ label, sayX, sayY, tickY = sayY, dots = false, time = false, click }) {
    Object.assign(this, { label, sayX, sayY, tickY, dots, time, click });
    this.svg = svg('svg', { class: 'chart', role: 'img', tabindex: 0, height: HEIGHT });
    this.tip = el('p', { class: 'tip', hidden: true });
    this.node = el('div', { class: 'chart-box' }, this.svg, this.tip);
    this.points = [];
    this.marks = [];
    this.at = null;
    new ResizeObserver(() => this.paint()).observe(this.node);
    this.svg.addEventListener('pointermove', (event) => this.point(this.nearest(event.offsetX)));
    this.svg.addEventListener('pointerleave', () => this.point(null));
    this.svg.addEventListener('blur', () => this.point(null));
    this.svg.addEventListener('click', () => this.at !== null && this.click?.(this.points[this.at]));
    this.svg.addEventListener('keydown', (event) => this.key(event));
  }

  // points: [{x, y, ...}] by x; marks: [{x, text}]; low, high: of y
  show(points, { marks = [], low, high } = {}) {
    this.points = points;
    this.marks = marks;
    const ys = points.map((p) => p.y);
    this.low = low ?? Math.min(...ys);
    this.high = high ?? Math.max(...ys);
    if (this.high - this.low < 1e-9) this.high = this.low + 1;
    this.at = null;
    this.paint();
  }

  scale() {
    const width = Math.max(this.node.clientWidth, 200);
    const [first, last] = [this.points[0].x, this.points.at(-1).x];
    const span = last - first || 1;
    return {
      width,
      x: (x) => (last === first ? (LEFT + width - RIGHT) / 2 : LEFT + ((x - first) / span) * (width - LEFT - RIGHT)),
      y: (y) => TOP + (1 - (y - this.low) / (this.high - this.low)) * (HEIGHT - TOP - BOTTOM),
    };
  }

  paint() {
    if (this.points.length === 0 || this.node.clientWidth === 0) return;
    const s = (this.s = this.scale());
    const line = this.points.map((p) => [s.x(p.x), s.y(p.y)]);
    const last = this.points.at(-1);
    this.svg.setAttribute('viewBox', `0 0 ${s.width} ${HEIGHT}`);
    this.svg.setAttribute('aria-label', `${this.label}: ${this.points.length} points, the last ${this.sayY(last.y)} at ${this.sayX(last.x)}. Arrow keys read them.`);
    const grid = ticks(this.low, this.high).map((t) => svg('g', {},
      svg('line', { class: 'grid', x1: LEFT, x2: s.width - RIGHT, y1: s.y(t), y2: s.y(t) }),
      svg('text', { x: LEFT - 8, y: s.y(t) + 4, 'text-anchor': 'end' }, this.tickY(t))));
    const first = this.points[0].x;
    const xs = (this.time ? [first, last.x] : ticks(first, last.x, Math.max(2, Math.floor(s.width / 170))))
      .filter((t, i, all) => i === 0 || this.sayX(t) !== this.sayX(all[i - 1]))
      .map((t) => svg('text', { x: s.x(t), y: HEIGHT - 8, 'text-anchor': t === first ? 'start' : s.x(t) > s.width - 40 ? 'end' : 'middle' }, this.sayX(t)));
    const marks = this.marks.map(({ x, text }) => svg('g', { class: 'mark-line' },
      svg('line', { x1: s.x(x), x2: s.x(x), y1: TOP, y2: HEIGHT - BOTTOM }),
      svg('title', {}, text)));
    const ground = HEIGHT - BOTTOM;
    this.cursor = svg('circle', { class: 'cursor', r: 5, visibility: 'hidden' });
    this.svg.replaceChildren(...grid, ...xs,
      svg('path', { class: 'area', d: `${path(line)}L${line.at(-1)[0]} ${ground}L${line[0][0]} ${ground}Z` }),
      svg('path', { class: 'line', d: path(line) }), ...marks,
      ...(this.dots ? line.map(([x, y], i) => svg('circle', { class: `point ${this.points[i].kind ?? ''}`, cx: x, cy: y, r: 4.5 })) : []),
      this.cursor);
    this.point(this.at);
  }

  nearest(x) {
    if (!this.s) return null;
    let best = 0;
    this.points.forEach((p, i) => {
      if (Math.abs(this.s.x(p.x) - x) < Math.abs(this.s.x(this.points[best].x) - x)) best = i;
    });
    return best;
  }

  key(event) {
    const move = { ArrowLeft: -1, ArrowRight: 1, Home: -1e9, End: 1e9 }[event.key];
    if (event.key === 'Enter' && this.at !== null) this.click?.(this.points[this.at]);
    if (move === undefined || this.points.length === 0) return;
    event.preventDefault();
    this.point(Math.min(this.points.length - 1, Math.max(0, (this.at ?? this.points.length - 1) + move)));
  }

  point(i) {
    this.at = i;
    this.tip.hidden = i === null;
    this.cursor?.setAttribute('visibility', i === null ? 'hidden' : 'visible');
    if (i === null || !this.s) return;
    const p = this.points[i];
    const [x, y] = [this.s.x(p.x), this.s.y(p.y)];
    this.cursor.setAttribute('cx', x);
    this.cursor.setAttribute('cy', y);
    this.tip.textContent = `${this.sayY(p.y)} · ${p.text ?? this.sayX(p.x)}`;
    this.tip.style.left = `${Math.min(Math.max(x, 70), this.s.width - 70)}px`;
    this.tip.style.top = `${y - 38 < 0 ? y + 14 : y - 38}px`;
  }
}
