// pad.js - the sheet that one draws on: by pen, finger or mouse; by keys; or a picture is laid on it.
//
//   arrows move the pen (with Shift further), Space lowers and lifts it, Backspace undoes the last line, Delete clears

import { Ink, PENS, trace } from './ink.js';
import { button, el } from './dom.js';

export class Pad {
  constructor(changed) {
    this.changed = changed; // called after every change
    this.canvas = el('canvas', {
      tabindex: 0, role: 'application', 'aria-roledescription': 'drawing sheet', 'aria-label': 'Draw here',
      'aria-describedby': 'pad-keys',
    });
    this.context = this.canvas.getContext('2d');
    this.hint = el('p', { class: 'pad-hint', 'aria-hidden': 'true' }, 'Draw here');
    this.node = el('div', { class: 'pad' }, this.canvas, this.hint);
    this.keys = el('p', { id: 'pad-keys', class: 'unseen' },
      'Arrow keys move the pen, Space lowers and lifts it, Backspace undoes the last line, Delete clears.');
    this.node.append(this.keys);
    this.colour = null; // of the pen, where there are several
    this.palette = el('div', { class: 'palette', role: 'group', 'aria-label': 'Colour of the pen', hidden: true },
      Object.entries(PENS).map(([name, colour]) => this.pen(name, colour)));
    this.cursor = null; // of the keys: {x, y, down}
    this.listen();
    new ResizeObserver(() => this.fit()).observe(this.canvas);
  }

  pen(name, colour) {
    const node = button('', () => this.choose(colour), { 'aria-label': name, data: { colour } });
    node.style.background = colour;
    return node;
  }

  choose(colour) {
    this.colour = colour;
    for (const node of this.palette.children) node.setAttribute('aria-pressed', node.dataset.colour === colour);
  }

  // A new geometry; what was there is gone. In colour one draws on white paper, whatever the theme is.
  setSize(width, height, inColour) {
    if (this.ink?.width === width && this.ink?.height === height) return;
    this.palette.hidden = !inColour;
    this.canvas.classList.toggle('paper', inColour);
    if (inColour) this.choose(PENS.black);
    this.canvas.style.aspectRatio = `${width} / ${height}`;
    this.ink = new Ink(width, height);
    this.picture = null;
    this.paint();
  }

  get empty() {
    return this.picture === null && this.ink.empty;
  }

  clear() {
    this.ink = new Ink(this.ink.width, this.ink.height);
    this.picture = null;
    this.cursor = this.cursor && { ...this.cursor, down: false };
    this.done();
  }

  undo() {
    this.ink.undo();
    this.done();
  }

  show(picture) {
    this.ink = new Ink(this.ink.width, this.ink.height);
    this.picture = picture;
    this.done();
  }

  done() {
    this.paint();
    this.changed();
  }

  // ---- input ----

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * this.ink.width) / box.width, ((event.clientY - box.top) * this.ink.height) / box.height];
  }

  listen() {
    let drawing = null;
    this.canvas.addEventListener('pointerdown', (event) => {
      if (!event.isPrimary || event.button !== 0) return;
      event.preventDefault();
      this.canvas.focus({ preventScroll: true, focusVisible: false });
      this.canvas.setPointerCapture(event.pointerId);
      drawing = event.pointerId;
      this.picture = null;
      this.cursor = null;
      this.ink.begin(...this.place(event), this.colour);
      this.done();
    });
    this.canvas.addEventListener('pointermove', (event) => {
      if (event.pointerId !== drawing) return;
      const parts = event.getCoalescedEvents?.() ?? [];
      for (const part of parts.length > 0 ? parts : [event]) this.ink.extend(...this.place(part));
      this.done();
    });
    const lift = (event) => {
      if (event.pointerId === drawing) drawing = null;
    };
    this.canvas.addEventListener('pointerup', lift);
    this.canvas.addEventListener('pointercancel', lift);
    this.canvas.addEventListener('keydown', (event) => this.key(event));
    this.canvas.addEventListener('blur', () => {
      this.cursor = null;
      this.paint();
    });
  }

  key(event) {
    const step = event.shiftKey ? 3 : 1;
    const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey || !(move || [' ', 'Backspace', 'Delete'].includes(event.key))) return;
    event.preventDefault();
    if (event.key === 'Delete') return void this.clear();
    if (event.key === 'Backspace') return void this.undo();
    const c = (this.cursor ??= { x: this.ink.width / 2, y: this.ink.height / 2, down: false });
    if (event.key === ' ') {
      c.down = !c.down;
      if (c.down) {
        this.picture = null;
        this.ink.begin(c.x, c.y, this.colour);
      }
    } else {
      c.x = Math.min(this.ink.width, Math.max(0, c.x + move[0]));
      c.y = Math.min(this.ink.height, Math.max(0, c.y + move[1]));
      if (c.down) this.ink.extend(c.x, c.y);
    }
    this.done();
  }

  // ---- painting ----

  fit() {
    const scale = window.devicePixelRatio || 1;
    const width = Math.round(this.canvas.clientWidth * scale);
    const height = Math.round(this.canvas.clientHeight * scale);
    if (width === 0 || (this.canvas.width === width && this.canvas.height === height)) return;
    this.canvas.width = width;
    this.canvas.height = height;
    this.paint();
  }

  paint() {
    const { context, canvas, ink } = this;
    if (!ink) return;
    this.hint.hidden = !this.empty || this.cursor !== null;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (this.picture) {
      const s = Math.min(canvas.width / this.picture.width, canvas.height / this.picture.height);
      context.imageSmoothingEnabled = s < 1;
      context.drawImage(this.picture, (canvas.width - s * this.picture.width) / 2, (canvas.height - s * this.picture.height) / 2,
        s * this.picture.width, s * this.picture.height);
    }
    const style = getComputedStyle(canvas);
    context.scale(canvas.width / ink.width, canvas.height / ink.height);
    context.strokeStyle = style.color;
    trace(context, ink, { scale: 1, x: 0, y: 0 });
    if (this.cursor) {
      context.beginPath();
      context.arc(this.cursor.x, this.cursor.y, ink.pen / 2 + 0.4, 0, 7);
      context.lineWidth = 0.25;
      context.strokeStyle = style.outlineColor;
      context.fillStyle = style.outlineColor;
      if (this.cursor.down) context.fill();
      else context.stroke();
    }
  }
}
