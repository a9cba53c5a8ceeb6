// bars.js - what it says: the classes with their probabilities, each a button that teaches that class. Few classes stand in
// their own order, so that each has its place; of many only the likeliest are shown, and those that one looks for.

import { el, percent } from './dom.js';

const ALL_UP_TO = 14;
const SHOWN = 10;
const LONG = 16; // characters: such labels have a line of their own
const MOVED = 0.005; // less than that is no change to see

export class Bars {
  // release: a button teaches for as long as it is held, and that ends it
  constructor(teach, { release = null, verb = 'Teach' } = {}) {
    Object.assign(this, { teach, release, verb });
    this.list = el('ol', { class: `bars${release ? ' hold' : ''}`, 'aria-label': `Classes: ${release ? 'hold' : 'click'} one to teach it` });
    this.search = el('input', { type: 'search', placeholder: 'Find a class', 'aria-label': 'Find a class', hidden: true,
      on: { input: () => this.paint() } });
    this.node = el('div', { class: 'bars-box' }, this.search, this.list);
    this.rows = new Map();
    this.classes = [];
    this.now = this.before = null;
    this.enabled = false;
  }

  setClasses(classes) {
    if (classes.join('\n') === this.classes.join('\n')) return;
    this.classes = [...classes];
    this.search.hidden = classes.length <= ALL_UP_TO;
    this.list.classList.toggle('long', classes.some((label) => label.length > LONG));
    this.rows.clear();
    this.paint();
  }

  // now: {label: probability}, or null; before: the same before a lesson, drawn as a mark; enabled: whether one can teach.
  show(now, before, enabled) {
    Object.assign(this, { now, before, enabled });
    this.paint();
  }

  chosen() {
    if (this.classes.length <= ALL_UP_TO) return this.classes;
    const wanted = this.search.value.trim().toLowerCase();
    const found = this.classes.filter((label) => label.toLowerCase().includes(wanted));
    if (this.now) found.sort((a, b) => (this.now[b] ?? 0) - (this.now[a] ?? 0));
    return found.slice(0, SHOWN);
  }

  handlers(label) {
    if (!this.release) return { click: () => this.teach(label) };
    const end = () => this.release(label);
    return {
      pointerdown: (event) => {
        if (event.button !== 0) return;
        event.currentTarget.setPointerCapture(event.pointerId);
        this.teach(label);
      },
      pointerup: end, pointercancel: end, lostpointercapture: end, blur: end,
      contextmenu: (event) => event.preventDefault(), // of a finger that stays
      keydown: (event) => {
        if (event.key !== ' ' && event.key !== 'Enter') return;
        event.preventDefault();
        if (!event.repeat) this.teach(label);
      },
      keyup: end,
      click: (event) => { // by something that knows no holding
        if (event.detail > 0) return;
        this.teach(label);
        end();
      },
    };
  }

  row(label) {
    if (!this.rows.has(label)) {
      const parts = { fill: el('i'), mark: el('b', { hidden: true }), value: el('span', { class: 'bar-value' }) };
      const node = el('button', { type: 'button', class: 'bar', on: this.handlers(label) });
      node.append(el('span', { class: 'bar-label', title: label }, label), el('span', { class: 'bar-track' }, parts.fill, parts.mark), parts.value);
      this.rows.set(label, { ...parts, button: node, item: el('li', {}, node) });
    }
    return this.rows.get(label);
  }

  paint() {
    const now = this.now ?? {};
    const best = Object.keys(now).reduce((a, b) => (a === null || now[b] > now[a] ? b : a), null);
    const items = this.chosen().map((label) => {
      const row = this.row(label);
      const p = now[label] ?? 0;
      row.fill.style.width = `${100 * p}%`;
      const was = this.before?.[label] ?? 0;
      row.mark.hidden = !this.before || Math.abs(was - p) < MOVED;
      row.mark.style.left = `${100 * was}%`;
      row.value.textContent = this.now ? percent(p) : '';
      row.button.classList.toggle('best', label === best);
      row.button.disabled = !this.enabled;
      row.button.setAttribute('aria-label', this.now ? `${this.verb} ${label}; now ${percent(p)}` : `${this.verb} ${label}`);
      return row.item;
    });
    const there = [...this.list.children];
    if (items.length !== there.length || items.some((item, i) => item !== there[i])) this.list.replaceChildren(...items);
  }
}
