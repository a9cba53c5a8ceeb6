// stats.js - How well it does: every sample was predicted before it was learned from, so learning is the test.

import { get } from './api.js';
import { button, count, decimal, el, percent, plural, repaint, roughly } from './dom.js';
import { can, on, tell } from './state.js';
import { Chart } from './chart.js';
import { openClass } from './classes.js';
import { confusionView } from './confusion.js';

const POINTS = 60;
const WAIT_MS = 800; // news are looked at so often at most

function figure(title, value, note) {
  return el('div', { class: 'card figure' }, el('p', { class: 'small soft' }, title), el('p', { class: 'number' }, value), el('p', { class: 'small soft' }, note));
}

export class Stats {
  constructor() {
    this.title = 'How well it does';
    this.figures = el('div', { class: 'figures' });
    this.accuracy = new Chart({ label: 'Share of right answers over the samples', sayX: count, sayY: percent, tickY: roughly });
    this.loss = new Chart({ label: 'Loss over the samples', sayX: count, sayY: decimal, tickY: (y) => String(+y.toFixed(3)) });
    this.charts = el('div', { class: 'two', hidden: true },
      el('section', { class: 'card' }, el('h2', {}, 'Right answers'), this.accuracy.node),
      el('section', { class: 'card' }, el('h2', {}, 'Loss'), this.loss.node));
    this.confusion = el('section', { class: 'card' });
    this.classes = el('section', { class: 'card' });
    this.body = el('div', { class: 'stack' }, this.figures, this.charts, el('div', { class: 'tables' }, this.confusion, this.classes));
    this.nothing = el('p', { class: 'hint', hidden: true }, 'It has not seen a sample yet: teach it one.');
    this.node = el('section', { class: 'place' },
      el('header', {}, el('h1', {}, 'How well it does'),
        el('p', {}, 'Every sample is predicted before it is learned from: these are answers to images that it had not seen.')),
      this.nothing, this.body);
    this.timer = null;
    on('model', () => this.soon());
    on('theme', () => this.stats && this.paint());
  }

  shown() {
    this.load();
  }

  soon() {
    if (this.node.hidden || this.timer !== null) return;
    this.timer = setTimeout(() => {
      this.timer = null;
      if (!this.node.hidden) this.load();
    }, WAIT_MS);
  }

  async load() {
    try {
      const history = can('GET', '/stats/history') ? get(`/stats/history?points=${POINTS}`) : null;
      this.stats = await get('/stats');
      const told = await history;
      this.history = told?.points ?? [];
      repaint(this.node, () => this.paint());
    } catch (problem) {
      tell('problem', problem);
    }
  }

  paint() {
    const { stats } = this;
    this.nothing.hidden = stats.samples > 0;
    this.body.hidden = stats.samples === 0;
    if (stats.samples === 0) return;
    const { recent, drift } = stats;
    this.figures.replaceChildren(
      figure('Right lately', percent(recent.accuracy), `of the last ${plural(recent.samples, 'sample')}`),
      figure('Right overall', percent(stats.accuracy), `of ${plural(stats.samples, 'sample')}`),
      figure('Loss lately', decimal(recent.loss), `${decimal(stats.loss)} overall`),
      drift ? figure('Drift', drift.alarms === 0 ? 'none' : plural(drift.alarms, 'alarm'),
        drift.alarms === 0 ? `${drift.detector} watches` : `the last at sample ${count(drift.last_alarm_sample)}`)
        : figure('Steps', count(stats.step), 'of learning, overall'));
    this.paintCharts();
    const labels = stats.classes.map((c) => c.label);
    this.confusion.replaceChildren(el('h2', {}, 'What it took for what'),
      el('p', { class: 'hint' }, `Rows: what it was. Columns: what it said. The stronger the colour, the more often.${can('GET', '/samples') ? ' A press shows the samples.' : ''}`),
      confusionView(labels, stats.confusion));
    this.paintClasses();
  }

  paintCharts() {
    const points = this.history.filter((p) => p.accuracy !== null);
    this.charts.hidden = points.length < 2;
    if (points.length < 2) return;
    const { drift } = this.stats;
    const first = points[0].samples;
    const alarms = (drift?.recent_alarms ?? []).filter((x) => x >= first && x <= points.at(-1).samples);
    const marks = alarms.map((x) => ({ x, text: `drift, at sample ${count(x)}` }));
    const lowest = Math.min(...points.map((p) => p.accuracy));
    const range = { marks, high: 1, low: lowest > 0.85 ? 0.8 : lowest > 0.6 ? 0.5 : 0 };
    this.accuracy.show(points.map((p) => ({ x: p.samples, y: p.accuracy, text: `after ${count(p.samples)} samples` })), range);
    this.loss.show(points.map((p) => ({ x: p.samples, y: p.loss, text: `after ${count(p.samples)} samples` })), { marks, low: 0 });
  }

  paintClasses() {
    const { classes } = this.stats;
    const meter = (value, words) => {
      const bar = el('i');
      bar.style.width = `${100 * (value ?? 0)}%`;
      return el('td', {}, el('span', { class: 'meter', title: words }, bar), el('span', { class: 'meter-value' }, percent(value)));
    };
    const name = (c) => button(c.label, () => openClass(c.label, c.seen), { class: 'link', 'aria-label': `${c.label}: merge or delete` });
    const share = (part, all) => (all === 0 ? null : part / all);
    this.classes.replaceChildren(el('h2', {}, 'Class by class'), el('p', { class: 'hint' }, 'A press merges one into another, or deletes it.'), el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Class by class' },
      el('table', { class: 'plain' },
        el('thead', {}, el('tr', {}, ['Class', 'Seen', 'Found', 'Right when said'].map((t) => el('th', { scope: 'col', class: t === 'Seen' ? 'n' : null }, t)))),
        el('tbody', {}, classes.map((c) => el('tr', {}, el('th', { scope: 'row' }, name(c)), el('td', { class: 'n' }, count(c.seen)),
          meter(share(c.correct, c.seen), `${count(c.correct)} of ${count(c.seen)} ${c.label} were recognised`),
          meter(share(c.correct, c.predicted), `of ${count(c.predicted)} times that it said ${c.label}, ${count(c.correct)} were right`)))))));
  }
}
