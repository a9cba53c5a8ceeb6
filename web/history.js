// history.js - History: the snapshots on a time line, with the accuracy up to each; go back, pin, delete, compare; and export.

import { download, get, request, send } from './api.js';
import { announce, button, count, el, percent, plural, repaint, roughly, when } from './dom.js';
import { on, refresh, state, tell, whole } from './state.js';
import { Chart } from './chart.js';
import { showDifference } from './compare.js';

const WHY = {
  create: 'creation', interval: 'periodic', shutdown: 'at shutdown', request: 'requested', activate: 'after going back',
  edit: 'after unlearning', baseline: 'new arithmetic',
};
const WAIT_MS = 800; // news are looked at so often at most
const FILES = [['model.safetensors', 'safetensors'], ['model.onnx', 'ONNX'], ['model.npz', 'NumPy']];

export class History {
  constructor() {
    this.title = 'History';
    this.snapshots = [];
    this.compared = [];
    this.timer = null;
    this.chart = new Chart({ label: 'Accuracy by snapshot', dots: true, time: true, sayY: percent, tickY: roughly, sayX: (ms) => when(ms), click: (p) => this.near(p.id) });
    this.build();
    on('model', () => this.soon());
  }

  build() {
    this.note = el('input', { class: 'note', maxlength: 120, placeholder: 'Note (optional)', 'aria-label': 'Note', autocomplete: 'off' });
    this.pin = el('input', { type: 'checkbox' });
    this.take = button('Take a snapshot', () => this.act(async () => {
      await send('POST', '/snapshots', { note: this.note.value.trim(), pinned: this.pin.checked });
      this.note.value = '';
      return 'The snapshot was taken.';
    }), { class: 'main' });
    this.line = el('section', { class: 'card' }, el('h2', {}, 'Accuracy up to each snapshot'), this.chart.node);
    this.difference = el('section', { class: 'card difference', hidden: true, role: 'status' });
    this.rows = el('ol', { class: 'snapshots' });
    this.node = el('section', { class: 'place' },
      el('header', {}, el('h1', {}, 'History'),
        el('p', {}, 'A snapshot is a state that the model can go back to. Going back deletes nothing: you can return to the later ones, too.')),
      el('div', { class: 'stack' }, this.line,
        el('div', { class: 'row' }, this.take, this.note, el('label', { class: 'check' }, this.pin, 'Pin it, so that it is never deleted automatically')),
        el('p', { class: 'hint' }, 'Select two snapshots to compare them.'), this.difference, this.rows,
        el('section', { class: 'card' }, el('h2', {}, 'Export'), el('p', { class: 'hint' }, 'The current model as a file.'),
          el('div', { class: 'row files' }, FILES.map(([name, text]) => button(text, () => download(`/${name}`, name).catch((p) => tell('problem', p))))))));
  }

  shown() {
    this.load();
  }

  soon() {
    if (this.node.hidden) return;
    this.timer ??= setTimeout(() => {
      this.timer = null;
      if (!this.node.hidden) this.load();
    }, WAIT_MS);
  }

  async load() {
    try {
      await whole();
      this.snapshots = (await get('/snapshots')).snapshots;
      const seen = JSON.stringify([this.snapshots, state.model.digest]);
      if (seen === this.painted) return;
      this.painted = seen;
      repaint(this.node, () => this.paint());
    } catch (problem) {
      tell('problem', problem);
    }
  }

  async act(what) {
    try {
      announce(await what());
      await refresh();
      await this.load();
    } catch (problem) {
      tell('problem', problem);
    }
  }

  paint() {
    const points = this.snapshots.filter((s) => s.accuracy !== null).map((s) => ({
      x: Date.parse(s.created), y: s.accuracy, id: s.id, kind: s.pinned ? 'pinned' : '', text: `${when(s.created)} · ${s.note || WHY[s.reason] || s.reason}`,
    })).sort((a, b) => a.x - b.x);
    this.line.hidden = points.length < 2;
    if (points.length >= 2) {
      const [low, high] = [Math.min(...points.map((p) => p.y)), Math.max(...points.map((p) => p.y))];
      this.chart.show(points, { low: Math.max(0, low - 0.05), high: Math.min(1, high + 0.05) });
    }
    this.rows.replaceChildren(...[...this.snapshots].sort((a, b) => b.id - a.id).map((s) => this.row(s)));
    this.compared = this.compared.filter((id) => this.snapshots.some((s) => s.id === id));
    this.compare();
  }

  row(s) {
    const same = s.digest === state.model.digest;
    const live = same && !this.snapshots.some((other) => other.digest === s.digest && other.id > s.id); // of equal ones the newest
    const choose = el('input', { type: 'checkbox', checked: this.compared.includes(s.id), 'aria-label': `Compare snapshot ${s.id}`, on: {
      change: () => this.choose(s.id),
    } });
    const item = el('li', { id: `snapshot-${s.id}`, class: `card snapshot${live ? ' live' : ''}` }, choose,
      el('div', {}, el('p', {}, el('strong', {}, s.note || `Snapshot ${s.id}`), same && [' ', el('span', { class: 'badge' }, live ? 'current' : 'same as current')], s.pinned && [' ', el('span', { class: 'badge' }, 'pinned')]),
        el('p', { class: 'small soft' }, `${when(s.created)} · ${WHY[s.reason] ?? s.reason} · ${plural(s.step, 'step')} · revision ${count(s.revision)}`)),
      el('p', { class: 'snapshot-accuracy' }, percent(s.accuracy)),
      el('div', { class: 'row' },
        button('Go back', () => this.goBack(s), { disabled: same, 'aria-label': `Go back to snapshot ${s.id}` }),
        button(s.pinned ? 'Unpin' : 'Pin', () => this.setPinned(s), { class: 'pin', disabled: s.reason === 'create', 'aria-label': `${s.pinned ? 'Unpin' : 'Pin'} snapshot ${s.id}` }),
        button('Download', () => download(`/snapshots/${s.id}/model.safetensors`, `snapshot-${s.id}.safetensors`).catch((p) => tell('problem', p)),
          { 'aria-label': `Download snapshot ${s.id}` }),
        button('Delete', () => this.drop(s, item), { class: 'quiet', disabled: s.pinned, 'aria-label': `Delete snapshot ${s.id}` })));
    return item;
  }

  goBack(s) {
    return this.act(async () => {
      await send('POST', `/snapshots/${s.id}/activate`);
      tell('taught');
      return `The model went back to snapshot ${s.id}.`;
    });
  }

  setPinned(s) {
    return this.act(async () => {
      await send('PATCH', `/snapshots/${s.id}`, { pinned: !s.pinned });
      return s.pinned ? `Snapshot ${s.id} is unpinned: retention may delete it.` : `Snapshot ${s.id} is pinned.`;
    });
  }

  // Asked once more, in its place: a deleted snapshot does not come back.
  drop(s, item) {
    const yes = button('Delete permanently', () => this.act(async () => {
      await request('DELETE', `/snapshots/${s.id}`);
      return `Snapshot ${s.id} was deleted.`;
    }), { class: 'danger' });
    item.lastChild.replaceChildren(yes, button('Cancel', () => this.paint(), { class: 'quiet' }));
    yes.focus();
  }

  // ---- two of them beside each other ----

  choose(id) {
    this.compared = this.compared.includes(id) ? this.compared.filter((other) => other !== id) : [...this.compared, id].slice(-2);
    for (const s of this.snapshots) document.querySelector(`#snapshot-${s.id} > input`).checked = this.compared.includes(s.id);
    this.compare();
  }

  compare() {
    const [a, b] = this.compared.map((id) => this.snapshots.find((s) => s.id === id)).sort((x, y) => x.id - y.id);
    this.difference.hidden = !b;
    if (b) showDifference(this.difference, a, b).catch((problem) => tell('problem', problem));
  }

  near(id) {
    const item = document.getElementById(`snapshot-${id}`);
    item.scrollIntoView({ block: 'center' });
    item.querySelector('input').focus();
  }
}
