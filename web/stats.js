// stats.js - Statistics: each sample is predicted before it is learned from, so training is the test.

import { get } from './api.js';
import { button, count, decimal, el, figure, percent, plural, repaint, roughly } from './dom.js';
import { can, on, tell } from './state.js';
import { Chart } from './chart.js';
import { openClass } from './classes.js';
import { confusionView } from './confusion.js';

const POINTS = 60;
const ROWS = 14; // of the classes' table, until all are asked for
const WAIT_MS = 800; // news are looked at so often at most

function meter(value, words) {
  const bar = el('i');
  bar.style.width = `${100 * (value ?? 0)}%`;
  return el('td', {}, el('span', { class: 'meter', title: words }, bar), el('span', { class: 'meter-value' }, percent(value)));
}

function table(titles, numbers, rows) {
  return el('table', { class: 'plain' },
    el('thead', {}, el('tr', {}, titles.map((t) => el('th', { scope: 'col', class: numbers.includes(t) ? 'n' : null }, t)))),
    el('tbody', {}, rows));
}

const share = (part, all) => (all === 0 ? null : part / all);
const VALUES = { // of a class, by the heading of their column
  Class: (c) => c.label, Samples: (c) => c.seen, Recall: (c) => share(c.correct, c.seen), Precision: (c) => share(c.correct, c.predicted),
};

export class Stats {
  constructor() {
    this.title = 'Statistics';
    this.figures = el('div', { class: 'figures' });
    this.warnings = el('ul', { class: 'card warnings', 'aria-label': 'Warnings', hidden: true });
    this.accuracy = new Chart({ label: 'Accuracy over the samples', sayX: count, sayY: percent, tickY: roughly });
    this.loss = new Chart({ label: 'Loss over the samples', sayX: count, sayY: decimal, tickY: (y) => String(+y.toFixed(3)) });
    this.charts = el('div', { class: 'two', hidden: true },
      el('section', { class: 'card' }, el('h2', {}, 'Accuracy'), this.accuracy.node),
      el('section', { class: 'card' }, el('h2', {}, 'Loss'), this.loss.node));
    this.confidence = el('section', { class: 'card' });
    this.confusion = el('section', { class: 'card' });
    this.classes = el('section', { class: 'card' });
    this.order = { by: null, down: false };
    this.all = false;
    this.search = el('input', { type: 'search', placeholder: 'Find a class', 'aria-label': 'Find a class in the table', on: { input: () => this.again(() => {}) } });
    this.body = el('div', { class: 'stack' }, this.figures, this.warnings, this.charts, el('div', { class: 'tables' }, el('div', { class: 'stack' }, this.confusion, this.confidence), this.classes));
    this.nothing = el('p', { class: 'hint', hidden: true }, 'There are no samples yet. Teach one in Try.');
    this.node = el('section', { class: 'place' },
      el('header', {}, el('h1', {}, 'Statistics'),
        el('p', {}, 'Each sample is predicted before the model learns from it, so training is also the test (prequential evaluation).')),
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
      figure('Recent accuracy', percent(recent.accuracy), `of the last ${plural(recent.samples, 'sample')}`),
      figure('Accuracy', percent(stats.accuracy), `of ${plural(stats.samples, 'sample')}`),
      figure('Recent loss', decimal(recent.loss), `${decimal(stats.loss)} overall`),
      drift ? figure('Drift', drift.alarms === 0 ? 'none' : plural(drift.alarms, 'alarm'),
        drift.alarms === 0 ? `detector: ${drift.detector}` : `the last at sample ${count(drift.last_alarm_sample)}`)
        : figure('Steps', count(stats.step), 'of training, in total'));
    const warnings = stats.warnings ?? [];
    this.warnings.hidden = warnings.length === 0;
    this.warnings.replaceChildren(...warnings.map((w) => el('li', {}, el('p', {}, w.text), el('p', { class: 'small soft' }, `since sample ${count(w.since)}`))));
    this.paintCharts();
    const labels = stats.classes.map((c) => c.label);
    this.confusion.replaceChildren(el('h2', {}, 'Confusion matrix'),
      el('p', { class: 'hint' }, `Rows are labels, columns are predictions. A stronger colour means more samples.${can('GET', '/samples') ? ' Click a cell to see its samples.' : ''}`),
      confusionView(labels, stats.confusion));
    this.paintClasses();
    this.paintConfidence();
  }

  paintCharts() {
    const points = this.history.filter((p) => p.accuracy !== null);
    this.charts.hidden = points.length < 2;
    if (points.length < 2) return;
    const { drift } = this.stats;
    const first = points[0].samples;
    const alarms = (drift?.recent_alarms ?? []).filter((x) => x >= first && x <= points.at(-1).samples);
    const marks = alarms.map((x) => ({ x, text: `drift at sample ${count(x)}` }));
    const lowest = Math.min(...points.map((p) => p.accuracy));
    const range = { marks, high: 1, low: lowest > 0.85 ? 0.8 : lowest > 0.6 ? 0.5 : 0 };
    this.accuracy.show(points.map((p) => ({ x: p.samples, y: p.accuracy, text: `after ${count(p.samples)} samples` })), range);
    this.loss.show(points.map((p) => ({ x: p.samples, y: p.loss, text: `after ${count(p.samples)} samples` })), { marks, low: 0 });
  }

  paintClasses() {
    const all = this.stats.classes;
    const name = (c) => button(c.label, () => openClass(c.label, c.seen), { class: 'link', 'aria-label': `${c.label}: merge or delete` });
    const wanted = this.search.value.trim().toLowerCase();
    const found = all.filter((c) => c.label.toLowerCase().includes(wanted));
    const { by, down } = this.order;
    const value = VALUES[by];
    if (by !== null) found.sort((a, b) => (down ? -1 : 1) * (by === 'Class' ? value(a).localeCompare(value(b), 'en', { numeric: true }) : (value(a) ?? -1) - (value(b) ?? -1)));
    const shown = this.all ? found : found.slice(0, ROWS);
    const sorter = (title) => el('th', { scope: 'col', class: title === 'Samples' ? 'n' : null, 'aria-sort': by !== title ? 'none' : down ? 'descending' : 'ascending' },
      button(`${title}${by !== title ? '' : down ? ' ↓' : ' ↑'}`, () => this.sort(title), { class: 'sort', 'aria-label': `Sort by ${title.toLowerCase()}` }));
    this.search.hidden = all.length <= ROWS;
    this.classes.replaceChildren(el('h2', {}, 'Classes'), el('p', { class: 'hint' }, 'Click a class to merge or delete it.'), this.search,
      el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Classes' }, el('table', { class: 'plain classes' },
        el('thead', {}, el('tr', {}, Object.keys(VALUES).map(sorter))),
        el('tbody', {}, shown.map((c) => el('tr', {}, el('th', { scope: 'row' }, name(c)), el('td', { class: 'n' }, count(c.seen)),
          meter(VALUES.Recall(c), `${count(c.correct)} of ${count(c.seen)} samples of ${c.label} were predicted right`),
          meter(VALUES.Precision(c), `${count(c.correct)} of ${count(c.predicted)} predictions of ${c.label} were right`)))))),
      ...[found.length > shown.length && button(`Show all ${count(found.length)}`, () => this.again(() => (this.all = true)), { class: 'link' })].filter(Boolean));
  }

  again(change) {
    change();
    repaint(this.classes, () => this.paintClasses());
  }

  // Lowest first, then highest, then as the model has them: low recall is what one looks for.
  sort(title) {
    this.again(() => {
      const { by, down } = this.order;
      this.order = by !== title ? { by: title, down: false } : down ? { by: null, down: false } : { by: title, down: true };
    });
  }

  paintConfidence() {
    const { calibration } = this.stats;
    const { sure } = calibration;
    this.confidence.replaceChildren(el('h2', {}, 'Confidence'),
      el('p', { class: 'hint' }, `How often predictions were right, by confidence: of ${plural(calibration.outcomes, 'recent sample')}. The two differ by ${percent(calibration.expected_calibration_error)} on average.`),
      el('p', { class: 'sure' }, sure.confidence === null ? `No confidence is high enough yet for ${percent(sure.right)} to be right.`
        : `At ${percent(sure.confidence)} or more, ${percent(sure.right)} were right: ${percent(sure.share)} of the samples.`),
      el('div', { class: 'scroll narrow', tabindex: 0, role: 'region', 'aria-label': 'Confidence' },
        table(['Confidence', 'Samples', 'Right'], ['Samples'], calibration.reliability.filter((b) => b.outcomes > 0).map((b) => el('tr', {},
          el('th', { scope: 'row' }, percent(b.confidence)), el('td', { class: 'n' }, count(b.outcomes)),
          meter(b.right, `${percent(b.right)} of them were right`))))));
  }
}
