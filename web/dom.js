// dom.js - building elements, and saying numbers and times as people write them. No markup is ever made from text.

const SVG = 'http://www.w3.org/2000/svg';

function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === 'on') for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    else if (name === 'data') Object.assign(node.dataset, value);
    else if (name === 'text') node.textContent = value;
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

// el('button', {class: 'main', on: {click}}, 'Teach') - null and false among properties and children are left out.
export const el = (tag, properties, ...children) => fill(document.createElement(tag), properties, children);
export const svg = (tag, properties, ...children) => fill(document.createElementNS(SVG, tag), properties, children);

export const button = (text, click, properties) => el('button', { type: 'button', on: { click }, ...properties }, text);

export const figure = (title, value, note) => el('div', { class: 'card figure' },
  el('p', { class: 'small soft' }, title), el('p', { class: 'number' }, value), el('p', { class: 'small soft' }, note));

// Paints anew what is in node, without taking the focus from who works there: what was called the same has it afterwards.
export function repaint(node, paint) {
  const nameOf = (e) => e.getAttribute('aria-label') ?? e.getAttribute('href') ?? e.id;
  const name = node.contains(document.activeElement) ? nameOf(document.activeElement) : null;
  paint();
  if (name && !node.contains(document.activeElement))
    [...node.querySelectorAll('a, button, input, select, [tabindex]')].find((e) => nameOf(e) === name)?.focus({ preventScroll: true });
}

// What a screen reader says, once.
export function announce(text) {
  document.getElementById('announcer').textContent = text;
}

// ---- numbers and times ----

const counts = new Intl.NumberFormat('en');
export const count = (n) => counts.format(n);

export function percent(part) {
  if (part === null || part === undefined || Number.isNaN(part)) return '–';
  if (part === 1) return '100 %';
  return part >= 0.9995 ? '> 99.9 %' : `${(100 * part).toFixed(1)} %`;
}

// On an axis.
export const roughly = (part) => `${+(100 * part).toFixed(1)} %`;

export function decimal(x) {
  if (x === null || x === undefined) return '–';
  return x > 0 && x < 0.00005 ? '< 0.0001' : x.toFixed(x >= 10 ? 1 : x >= 0.1 ? 3 : 4);
}

export function when(text) {
  const time = new Date(text);
  const now = new Date();
  const daysAgo = (n) => new Date(now.getFullYear(), now.getMonth(), now.getDate() - n).toDateString();
  const date = { [daysAgo(0)]: 'today', [daysAgo(1)]: 'yesterday' }[time.toDateString()] ??
    time.toLocaleDateString('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });
  return `${date}, ${time.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' })}`;
}

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
