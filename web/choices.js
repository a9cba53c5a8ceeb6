// choices.js - the classes as buttons with a key each, for who labels one picture after the other; and a field for a new class.
//
// A class whose name is one character has that key; the others get the free digits and letters in their order.

import { button, el, percent } from './dom.js';
import { labels } from './state.js';
import { nearest } from './known.js';
import { labelChoice } from './sample.js';

const CHOICES = 36; // of more classes only the likeliest stand as buttons
const LONG = 16; // characters: such labels get wider buttons
export const SKIP = 's'; // unless a class is called so

export function keysFor(classes) {
  const keys = new Map(classes.filter((label) => [...label].length === 1).map((label) => [label, label]));
  const free = [...'123456789abcdefghijklmnopqrstuvwxyz0'].filter((key) => key !== SKIP && !keys.has(key));
  for (const label of classes) {
    if ([...keys.values()].includes(label)) continue;
    if (free.length > 0) keys.set(free.shift(), label);
  }
  return keys;
}

// {nodes, keys: key -> label}, for an answer of /predict, or null while it is awaited; give(label) is called for what is chosen.
export function choices(answer, give) {
  const probabilities = answer?.probabilities ?? {};
  const many = labels().length > CHOICES;
  const shown = !many ? labels() : Object.keys(probabilities).sort((a, b) => probabilities[b] - probabilities[a]).slice(0, CHOICES);
  const keys = keysFor(shown);
  const keyOf = new Map([...keys].map(([key, label]) => [label, key]));
  const list = labelChoice(answer ? nearest(answer) : null, () => {}, { class: 'other-class', 'aria-label': 'Another class' });
  const items = shown.map((label) => {
    const p = probabilities[label];
    const node = button('', () => give(label), { class: `choice${answer && label === nearest(answer) ? ' best' : ''}` });
    node.append(keyOf.has(label) ? el('kbd', {}, keyOf.get(label)) : '', el('span', {}, label), el('span', { class: 'soft small' }, p === undefined ? '' : percent(p)));
    return el('li', {}, node);
  });
  return {
    keys,
    nodes: [
      el('ol', { class: `choices${shown.some((label) => label.length > LONG) ? ' long' : ''}`, 'aria-label': 'Classes' }, items),
      many && el('div', { class: 'row' }, list, button('Label it', () => give(list.value))),
    ],
  };
}

// The label of a key that was pressed where keys are keys of classes; undefined: none.
export function chosen(keys, event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, select, textarea, dialog')) return undefined;
  return keys.get(event.key) ?? keys.get(event.key.toLowerCase());
}

// A field and a button: make(label) is called with what was typed, and true for done empties the field.
export function newClass(words, id, make) {
  const name = el('input', { id, maxlength: 64, autocomplete: 'off', placeholder: 'a new class', on: {
    input: () => enable(),
    keydown: (event) => event.key === 'Enter' && !add.disabled && go(),
  } });
  const add = button(words, () => go(), { disabled: true });
  const enable = () => (add.disabled = name.value.trim() === '');
  async function go() {
    add.disabled = true;
    if (await make(name.value.trim())) name.value = '';
    enable();
  }
  return el('div', { class: 'newclass' }, el('label', { for: id, class: 'small soft' }, 'Another class?'), el('div', { class: 'row' }, name, add));
}
