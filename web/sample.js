// sample.js - samples as small pictures, and one of them from near: relabel it, forget it, with the rebuild's progress.

import { bitmap, get, request } from './api.js';
import { announce, button, decimal, el, percent, when } from './dom.js';
import { can, labels, refresh, tell } from './state.js';
import { followJob } from './jobs.js';

// A picture that comes by itself, when it is about to be seen; with the token, where one is needed.
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    watcher.unobserve(target);
    load(target);
  }
}, { rootMargin: '200px' });

async function load(canvas) {
  try {
    const picture = await bitmap(canvas.dataset.path);
    canvas.width = picture.width;
    canvas.height = picture.height;
    canvas.getContext('2d').drawImage(picture, 0, 0);
  } catch {
    canvas.classList.add('gone'); // forgotten meanwhile, most likely
  }
}

export function picture(path, label) {
  const canvas = el('canvas', { class: 'picture', width: 1, height: 1, role: 'img', 'aria-label': label, data: { path } });
  watcher.observe(canvas);
  return canvas;
}

export function labelChoice(current, change, properties) {
  const options = labels().map((label) => el('option', { value: label, selected: label === current }, label));
  return el('select', { ...properties, on: { change: (event) => change(event.target.value) } }, options);
}

// changed(): the sample is not what it was.
export function openSample(sample, changed) {
  const progress = el('p', { class: 'small soft', role: 'status' });
  const close = () => dialog.close();
  let relabel = null;
  let forget = null;

  async function edit(method, body, words) {
    relabel.disabled = forget.disabled = true;
    progress.textContent = 'Rebuilding the model…';
    try {
      const headers = body ? { 'Content-Type': 'application/json' } : {};
      const response = await request(method, `/samples/${sample.id}`, { body: body && JSON.stringify(body), headers });
      if (response.status === 202) {
        const job = await response.json();
        await followJob(job.id, (j) => (progress.textContent = `Rebuilding the model: ${percent(j.progress)}`));
      }
      announce(words);
      await refresh();
      tell('taught');
      close();
      changed();
    } catch (problem) {
      progress.textContent = problem.message;
      relabel.disabled = forget.disabled = false;
    }
  }

  // In the place of what was pressed: a forgotten sample does not come back.
  function confirm() {
    const said = el('p', {}, 'Forget this sample? Its image is deleted, and cannot be brought back.');
    const back = () => {
      caption.hidden = false;
      row.replaceChildren(choice, relabel, forget);
    };
    const yes = button('Forget permanently', () => {
      back();
      edit('DELETE', null, `Sample ${sample.id} was forgotten.`);
    }, { class: 'danger' });
    caption.hidden = true;
    row.replaceChildren(said, yes, button('Cancel', () => {
      back();
      forget.focus();
    }, { class: 'quiet' }));
    yes.focus();
  }

  const choice = labelChoice(sample.label, () => (relabel.disabled = choice.value === sample.label), { id: 'relabel' });
  relabel = button('Relabel', () => edit('PATCH', { label: choice.value }, `Sample ${sample.id} is ${choice.value} now.`), { disabled: true });
  forget = button('Forget', confirm, { class: 'danger' });
  const caption = el('label', { class: 'field', for: 'relabel' }, 'Correct label');
  const row = el('div', { class: 'row' }, choice, relabel, forget);
  const facts = [
    ['Label', sample.label ?? 'a deleted class'], ['Predicted', sample.predicted ?? 'a deleted class'], ['Loss', decimal(sample.loss)],
    ['Learned', when(sample.created)], ['Revision', sample.revision],
  ];
  const dialog = el('dialog', { class: 'near', 'aria-labelledby': 'near-title' },
    el('div', { class: 'between' }, el('h2', { id: 'near-title' }, `Sample ${sample.id}`), button('Close', close, { class: 'quiet' })),
    el('div', { class: 'near-row' }, picture(`/samples/${sample.id}/image`, `Sample ${sample.id}, ${sample.label}`),
      el('dl', { class: 'facts' }, facts.map(([name, value]) => [el('dt', {}, name), el('dd', {}, value)]))),
    can('PATCH', '/samples/{id}') && el('div', { class: 'near-edit' },
      caption, row,
      el('p', { class: 'small soft' }, 'The model becomes exactly what it would be if this had always been so (exact unlearning).')),
    progress);
  dialog.addEventListener('close', () => dialog.remove());
  dialog.addEventListener('click', (event) => event.target === dialog && close());
  document.body.append(dialog);
  dialog.showModal();
}

export const sampleOf = (id) => get(`/samples/${id}`);
