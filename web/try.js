// try.js - Try and teach: a sheet to draw on, what the model says while one draws, and one press to teach it better.

import { post, send } from './api.js';
import { announce, button, el, percent, plural } from './dom.js';
import { can, labels, on, refresh, state, tell } from './state.js';
import { Bars } from './bars.js';
import { FLAT, Lessons } from './lesson.js';
import { Pad } from './pad.js';
import { Saw } from './saw.js';
import { asksKnown, isUnknown } from './known.js';
import { intake, isLight, readPicture } from './intake.js';
import { PAPER, pixels, trace } from './ink.js';

const PAUSE_MS = 30; // between two predictions while one draws
const REHEARSED = 8; // against forgetting, and so that a new class is learned from few drawings
const EXPLAINED_AT_ONCE = 1 << 14; // numbers of an input: the explanation of a larger one comes when the pen has rested
const EXPLAINED_AT_ALL = 1 << 20; // the daemon's limit
const THUMB = 88;
const SAY_MS = 700; // a prediction is read out when the pen has rested for so long

export class Try {
  constructor() {
    this.title = 'Try and teach';
    this.pad = new Pad(() => this.changed());
    this.bars = new Bars((label) => this.teach(label));
    this.saw = new Saw();
    this.lessons = new Lessons();
    this.picture = null; // {bitmap, blob} on the sheet
    this.version = 0; // of what is on the sheet
    this.asking = this.failed = false;
    this.answer = this.before = null;
    this.build();
    this.modelChanged();
    on('model', () => this.modelChanged());
    on('taught', () => this.ask());
    on('back', () => this.ask());
    on('theme', () => this.restyle());
  }

  build() {
    this.fit = el('input', { type: 'checkbox', checked: true, on: { change: () => this.changed() } });
    this.fitting = el('label', { class: 'check' }, this.fit, 'Centre and scale what is drawn, as in MNIST');
    this.rehearse = el('input', { type: 'checkbox', on: { change: () => this.setRehearsal() } });
    this.undo = button('Undo', () => this.pad.undo());
    this.clear = button('Clear', () => this.pad.clear());
    this.verdict = el('p', { class: 'verdict' });
    this.advice = el('p', { class: 'hint' });
    this.name = el('input', { id: 'new-class', maxlength: 64, autocomplete: 'off', placeholder: 'a new class', on: {
      input: () => this.enable(),
      keydown: (event) => event.key === 'Enter' && !this.add.disabled && this.addClass(),
    } });
    this.add = button('Teach as new', () => this.addClass());
    this.paper = el('div', { class: 'notice', hidden: true });
    const tools = intake(this.pad.node, () => !this.node.hidden, (files) => this.take(files));
    this.node = el('section', { class: 'place try' },
      el('header', {}, el('h1', {}, 'Try and teach'),
        el('p', {}, 'Draw something. If the prediction is wrong, click the right class: the model learns at once.')),
      this.paper,
      el('div', { class: 'desk' },
        el('div', { class: 'sheet' }, this.pad.node, this.pad.palette,
          el('div', { class: 'row tools' }, this.clear, this.undo, ...tools),
          el('div', { class: 'checks' }, this.fitting,
            el('label', { class: 'check' }, this.rehearse, `Rehearse ${REHEARSED} past samples with each lesson`))),
        el('div', { class: 'answers card' }, this.verdict, this.advice, this.bars.node,
          el('div', { class: 'newclass' }, el('label', { for: 'new-class', class: 'small soft' }, 'Another class?'),
            el('div', { class: 'row' }, this.name, this.add)))),
      this.lessons.node, this.saw.node);
  }

  modelChanged() {
    const inColour = state.model.channels > 1;
    this.pad.setSize(state.model.width, state.model.height, inColour);
    this.fitting.hidden = inColour; // what it learns from pictures is not centred either
    this.bars.setClasses(labels());
    this.rehearse.checked = state.model.settings.rehearsal > 0;
    this.enable();
  }

  shown() {
    this.pad.fit();
  }

  restyle() {
    this.pad.paint();
    this.saw.repaint();
  }

  // ---- what is on the sheet ----

  changed() {
    if (!this.pad.picture) this.picture = null;
    this.paper.hidden = !this.picture || this.paper.hidden;
    this.before = null;
    this.version++;
    this.enable();
    this.ask();
  }

  enable() {
    this.clear.disabled = this.pad.empty;
    this.undo.disabled = this.pad.empty || Boolean(this.pad.picture);
    this.add.disabled = this.pad.empty || this.name.value.trim() === '';
    this.show();
  }

  async take(files) {
    try {
      this.picture = await readPicture(files[0]);
    } catch (error) {
      tell('problem', error);
      return;
    }
    this.pad.show(this.picture.bitmap);
    const { channels, settings, drawings } = state.model;
    const cutOut = settings.fit === 'content' || (settings.fit === 'auto' && drawings);
    this.paper.hidden = !(channels === 1 && !cutOut && settings.invert === 'never' && isLight(this.picture.bitmap));
    if (!this.paper.hidden) this.offerContent();
  }

  offerContent() {
    const yes = button('Set fit to content', async () => {
      try {
        await send('PATCH', '/model', { fit: 'content' });
        this.paper.hidden = true;
        await refresh();
        this.changed();
      } catch (problem) {
        tell('problem', problem);
      }
    });
    this.paper.replaceChildren(el('p', {}, 'This picture is dark on light, and the model expects light on dark. With fit set to content, convd cuts drawings out of their paper, light on dark, and centres them.'), yes);
  }

  body() {
    return this.picture ? this.picture.blob : pixels(this.pad.ink, state.model.channels, this.fit.checked && state.model.channels === 1);
  }

  // Light on dark or in colour, as the model sees it, whatever the theme is.
  thumbnail() {
    const { ink, picture } = this.pad;
    const thumb = el('canvas', { class: 'thumb', width: THUMB, height: THUMB, role: 'img', 'aria-label': 'what was taught' });
    const context = thumb.getContext('2d');
    const { width, height } = picture ?? ink;
    const s = Math.min(THUMB / width, THUMB / height);
    context.translate((THUMB - s * width) / 2, (THUMB - s * height) / 2);
    context.scale(s, s);
    context.strokeStyle = '#fff';
    if (state.model.channels > 1) {
      context.fillStyle = PAPER;
      context.fillRect(0, 0, width, height);
    }
    if (picture) context.drawImage(picture, 0, 0);
    else trace(context, ink, { scale: 1, x: 0, y: 0 });
    return thumb;
  }

  // ---- predictions: one at a time, always of the newest ----

  predict(bytes, explain = this.explains(EXPLAINED_AT_ONCE)) {
    const query = [explain && 'explain=1', asksKnown() && 'known=1'].filter(Boolean).join('&');
    return post(query ? `/predict?${query}` : '/predict', bytes);
  }

  // Whether the daemon explains, and the input is not larger than that.
  explains(most) {
    const { width, height, channels } = state.model;
    return can('POST', '/predict', 'explain') && width * height * channels <= most;
  }

  async ask() {
    if (this.asking || !state.model) return;
    this.asking = true;
    let seen;
    do {
      seen = this.version;
      try {
        this.answer = this.pad.empty ? null : await this.predict(this.body());
        this.failed = false;
        this.show();
      } catch (problem) {
        this.answer = null;
        this.failed = true;
        this.show();
        if (problem.status !== 0) tell('problem', problem);
      }
      if (seen !== this.version) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    } while (seen !== this.version);
    this.asking = false;
    this.say();
  }

  say() {
    clearTimeout(this.saying);
    const answer = this.answer;
    if (answer) this.saying = setTimeout(() => answer === this.answer && this.settled(answer).catch((problem) => tell('problem', problem)), SAY_MS);
  }

  async settled(answer) {
    announce(`Prediction: ${answer.label}, ${percent(answer.confidence)} sure${isUnknown(answer) ? '; not like anything that was taught' : ''}`);
    if (answer.explain || !this.explains(EXPLAINED_AT_ALL)) return;
    const whole = await this.predict(this.body(), true);
    if (answer !== this.answer) return;
    this.answer = whole;
    this.show();
  }

  show() {
    const { answer } = this;
    this.bars.show(answer?.probabilities ?? null, this.before, !this.pad.empty);
    this.verdict.classList.toggle('waiting', !answer);
    if (answer) this.verdict.replaceChildren(el('span', { class: 'small soft' }, 'Prediction'), el('strong', {}, answer.label), el('span', { class: 'sure' }, `${percent(answer.confidence)} sure`));
    else this.verdict.replaceChildren(el('strong', {}, '?'));
    this.advice.textContent = answer?.flat ? FLAT : answer
      ? `${isUnknown(answer) ? 'This is not like anything that was taught: the prediction is the nearest class. ' : ''}Click the right class to teach it.`
      : !this.pad.empty ? this.failed ? 'There is no prediction: convd did not answer.' : 'Waiting for the prediction…'
      : `The model knows ${plural(labels().length, 'class', 'classes')}. Draw something, or choose a picture.`;
    this.saw.show(answer?.explain ?? null).catch((problem) => tell('problem', problem));
  }

  // ---- teaching ----

  // A setting of the model: it holds for whoever teaches.
  async setRehearsal() {
    try {
      await send('PATCH', '/model', { rehearsal: this.rehearse.checked ? REHEARSED : 0 });
    } catch (problem) {
      tell('problem', problem);
    }
    await refresh();
  }

  async teach(label, isNew = false) {
    if (this.teaching || this.pad.empty) return;
    this.teaching = true;
    this.node.classList.add('busy');
    const bytes = this.body();
    const version = this.version;
    try {
      const { before, after } = await this.lessons.teach(label, bytes, () => this.predict(bytes), this.thumbnail(), isNew);
      tell('lesson');
      if (version === this.version) {
        this.before = before.probabilities;
        this.answer = after;
        this.show();
      }
    } catch (problem) {
      tell('problem', problem);
    } finally {
      this.teaching = false;
      this.node.classList.remove('busy');
    }
  }

  async addClass() {
    const label = this.name.value.trim();
    await this.teach(label, !labels().includes(label));
    if (labels().includes(label)) this.name.value = '';
    this.enable();
  }
}
