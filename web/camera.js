// camera.js - what the camera sees, answered while it is seen, and taught for as long as a class's button is held.

import { post, send, train } from './api.js';
import { announce, button, el, percent, plural } from './dom.js';
import { labels, on, refresh, state, tell } from './state.js';
import { Bars } from './bars.js';
import { newClass } from './choices.js';
import { askUnknown, isUnknown, nearest } from './known.js';
import { FLAT, guard } from './lesson.js';

const LOOK_MS = 100; // from one prediction to the next
const TEACH_MS = 125; // from one sample to the next, while a button is held
const AGAIN_MS = 1000; // after a problem
const QUALITY = 0.92; // of the JPEG that is sent

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Camera {
  constructor() {
    this.stream = null;
    this.held = null; // the class whose button is held
    this.teaching = false;
    this.taught = new Map(); // class -> samples of this visit
    this.answer = null;
    this.canvas = el('canvas');
    this.bars = new Bars((label) => this.hold(label), { release: (label) => this.held === label && (this.held = null), verb: 'Hold to teach' });
    this.build();
    this.modelChanged();
    on('model', () => this.modelChanged());
    on('undone', () => {
      this.taught.clear();
      this.show();
    });
    document.addEventListener('visibilitychange', () => document.visibilityState === 'hidden' && this.stop());
  }

  build() {
    this.video = el('video', { muted: true, playsinline: true, autoplay: true, 'aria-label': 'What the camera sees' });
    this.video.muted = true;
    this.start = button('Start the camera', () => this.open(), { class: 'main' });
    this.end = button('Stop', () => this.stop());
    this.other = button('Other camera', () => this.next(), { hidden: true });
    this.verdict = el('p', { class: 'verdict' });
    this.advice = el('p', { class: 'hint' });
    this.node = el('div', { class: 'desk' },
      el('div', { class: 'sheet' }, el('div', { class: 'finder' }, this.video, this.start), el('div', { class: 'row tools' }, this.end, this.other)),
      el('div', { class: 'answers card' }, this.verdict, this.advice, this.bars.node,
        newClass('Add', 'camera-class', (label) => this.addClass(label))));
  }

  modelChanged() {
    const { width, height, settings } = state.model;
    this.bars.setClasses(labels());
    // What is cut off is not seen, and what is seen is not cut off.
    const covers = settings.fit === 'cover';
    this.video.style.aspectRatio = covers ? `${width} / ${height}` : '4 / 3';
    this.video.style.objectFit = covers ? 'cover' : 'contain';
    this.show();
  }

  // ---- the stream ----

  async open(deviceId) {
    if (!navigator.mediaDevices) {
      tell('problem', new Error('The browser gives a camera only to pages of https:// addresses and of this machine: open the page by one of them.'));
      return;
    }
    try {
      const which = deviceId ? { deviceId: { exact: deviceId } } : { facingMode: 'environment' };
      const stream = await navigator.mediaDevices.getUserMedia({ video: { ...which, width: { ideal: 640 }, height: { ideal: 480 } } });
      this.stop();
      this.stream = stream;
      this.video.srcObject = stream;
      await this.video.play();
      this.devices = (await navigator.mediaDevices.enumerateDevices()).filter((d) => d.kind === 'videoinput');
    } catch (error) {
      this.stop();
      const why = { NotAllowedError: 'The camera may not be used: allow it in the browser, and start it again.', NotFoundError: 'There is no camera.' };
      tell('problem', new Error(why[error.name] ?? `The camera did not start: ${error.message}`));
    }
    this.show();
    this.watch();
  }

  next() {
    const now = this.stream.getVideoTracks()[0].getSettings().deviceId;
    const at = this.devices.findIndex((d) => d.deviceId === now);
    this.open(this.devices[(at + 1) % this.devices.length].deviceId);
  }

  stop() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = this.held = this.answer = null;
    this.video.srcObject = null;
    this.show();
  }

  // What is seen now, no larger than the model has use for.
  frame() {
    const { videoWidth: w, videoHeight: h } = this.video;
    const s = Math.min(1, (2 * Math.max(state.model.width, state.model.height)) / Math.min(w, h));
    this.canvas.width = Math.round(s * w);
    this.canvas.height = Math.round(s * h);
    const context = this.canvas.getContext('2d', { willReadFrequently: true });
    context.imageSmoothingQuality = 'high';
    context.drawImage(this.video, 0, 0, this.canvas.width, this.canvas.height);
    return new Promise((resolve) => this.canvas.toBlob(resolve, 'image/jpeg', QUALITY));
  }

  // ---- looking: one prediction at a time ----

  async watch() {
    const { stream } = this;
    while (stream && this.stream === stream) {
      const began = performance.now();
      let wait = LOOK_MS;
      try {
        const answer = labels().length > 0 && this.video.videoWidth > 0 ? await post(askUnknown(), await this.frame()) : null;
        if (this.stream !== stream) return;
        this.answer = answer;
      } catch {
        this.answer = null; // the line at the top says that convd does not respond
        wait = AGAIN_MS;
      }
      this.show();
      await pause(Math.max(0, wait - (performance.now() - began)));
    }
  }

  show() {
    const { answer, stream } = this;
    const few = labels().length < 2;
    this.start.hidden = Boolean(stream);
    this.end.hidden = !stream;
    this.other.hidden = !stream || !(this.devices?.length > 1);
    this.bars.show(answer?.probabilities ?? null, null, Boolean(stream));
    this.bars.list.classList.toggle('unsure', Boolean(answer) && isUnknown(answer));
    this.verdict.classList.toggle('waiting', !answer || few);
    if (!answer || few) this.verdict.replaceChildren(el('strong', {}, '?'));
    else if (isUnknown(answer)) this.verdict.replaceChildren(el('strong', { class: 'unknown' }, "I don't know this"), el('span', { class: 'small soft' }, `nearest: ${nearest(answer)}`));
    else this.verdict.replaceChildren(el('strong', {}, nearest(answer)), el('span', { class: 'sure' }, `${percent(answer.confidence)} sure`));
    this.advice.textContent = this.words(answer);
  }

  words(answer) {
    const said = [...this.taught].map(([label, n]) => `${label} ${n}`).join(', ');
    if (this.held !== null) return `Teaching ${this.held}: ${plural(this.taught.get(this.held) ?? 0, 'sample')}. Move it a little.`;
    if (labels().length === 0) return 'The model knows nothing yet. Add a class: the name of a thing.';
    if (!this.stream) return 'Start the camera, show a thing to it, and hold the button of its class.';
    if (answer?.flat) return FLAT;
    if (labels().length === 1) return 'Hold the button while the camera sees the thing. Then add a second class: one alone is no choice.';
    return said ? `Taught in this visit: ${said}.` : 'Hold the button of a class while the camera sees its thing.';
  }

  // ---- teaching ----

  async hold(label) {
    this.held = label;
    if (this.teaching || !this.stream) return;
    this.teaching = true;
    try {
      await guard();
      for (let next = label; next !== null && this.stream; next = this.held) { // a short press is one sample
        const began = performance.now();
        await train(`/train?label=${encodeURIComponent(next)}`, await this.frame());
        this.taught.set(next, (this.taught.get(next) ?? 0) + 1);
        this.show();
        if (this.held !== null) await pause(Math.max(0, TEACH_MS - (performance.now() - began)));
      }
      announce(`Taught ${label}: ${plural(this.taught.get(label) ?? 0, 'sample')}.`);
    } catch (problem) {
      this.held = null;
      tell('problem', problem);
    } finally {
      this.teaching = false;
      this.show();
      tell('lesson');
      refresh().catch(() => {});
    }
  }

  async addClass(label) {
    try {
      await guard();
      await send('POST', '/classes', { label });
      await refresh();
      tell('lesson');
      return true;
    } catch (problem) {
      tell('problem', problem);
      return false;
    }
  }
}
