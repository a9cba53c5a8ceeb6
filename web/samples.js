// samples.js - Samples: newest first, by class, by prediction, by time; wrong predictions alone.

import { get } from './api.js';
import { button, el, plural } from './dom.js';
import { labels, on, tell } from './state.js';
import { openSample, picture } from './sample.js';

const PAGE = 60;
const TRIES = 20; // a page may come empty, though there is more: the daemon searches a limited number at a time

export class Samples {
  constructor() {
    this.title = 'Samples';
    this.cursor = null;
    this.loading = 0;
    this.build();
    this.fillChoices();
    on('model', () => this.fillChoices());
    on('taught', () => !this.node.hidden && this.reload());
  }

  build() {
    const chosen = () => this.go();
    this.label = el('select', { on: { change: chosen } });
    this.predicted = el('select', { on: { change: chosen } });
    this.from = el('input', { type: 'datetime-local', on: { change: chosen } });
    this.to = el('input', { type: 'datetime-local', on: { change: chosen } });
    this.wrong = el('input', { type: 'checkbox', on: { change: chosen } });
    this.grid = el('ol', { class: 'tiles' });
    this.more = button('More', () => this.load(), { hidden: true });
    this.said = el('p', { class: 'hint', role: 'status' });
    const field = (text, control) => el('label', { class: 'field' }, text, control);
    this.node = el('section', { class: 'place' },
      el('header', {}, el('h1', {}, 'Samples'),
        el('p', {}, 'Every sample that the model has learned from, newest first. Click one to correct its label, or to forget it.')),
      el('div', { class: 'filters' }, field('Label', this.label), field('Predicted', this.predicted), field('From', this.from), field('Until', this.to),
        el('label', { class: 'check' }, this.wrong, 'Wrong predictions only')),
      this.said, this.grid, el('p', { class: 'row centre' }, this.more));
  }

  fillChoices() {
    for (const select of [this.label, this.predicted]) {
      const value = select.value;
      const there = [...select.options].slice(1).map((o) => o.value);
      if (select.options.length > 0 && there.join('\n') === labels().join('\n')) continue;
      select.replaceChildren(el('option', { value: '' }, 'any'), ...labels().map((l) => el('option', { value: l }, l)));
      select.value = labels().includes(value) ? value : '';
    }
  }

  // The address says what is shown, so that it can be kept and gone back to.
  go() {
    const query = new URLSearchParams();
    for (const name of ['label', 'predicted', 'from', 'to']) if (this[name].value !== '') query.set(name, this[name].value);
    if (this.wrong.checked) query.set('wrong', '1');
    location.hash = `samples${query.size > 0 ? '?' : ''}${query}`;
  }

  shown(query) {
    for (const name of ['label', 'predicted', 'from', 'to']) this[name].value = query.get(name) ?? '';
    this.wrong.checked = query.get('wrong') === '1';
    this.reload();
  }

  reload() {
    this.cursor = null;
    this.shownCount = 0;
    this.grid.replaceChildren();
    this.load();
  }

  query() {
    const query = new URLSearchParams({ limit: PAGE });
    for (const name of ['label', 'predicted']) if (this[name].value !== '') query.set(name, this[name].value);
    for (const name of ['from', 'to']) if (this[name].value !== '') query.set(name, new Date(this[name].value).toISOString());
    if (this.wrong.checked) query.set('wrong', '1');
    if (this.cursor !== null) query.set('cursor', this.cursor);
    return query;
  }

  async load() {
    const mine = ++this.loading; // a newer question makes this one's answer worthless
    this.more.disabled = true;
    try {
      let found = 0;
      for (let n = 0; n < TRIES && found < PAGE / 2; n++) {
        const { samples, next } = await get(`/samples?${this.query()}`);
        if (mine !== this.loading) return;
        this.grid.append(...samples.map((sample) => this.tile(sample)));
        found += samples.length;
        this.cursor = next;
        if (next === null) break;
      }
      this.shownCount += found;
      this.more.hidden = this.cursor === null;
      this.said.textContent = this.shownCount === 0 ? 'No sample matches.' : this.cursor === null ? plural(this.shownCount, 'sample') : `the newest ${plural(this.shownCount, 'sample')}`;
    } catch (problem) {
      tell('problem', problem);
    } finally {
      this.more.disabled = false;
    }
  }

  tile(sample) {
    const words = sample.correct ? `${sample.label}` : `${sample.label}, predicted ${sample.predicted}`;
    const node = button('', () => openSample(sample, () => this.reload()), { class: 'tile', 'aria-label': `Sample ${sample.id}: ${words}` });
    node.append(picture(`/samples/${sample.id}/image`, words), el('span', { class: 'tile-label' }, sample.label ?? '–'));
    if (!sample.correct) node.append(el('span', { class: 'tile-said bad' }, `predicted ${sample.predicted ?? '–'}`));
    return el('li', {}, node);
  }
}
