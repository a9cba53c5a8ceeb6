// app.js - the page from its start: what the daemon can do, which part is shown (by the address's #), the theme, notices, and
// the line that says how the daemon is.

import { get, onToken, Problem } from './api.js';
import { button, count, el, percent } from './dom.js';
import { can, learnContract, learned, on, refresh, state, tell } from './state.js';
import { follow } from './live.js';
import { History } from './history.js';
import { Look } from './look.js';
import { Labelling } from './labelling.js';
import { Nodes } from './nodes.js';
import { Samples } from './samples.js';
import { Stats } from './stats.js';
import { Try } from './try.js';

const main = document.getElementById('main');
const notices = document.getElementById('notices');
const places = new Map();
const tryLink = document.querySelector('.places a');

// ---- parts ----

function add(name, Place, there) {
  const link = document.querySelector(`.places a[href="#${name}"]`);
  if (link) link.hidden = !there;
  if (!there) return;
  const place = new Place();
  place.node.hidden = true;
  main.append(place.node);
  places.set(name, place);
}

// A model in colour is taught by pictures rather than by pen.
const home = () => (state.model.channels > 1 || (state.model.step > 0 && !state.model.drawings) ? 'look' : 'try');

// From the pen to the camera and back.
function addWays() {
  const ways = [['try', 'Draw'], ['look', 'Camera and pictures']];
  if (home() === 'look') ways.reverse();
  for (const [name] of ways) {
    places.get(name).node.querySelector('header').append(el('nav', { class: 'ways', 'aria-label': 'How to show something' },
      ways.map(([other, text]) => el('a', { href: `#${other}`, 'aria-current': other === name && 'page' }, text))));
  }
}

function show() {
  const [wanted, query = ''] = location.hash.slice(1).split('?');
  const name = places.has(wanted) ? wanted : home();
  const place = places.get(name);
  for (const [other, { node, left }] of places) {
    if (other !== name && !node.hidden) left?.call(places.get(other));
    node.hidden = other !== name;
  }
  for (const link of document.querySelectorAll('.places a')) {
    if (link === tryLink ? name === 'try' || name === 'look' : link.hash === `#${name}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  document.title = `${place.title} · convd`;
  place.shown?.(new URLSearchParams(query));
}

// ---- notices ----

on('problem', (problem) => {
  const close = button('Close', () => notice.remove(), { class: 'quiet' });
  const notice = el('div', { class: 'notice wrong' }, el('p', {}, problem.message), close);
  notices.replaceChildren(...[...notices.querySelectorAll('form')], notice);
});

const WHY = {
  needed: 'convd needs a token.',
  wrong: 'This token is not valid. Check it, and try again.',
  writing: 'Changing the model needs the writing token.',
};

onToken((why) => new Promise((resolve, reject) => {
  const field = el('input', { type: 'password', autocomplete: 'off', 'aria-label': 'Token', required: true, size: 24 });
  const form = el('form', { class: 'notice', on: { submit: (event) => {
    event.preventDefault();
    form.remove();
    resolve(field.value.trim());
  } } }, el('p', {}, WHY[why]), el('div', { class: 'row' }, field, el('button', { class: 'main' }, 'Use token'),
    why === 'writing' && button('Cancel', () => {
      form.remove();
      reject(new Problem(403, { detail: 'Nothing was changed.' }));
    }, { class: 'quiet' })));
  notices.prepend(form);
  field.focus();
}));

// ---- the line at the top ----

const WORK = { rehearse: 'rehearsing', idle: 'still thinking', rebuild: 'rebuilding' };
const LINKS = { live: 'live', polling: 'live', lost: 'lost' };
const dot = document.getElementById('dot');
const status = document.getElementById('status');
let link = null;

function tellStatus() {
  dot.className = `dot ${LINKS[link] ?? ''}`;
  if (link === 'lost') status.textContent = 'convd does not respond';
  else if (job) status.textContent = `${WORK[job.kind] ?? job.kind}: ${percent(job.progress)}`;
  else if (state.model) status.replaceChildren(count(state.model.step), el('span', { class: 'wide' }, ' training'), state.model.step === 1 ? ' step' : ' steps');
  status.title = state.model ? `revision ${count(state.model.revision)}, ${state.model.width} × ${state.model.height} pixels` : '';
}

const working = new Map(); // long work that goes on now, by id: a rehearsal, an edit of the past
let job = null; // the one that is told: the latest

on('event', ({ type, data }) => {
  if (type !== 'job') return;
  if (data.state === 'running') working.set(data.id, data);
  else working.delete(data.id);
  job = [...working.values()].at(-1) ?? null;
  tellStatus();
});
on('model', tellStatus);
on('link', (how) => {
  link = how;
  if (how === 'lost') working.clear(); // who comes back may be another process
  job = working.size ? job : null;
  tellStatus();
});
// Many samples a second are one look. What a lesson of somebody else changes of the model's description stands in its event; the
// daemon is asked only after the other kinds: a description names the digest of all weights, which takes time where they are many.
let soon = null;
let ask = false;
on('event', ({ type, data }) => {
  if (type === 'train') {
    learned(data);
  } else {
    ask = true;
  }
  soon ??= setTimeout(() => {
    soon = null;
    if (ask) refresh().catch(() => {});
    else tell('model', state.model);
    ask = false;
  }, 400);
});

// ---- theme: the system's, until one is chosen ----

const THEMES = ['auto', 'light', 'dark'];
const theme = document.getElementById('theme');

function showTheme() {
  const now = document.documentElement.dataset.theme ?? 'auto';
  theme.textContent = { auto: 'Auto', light: 'Light', dark: 'Dark' }[now];
  theme.setAttribute('aria-label', `Theme: ${now}. Click to change it`);
  return now;
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => tell('theme'));
theme.addEventListener('click', () => {
  const next = THEMES[(THEMES.indexOf(showTheme()) + 1) % THEMES.length];
  if (next === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem('convd-theme', next);
  } catch {
    // chosen for as long as the page is open
  }
  showTheme();
  tell('theme');
});

// ---- start ----

async function start() {
  let shared = false; // with other nodes, by a log in PostgreSQL
  showTheme();
  while (!state.model) {
    try {
      [{ shared }] = await Promise.all([get('/cluster'), learnContract(), refresh()]);
    } catch (problem) {
      tell('problem', problem);
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
  }
  notices.querySelector('.wrong')?.remove();
  add('try', Try, true);
  add('look', Look, true);
  addWays();
  tryLink.hash = home();
  add('stats', Stats, true);
  add('samples', Samples, can('GET', '/samples'));
  add('labelling', Labelling, can('GET', '/predictions'));
  add('history', History, true);
  add('nodes', Nodes, shared);
  window.addEventListener('hashchange', show);
  show();
  follow();
}

start();
