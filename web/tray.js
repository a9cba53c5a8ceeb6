// tray.js - pictures that were dropped, chosen or pasted, many at once: what the model says of each, and one key to label each.

import { post, send, train } from './api.js';
import { announce, button, el, percent, plural } from './dom.js';
import { labels, on, refresh, revision, state, tell } from './state.js';
import { choices, chosen, newClass } from './choices.js';
import { intake, readPicture } from './intake.js';
import { askUnknown, isUnknown, nearest } from './known.js';
import { guard } from './lesson.js';

const SIDE_MIN = 256; // pictures are kept no larger than that, or than the model has use for
const THUMB = 168;

function thumbnail(bitmap) {
  const canvas = el('canvas', { class: 'picture', width: THUMB, height: THUMB, 'aria-hidden': 'true' });
  const context = canvas.getContext('2d');
  const s = Math.min(THUMB / bitmap.width, THUMB / bitmap.height);
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, (THUMB - s * bitmap.width) / 2, (THUMB - s * bitmap.height) / 2, s * bitmap.width, s * bitmap.height);
  return canvas;
}

export class Tray {
  constructor(active) {
    this.active = active;
    this.items = []; // {name, blob, thumb, answer, label}; label: it was taught as that
    this.current = null;
    this.work = Promise.resolve(); // lessons, one after the other
    this.keys = new Map();
    this.build();
    on('model', () => this.paint());
    on('undone', () => {
      for (const item of this.items) item.label = null;
      this.current ??= this.items[0] ?? null;
      this.judge();
    });
    document.addEventListener('keydown', (event) => this.key(event));
  }

  build() {
    this.give = el('div', { class: 'give' }, el('p', { class: 'small soft' }, 'Drop pictures here, as many as you like, or'));
    this.give.append(el('div', { class: 'row' }, ...intake(this.give, this.active, (files) => this.take(files))));
    this.said = el('p', { class: 'hint', role: 'status' });
    this.now = el('div', { class: 'asked-row', hidden: true });
    this.list = el('ol', { class: 'tiles', 'aria-label': 'Pictures' });
    this.clear = button('Remove all', () => this.empty(), { class: 'link' });
    this.head = el('div', { class: 'between', hidden: true }, el('h2', {}, 'Pictures'), this.clear);
    this.another = newClass('Label as new', 'tray-class', (label) => this.addClass(label));
    this.node = el('section', { class: 'tray card', 'aria-label': 'Pictures' }, this.head, this.said, this.now, this.list, this.give);
    this.paint();
  }

  async take(files) {
    const side = Math.max(SIDE_MIN, 2 * state.model.width, 2 * state.model.height);
    for (const file of files) {
      try {
        const { bitmap, blob } = await readPicture(file, side);
        const item = { name: file.name, blob, thumb: thumbnail(bitmap), answer: null, label: null };
        bitmap.close();
        this.items.push(item);
        this.current ??= item;
        this.paint();
      } catch (problem) {
        tell('problem', problem);
      }
    }
    this.judge();
  }

  empty() {
    this.items = [];
    this.current = null;
    this.paint();
  }

  // What the model says of those that wait, anew after each lesson; a newer call ends an older one.
  async judge() {
    const mine = (this.judging = {});
    this.paint();
    if (labels().length === 0) return;
    const waiting = this.items.filter((item) => item.label === null);
    const first = waiting.filter((item) => item === this.current);
    for (const item of [...first, ...waiting.filter((other) => other !== this.current)]) {
      if (item.answer?.revision === revision()) continue;
      try {
        const answer = await post(askUnknown(), item.blob);
        if (mine !== this.judging) return;
        item.answer = answer;
        this.paint();
      } catch (problem) {
        tell('problem', problem);
        return;
      }
    }
  }

  // ---- painting ----

  paint() {
    const { items, current } = this;
    const done = items.filter((item) => item.label !== null).length;
    this.head.hidden = this.list.hidden = items.length === 0;
    this.said.textContent = items.length === 0 ? '' : current ? `${plural(items.length - done, 'picture')} without a label. Press the key of the right class, or click it.`
      : `All done: ${plural(done, 'picture')} taught.`;
    this.now.hidden = !current;
    if (current) this.paintCurrent(current);
    const tiles = items.map((item) => this.tile(item));
    const there = [...this.list.children];
    if (tiles.length !== there.length || tiles.some((tile, i) => tile !== there[i])) this.list.replaceChildren(...tiles);
  }

  // Only what has changed: a button that is being pressed stays.
  isPainted(item) {
    const seen = [item, item.answer, labels().join('\n')];
    const same = this.painted?.every((value, i) => value === seen[i]);
    this.painted = seen;
    return same;
  }

  paintCurrent(item) {
    if (this.isPainted(item)) return;
    const { nodes, keys } = choices(item.answer, (label) => this.label(label));
    this.keys = keys;
    const { answer } = item;
    const words = labels().length === 0 ? 'The model has no class yet: name this one below.'
      : !answer ? 'Waiting for the prediction…' : answer.flat ? 'Only one colour: there is nothing to learn from it.'
        : isUnknown(answer) ? `Perhaps ${nearest(answer)}, ${percent(answer.confidence)}: it is not much like what was taught.` : `Predicted: ${nearest(answer)}, ${percent(answer.confidence)}.`;
    this.question ??= el('p', { class: 'question', role: 'status' });
    this.question.textContent = words;
    this.place ??= el('div', { class: 'picture-place' });
    this.choice ??= el('div', { class: 'stack' });
    const picture = el('canvas', { class: 'picture', width: THUMB, height: THUMB, role: 'img', 'aria-label': `Which class is this? ${item.name}` });
    picture.getContext('2d').drawImage(item.thumb, 0, 0);
    this.place.replaceChildren(picture);
    this.choice.replaceChildren(...nodes.filter(Boolean));
    if (this.now.childElementCount === 0)
      this.now.append(this.place, el('div', { class: 'stack' }, this.question, this.choice, this.another));
  }

  tile(item) {
    const { answer, label } = item;
    const said = label !== null ? 'taught' : !answer ? '…' : answer.flat ? 'one colour' : percent(answer.confidence);
    const name = label ?? (answer ? `${nearest(answer)}${isUnknown(answer) ? '?' : ''}` : '?');
    if (!item.tile) {
      item.tile = button('', () => {
        this.current = item;
        this.paint();
      }, { class: 'tile' });
      item.tile.append(item.thumb, el('span', { class: 'tile-label' }), el('span', { class: 'tile-said' }));
      item.place = el('li', {}, item.tile);
    }
    item.tile.disabled = label !== null;
    item.tile.classList.toggle('now', item === this.current);
    item.tile.setAttribute('aria-label', `${item.name}: ${label !== null ? `taught as ${label}` : answer ? `predicted ${name}` : 'waiting'}`);
    const [title, words] = item.tile.querySelectorAll('span');
    title.textContent = name;
    words.textContent = said;
    words.className = `tile-said ${label !== null ? 'good' : 'soft'}`;
    return item.place;
  }

  // ---- labelling ----

  key(event) {
    if (!this.active() || !this.current) return;
    const label = chosen(this.keys, event);
    if (label === undefined) return;
    event.preventDefault();
    this.label(label);
  }

  // The next picture is there at once; the lesson follows in its turn.
  label(label) {
    const item = this.current;
    if (!item) return this.work;
    item.label = label;
    const after = this.items.slice(this.items.indexOf(item) + 1);
    this.current = [...after, ...this.items].find((other) => other.label === null) ?? null;
    this.paint();
    this.work = this.work.then(() => this.learn(item, label));
    return this.work;
  }

  async learn(item, label) {
    try {
      await guard();
      await train(`/train?label=${encodeURIComponent(label)}`, item.blob);
      announce(`Taught ${label}${item.answer ? `; the prediction was ${nearest(item.answer)}` : ''}.`);
      await refresh();
      tell('lesson');
    } catch (problem) {
      item.label = null;
      this.current ??= item;
      tell('problem', problem);
    }
    this.judge();
  }

  async addClass(label) {
    try {
      if (!labels().includes(label)) {
        await guard();
        await send('POST', '/classes', { label });
        await refresh();
      }
      this.label(label);
      return true;
    } catch (problem) {
      tell('problem', problem);
      return false;
    }
  }
}
