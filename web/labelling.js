// labelling.js - Labelling queue: remembered predictions, the most uncertain first; one key labels each.

import { get, post, request, send } from './api.js';
import { announce, button, el, percent, plural, when } from './dom.js';
import { labels, on, refresh, tell } from './state.js';
import { intake, readPicture } from './intake.js';
import { choices, chosen, SKIP } from './choices.js';
import { picture } from './sample.js';

const LIMIT = 50;
const WAITING = 8; // small pictures of those that come next

export class Labelling {
  constructor() {
    this.title = 'Labelling queue';
    this.queue = [];
    this.skipped = new Set();
    this.done = 0;
    this.busy = false;
    this.build();
    on('model', () => !this.node.hidden && !this.busy && this.load());
    document.addEventListener('keydown', (event) => this.key(event));
  }

  build() {
    this.now = el('div', { class: 'card asked' });
    this.next = el('ol', { class: 'tiles small-tiles', 'aria-label': 'Coming next' });
    this.rest = el('div', { class: 'stack' }, el('h2', {}, 'Next'), this.next);
    this.said = el('p', { class: 'hint', role: 'status' });
    this.give = el('div', { class: 'give' }, el('p', { class: 'small soft' }, 'Drop pictures here to predict and queue them, or'));
    this.give.append(el('div', { class: 'row' }, ...intake(this.give, () => !this.node.hidden, (files) => this.take(files))));
    this.node = el('section', { class: 'place' },
      el('header', {}, el('h1', {}, 'Labelling queue'),
        el('p', {}, 'Predictions that were remembered (', el('code', {}, 'POST /predict?remember=1'), '), the most uncertain first. Press the key of the right class, or click it.')),
      this.said, this.now, this.rest, this.give);
  }

  shown() {
    this.skipped.clear();
    this.load();
  }

  async load() {
    try {
      const { predictions } = await get(`/predictions?order=uncertain&limit=${LIMIT}`);
      this.queue = predictions.filter((p) => !this.skipped.has(p.id));
      this.paint();
    } catch (problem) {
      tell('problem', problem);
    }
  }

  paint() {
    const [first, ...others] = this.queue;
    this.now.hidden = !first;
    this.rest.hidden = others.length === 0;
    this.said.textContent = first ? `${plural(this.queue.length, 'prediction')} without a label${this.done > 0 ? `, ${this.done} done` : ''}`
      : this.done > 0 ? `All done: ${plural(this.done, 'label')} given.` : 'The queue is empty.';
    this.next.replaceChildren(...others.slice(0, WAITING).map((p) => el('li', {}, el('span', { class: 'tile' },
      picture(`/predictions/${p.id}/image`, `predicted ${p.label}`), el('span', { class: 'tile-label' }, p.label), el('span', { class: 'tile-said soft' }, percent(p.confidence))))));
    if (!first || this.painted === first.id + labels().join('\n')) return;
    this.painted = first.id + labels().join('\n');
    this.paintFirst(first);
  }

  paintFirst(first) {
    const { nodes, keys } = choices(first, (label) => this.label(label));
    this.keys = keys;
    this.now.replaceChildren(
      el('div', { class: 'asked-row' }, picture(`/predictions/${first.id}/image`, `Which class is this? Predicted: ${first.label}`),
        el('div', { class: 'stack' },
          el('p', { class: 'question' }, 'Predicted: ', el('strong', {}, first.label), `, ${percent(first.confidence)}, `, el('span', { class: 'soft' }, when(first.created))),
          nodes,
          el('div', { class: 'row' }, button(this.keys.has(SKIP) ? 'Skip' : `Skip (${SKIP})`, () => this.skip(), { class: 'quiet' }), button('Delete', () => this.confirm(), { class: 'quiet' })))));
  }

  // In the place of what was pressed: a deleted prediction does not come back.
  confirm() {
    const row = this.now.querySelector('.stack > .row:last-child');
    const yes = button('Delete permanently', () => this.drop(), { class: 'danger' });
    row.replaceChildren(yes, button('Cancel', () => this.paintFirst(this.queue[0]), { class: 'quiet' }));
    yes.focus();
  }

  key(event) {
    if (this.node.hidden || this.queue.length === 0) return;
    const label = chosen(this.keys, event);
    if (label !== undefined) this.label(label);
    else if (chosen(new Map([[SKIP, SKIP]]), event)) this.skip();
  }

  skip() {
    this.skipped.add(this.queue[0].id);
    this.queue.shift();
    this.paint();
  }

  // The first of the queue is dealt with by act(); then the next one is there at once.
  async settle(act, words) {
    if (this.busy) return;
    this.busy = true;
    const first = this.queue[0];
    try {
      await act(first);
      this.queue = this.queue.filter((p) => p !== first);
      this.paint();
      announce(words(first));
      await refresh();
    } catch (problem) {
      tell('problem', problem);
      if (problem.status === 404) await this.load();
    } finally {
      this.busy = false;
    }
    if (this.queue.length < WAITING) await this.load();
  }

  label(label) {
    return this.settle(async (p) => {
      await send('POST', `/predictions/${p.id}/label`, { label });
      this.done++;
    }, (p) => (p.label === label ? `${label}: the prediction was right.` : `${label}: the prediction was ${p.label}.`));
  }

  drop() {
    return this.settle((p) => request('DELETE', `/predictions/${p.id}`), () => 'Deleted.');
  }

  async take(files) {
    try {
      for (const file of files) await post('/predict?remember=1', (await readPicture(file)).blob);
      await this.load();
    } catch (problem) {
      tell('problem', problem);
    }
  }
}
