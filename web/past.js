// past.js - Its past: the snapshots on a time line, with how well it had done until then; go back, keep, drop, compare; and the
// model as files.

import { download, get, request, send } from './api.js';
import { announce, button, count, el, percent, plural, repaint, roughly, when } from './dom.js';
import { on, refresh, state, tell, whole } from './state.js';
import { Chart } from './chart.js';
import { showDifference } from './compare.js';

const WHY = {
  create: 'made', request: 'asked for', samples: 'every so many samples', time: 'every so often', stop: 'at the end of a run',
  activate: 'went back', 'convd train': 'trained', edit: 'edited',
};
const WAIT_MS = 800; // news are looked at so often at most
const FILES = [['model.safetensors', 'safetensors'], ['model.onnx', 'ONNX'], ['model.npz', 'NumPy']];

export class Past {
  constructor() {
    this.title = 'Its past';
    this.snapshots = [];
    this.compared = [];
    this.timer = null;
    this.chart = new Chart({ label: 'Share of right answers by snapshot', dots: true, time: true, sayY: percent, tickY: roughly, sayX: (ms) => when(ms), click: (p) => this.near(p.id) });
    this.build();
    on('model', () => this.soon());
  }

  build() {
    this.note = el('input', { class: 'note', maxlength: 120, placeholder: 'a note, if you like', 'aria-label': 'Note', autocomplete: 'off' });
    this.pin = el('input', { type: 'checkbox' });
    this.take = button('Take a snapshot', () => this.act(async () => {
      await send('POST', '/snapshots', { note: this.note.value.trim(), pinned: this.pin.checked });
      this.note.value = '';
      return 'A snapshot was taken.';
    }), { class: 'main' });
    this.line = el('section', { class: 'card' }, el('h2', {}, 'Right answers until then'), this.chart.node);
    this.difference = el('section', { class: 'card difference', hidden: true, role: 'status' });
    this.rows = el('ol', { class: 'snapshots' });
    this.node = el('section', { class: 'place' },
      el('header', {}, el('h1', {}, 'Its past'),
        el('p', {}, 'Each snapshot is a state that it can go back to. Nothing is lost by going back: what came later stays, and can be gone back to in turn.')),
      el('div', { class: 'stack' }, this.line,
        el('div', { class: 'row' }, this.take, this.note, el('label', { class: 'check' }, this.pin, 'Pin it: keep it for good')),
        el('p', { class: 'hint' }, 'Tick two to compare them.'), this.difference, this.rows,
        el('section', { class: 'card' }, el('h2', {}, 'Take it elsewhere'), el('p', { class: 'hint' }, 'The live model as a file.'),
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
    const live = s.digest === state.model.digest;
    const choose = el('input', { type: 'checkbox', checked: this.compared.includes(s.id), 'aria-label': `Compare snapshot ${s.id}`, on: {
      change: () => this.choose(s.id),
    } });
    const item = el('li', { id: `snapshot-${s.id}`, class: `card snapshot${live ? ' live' : ''}` }, choose,
      el('div', {}, el('p', {}, el('strong', {}, s.note || `Snapshot ${s.id}`), live && [' ', el('span', { class: 'badge' }, 'live now')], s.pinned && [' ', el('span', { class: 'badge' }, 'pinned')]),
        el('p', { class: 'small soft' }, `${when(s.created)} · ${WHY[s.reason] ?? s.reason} · ${plural(s.step, 'step')} · revision ${count(s.revision)}`)),
      el('p', { class: 'snapshot-accuracy' }, percent(s.accuracy)),
      el('div', { class: 'row' },
        button('Go back', () => this.goBack(s), { disabled: live, 'aria-label': `Go back to snapshot ${s.id}` }),
        button(s.pinned ? 'Unpin' : 'Pin', () => this.setPinned(s), { class: 'pin', disabled: s.reason === 'create', 'aria-label': `${s.pinned ? 'Unpin' : 'Pin'} snapshot ${s.id}` }),
        button('Download', () => download(`/snapshots/${s.id}/model.safetensors`, `snapshot-${s.id}.safetensors`).catch((p) => tell('problem', p)),
          { 'aria-label': `Download snapshot ${s.id}` }),
        button('Drop', () => this.drop(s, item), { class: 'quiet', disabled: s.pinned, 'aria-label': `Drop snapshot ${s.id}` })));
    return item;
  }

  goBack(s) {
    return this.act(async () => {
      await send('POST', `/snapshots/${s.id}/activate`);
      tell('taught');
      return `The model is as it was at snapshot ${s.id}.`;
    });
  }

  setPinned(s) {
    return this.act(async () => {
      await send('PATCH', `/snapshots/${s.id}`, { pinned: !s.pinned });
      return s.pinned ? `Snapshot ${s.id} is let go, and thins out with age.` : `Snapshot ${s.id} is kept for good.`;
    });
  }

  // Asked once more, in its place: a snapshot that is dropped is gone.
  drop(s, item) {
    const yes = button('Drop it for good', () => this.act(async () => {
      await request('DELETE', `/snapshots/${s.id}`);
      return `Snapshot ${s.id} is gone.`;
    }), { class: 'danger' });
    item.lastChild.replaceChildren(yes, button('Keep', () => this.paint(), { class: 'quiet' }));
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
