// compare.js - two snapshots beside each other: what each says of itself, and, where the daemon can tell, how far apart their
// weights are and what both say of the samples that only one of them has learned from.

import { get } from './api.js';
import { count, el, percent, plural } from './dom.js';
import { can } from './state.js';

const NOTE = 40; // characters of one, in a heading
const CLASSES = 5; // those that changed most

const signed = (n) => (n > 0 ? `+${count(n)}` : n < 0 ? `−${count(-n)}` : 'none');

function points(one, two) {
  if (one === null || two === null) return '–';
  return `${two >= one ? '+' : '−'}${Math.abs(100 * (two - one)).toFixed(2)} points`;
}

const row = (title, ...cells) => el('tr', {}, el('th', { scope: 'row' }, title), cells.map((cell) => el('td', { class: 'n' }, cell)));

function sides(a, b, diff) {
  const name = (s) => (s.note.length > NOTE ? `${s.note.slice(0, NOTE)}…` : s.note || `snapshot ${s.id}`);
  const both = diff?.samples.n > 0 && row(`Accuracy on ${plural(diff.samples.n, 'sample')} that only one has learned`, percent(diff.a.accuracy), percent(diff.b.accuracy), points(diff.a.accuracy, diff.b.accuracy));
  return el('div', { class: 'scroll' }, el('table', { class: 'plain' },
    el('thead', {}, el('tr', {}, el('td'), [name(a), name(b), 'difference'].map((t) => el('th', { scope: 'col', class: 'n' }, t)))),
    el('tbody', {}, row('Accuracy', percent(a.accuracy), percent(b.accuracy), points(a.accuracy, b.accuracy)), both,
      row('Samples', count(a.samples), count(b.samples), signed(b.samples - a.samples)),
      row('Steps', count(a.step), count(b.step), signed(b.step - a.step)))));
}

function words({ samples, disagree, tensors, classes }) {
  const far = tensors.map((t) => `${t.name} ${t.relative === null ? '–' : `${(100 * t.relative).toPrecision(2)} %`}`).join(', ');
  const moved = classes.filter((c) => c.changed > 0).slice(0, CLASSES).map((c) => `${c.label} (−${c.left}, +${c.came})`).join(', ');
  return [
    el('p', {}, samples.n === 0 ? 'Both have learned from the same samples.'
      : `Their predictions differ for ${count(disagree)} of the ${plural(samples.n, 'sample')} that only one has learned${samples.more ? ' (the newest)' : ''}.`),
    moved !== '' && el('p', {}, `Most changed: ${moved}.`),
    el('p', { class: 'soft' }, `Relative distance of the weights: ${far}.`),
  ].filter(Boolean);
}

let asked = 0;

export async function showDifference(node, a, b) {
  const mine = ++asked;
  const diff = can('GET', '/snapshots/{id}/diff/{other}') ? await get(`/snapshots/${a.id}/diff/${b.id}`) : null;
  if (mine === asked) node.replaceChildren(el('h2', {}, 'Comparison'), sides(a, b, diff), ...(diff ? words(diff) : []));
}
