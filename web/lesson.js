// lesson.js - teaching: one image, one label, and what it changed. Before the first lesson of a visit a snapshot is taken, so
// that all of them can be undone; a single one is undone by forgetting its sample, where the daemon can do that.

import { request, send, train } from './api.js';
import { announce, button, count, decimal, el, percent } from './dom.js';
import { can, on, refresh, tell } from './state.js';
import { followJob } from './jobs.js';

const SHOWN = 6;

const best = (answer) => `${answer.label}, ${percent(answer.confidence)} sure`;

function told(label, before, after) {
  const [was, is] = [before.probabilities[label] ?? 0, after.probabilities[label] ?? 0];
  if (after.label === label && before.label === label) return `The prediction was right: ${percent(was)}, now ${percent(is)}.`;
  if (after.label === label) return `The prediction was ${best(before)}; now it is ${best(after)}.`;
  return `The prediction is still ${best(after)}; ${label} went from ${percent(was)} to ${percent(is)}. Teach it again, or draw another.`;
}

export const FLAT = 'The network sees only one colour in this picture, so there is nothing to learn. Use another picture.';

// ---- the visit: all of its lessons can be undone at once ----

let snapshot = null; // promise of the id of that from before the first lesson

// Before each lesson, wherever on the page.
export async function guard() {
  snapshot ??= send('POST', '/snapshots', { note: 'before lessons on the page' }).then(({ id }) => id);
  await snapshot.catch((problem) => {
    snapshot = null;
    throw problem;
  });
}

export function undoVisit() {
  const back = button('Undo all lessons of this visit', async () => {
    back.disabled = true;
    try {
      await send('POST', `/snapshots/${await snapshot}/activate`);
      snapshot = null;
      announce('Undone: the model is as it was before your first lesson.');
      await refresh();
      tell('undone');
      tell('taught');
    } catch (problem) {
      tell('problem', problem);
    } finally {
      back.disabled = false;
    }
  }, { class: 'link' });
  return back;
}

export class Lessons {
  constructor() {
    this.list = el('ol', { class: 'lessons' });
    this.back = undoVisit();
    this.node = el('section', { class: 'card', hidden: true, 'aria-label': 'Lessons' },
      el('div', { class: 'between' }, el('h2', {}, 'Lessons'), this.back), this.list);
    on('undone', () => {
      this.list.replaceChildren();
      this.node.hidden = true;
    });
  }

  // predict: () => Promise of the answer for that image now; isNew: the class is made first, but what was said is from before that,
  // since a class that has learned nothing says anything. Gives {before, after}.
  async teach(label, bytes, predict, thumbnail, isNew = false) {
    const before = await predict();
    if (before.flat) throw new Error(FLAT);
    await guard();
    if (isNew) await send('POST', '/classes', { label });
    const answer = await train(`/train?label=${encodeURIComponent(label)}`, bytes);
    const after = await predict();
    this.add({ label, answer, before, after, thumbnail });
    await refresh();
    return { before, after };
  }

  add({ label, answer, before, after, thumbnail }) {
    const text = told(label, before, after);
    const sample = answer.samples[0];
    const undo = can('DELETE', '/samples/{id}') && button('Undo', () => this.forget(sample, item, undo), { class: 'link' });
    const item = el('li', { data: { sample } }, thumbnail, el('div', {},
      el('p', {}, el('strong', {}, `Taught ${label}. `), text),
      el('p', { class: 'small soft' }, `loss ${decimal(answer.loss)} · step ${count(answer.step)} · revision ${count(answer.revision)}`)), undo);
    this.list.prepend(item);
    while (this.list.childElementCount > SHOWN) this.list.lastChild.remove();
    this.node.hidden = false;
    announce(`Taught ${label}. ${text}`);
  }

  async forget(sample, item, undo) {
    undo.disabled = true;
    undo.textContent = 'Undoing…';
    try {
      const response = await request('DELETE', `/samples/${sample}`);
      const job = response.status === 202 ? await response.json() : null;
      if (job) await followJob(job.id, (j) => (undo.textContent = `${Math.round(100 * j.progress)} %`));
      item.remove();
      this.node.hidden = this.list.childElementCount === 0;
      announce('Undone: the model is as if it had never learned from that sample.');
      await refresh();
      tell('taught');
    } catch (problem) {
      undo.disabled = false;
      undo.textContent = 'Undo';
      tell('problem', problem);
    }
  }
}
