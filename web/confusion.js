// confusion.js - what it took for what: rows are what was on the image, columns what it said. Each cell leads to its samples.

import { count, el } from './dom.js';
import { can } from './state.js';
import { css, heat, textOn } from './colours.js';

const TABLE_UP_TO = 30; // of more classes only the commonest mistakes are listed
const LISTED = 20;

const link = (label, predicted) => `#samples?label=${encodeURIComponent(label)}&predicted=${encodeURIComponent(predicted)}`;

function cell(label, predicted, n, total) {
  const share = total > 0 ? n / total : 0;
  const right = label === predicted;
  const words = `${count(n)} of ${count(total)} ${label}: predicted ${predicted}`;
  const node = el('td', { class: right ? 'right' : null, title: words });
  if (n === 0) return node;
  const inside = can('GET', '/samples') ? el('a', { href: link(label, predicted), 'aria-label': words }, count(n)) : el('span', {}, count(n));
  const strength = right ? 0 : Math.min(1, 0.12 + 4 * share); // a tenth wrong is a lot
  if (!right) {
    const ground = heat(strength * 0.8);
    node.style.background = css(ground);
    node.style.color = css(textOn(ground));
  }
  node.append(inside);
  return node;
}

function table(labels, confusion) {
  const totals = confusion.map((row) => row.reduce((a, b) => a + b, 0));
  return el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Confusion matrix' },
    el('table', { class: 'confusion' },
      el('thead', {}, el('tr', {}, el('td', { class: 'corner' }), labels.map((l) => el('th', { scope: 'col', title: l }, l)))),
      el('tbody', {}, labels.map((label, i) => el('tr', {}, el('th', { scope: 'row', title: label }, label),
        confusion[i].map((n, j) => cell(label, labels[j], n, totals[i])))))));
}

function list(labels, confusion) {
  const found = confusion.flatMap((row, i) => row.map((n, j) => ({ n, i, j }))).filter(({ n, i, j }) => n > 0 && i !== j);
  found.sort((a, b) => b.n - a.n);
  return el('ol', { class: 'mistakes' }, found.slice(0, LISTED).map(({ n, i, j }) => el('li', {},
    el('a', { href: link(labels[i], labels[j]) }, `${labels[i]} predicted as ${labels[j]}`), ` ${n === 1 ? 'once' : `${count(n)} times`}`)));
}

export const confusionView = (labels, confusion) => (labels.length <= TABLE_UP_TO ? table : list)(labels, confusion);
