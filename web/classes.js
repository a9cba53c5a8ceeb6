// classes.js - a class from near: merge it into another, delete it with all its samples; asked once more, and with the rebuild's progress.

import { request } from './api.js';
import { announce, button, el, percent, plural } from './dom.js';
import { followJob } from './jobs.js';
import { labels, refresh, tell } from './state.js';

const CONFLICT = 409;

// seen: how many samples it was taught with, as far as the statistics say.
export function openClass(label, seen) {
  const said = el('p', { class: 'question-said', role: 'status' });
  const ask = el('div', { class: 'row' });
  const close = () => dialog.close();
  const others = labels().filter((other) => other !== label);
  const into = el('select', { id: 'merge-into' }, others.map((other) => el('option', { value: other }, other)));

  // In the place of what was pressed: what is done here can be undone by nothing but going back to an older copy of the file.
  function confirm(words, yes, body, done, query = '') {
    said.textContent = words;
    const sure = button(yes, () => edit(body, done, query), { class: 'danger' });
    ask.replaceChildren(sure, button('Cancel', begin, { class: 'quiet' }));
    sure.focus();
  }

  async function edit(body, done, query) {
    for (const control of dialog.querySelectorAll('button.danger, select')) control.disabled = true;
    said.textContent = 'Rebuilding the model…';
    try {
      const response = await request('PATCH', `/classes${query}`, { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } });
      if (response.status === 202) {
        const job = await response.json();
        await followJob(job.id, (j) => (said.textContent = `Rebuilding the model: ${percent(j.progress)}`));
      }
      announce(done);
      await refresh();
      tell('taught');
      close();
    } catch (problem) {
      into.disabled = false;
      if (problem.status === CONFLICT && query === '' && problem.message.includes('drop_pinned'))
        confirm('A pinned snapshot has learned from these samples, so it has to be deleted, too.', 'Continue, and delete pinned snapshots', body, done, '?drop_pinned=1');
      else begin(problem.message);
    }
  }

  function begin(words) {
    said.textContent = typeof words === 'string' ? words : '';
    const merge = others.length === 0 ? [] : [
      el('label', { for: 'merge-into' }, 'Merge into'), into,
      button('Merge', () => confirm(`All samples of ${label} become ${into.value}, and the class ${label} is deleted.`,
        `Merge ${label} into ${into.value}`, { from: label, into: into.value }, `${label} was merged into ${into.value}.`)),
    ];
    ask.replaceChildren(...merge,
      button('Delete', () => confirm(`The class ${label} is deleted${seen > 0 ? `, and its ${plural(seen, 'sample')} forgotten` : ''}.`,
        `Delete ${label} permanently`, { delete: label }, `${label} was deleted.`), { class: 'danger' }));
  }

  const dialog = el('dialog', { class: 'near', 'aria-labelledby': 'near-title' },
    el('div', { class: 'between' }, el('h2', { id: 'near-title' }, `Class ${label}`), button('Close', close, { class: 'quiet' })),
    el('p', { class: 'soft' }, 'The model becomes exactly what it would be if this had always been so (exact unlearning).'),
    el('div', { class: 'near-edit' }, said, ask));
  begin();
  dialog.addEventListener('close', () => dialog.remove());
  dialog.addEventListener('click', (event) => event.target === dialog && close());
  document.body.append(dialog);
  dialog.showModal();
}
