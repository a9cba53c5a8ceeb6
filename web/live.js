// live.js - what happens to the model, as it happens: GET /events, server-sent, read with fetch, since EventSource cannot
// send a token; from where it broke off after the daemon was gone. A daemon without events is asked every few seconds.
//
// A page that nobody looks at lets go of its connection: browsers have six of them for one daemon, pages that are kept for the
// way back included.

import { at, authorized, get, Problem } from './api.js';
import { can, refresh, revision, state, tell } from './state.js';

const WAIT_MS = [300, 600, 1200, 2500, 5000];
const POLL_MS = 3000;

let last = null; // id of the last event
let failures = 0;
let stream = null; // AbortController of the one that is open

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// One block of a stream of server-sent events.
export function parseEvent(block) {
  const event = { type: 'message', data: '' };
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':');
    if (colon === 0 || line === '') continue;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (name === 'event') event.type = value;
    else if (name === 'data') event.data += (event.data === '' ? '' : '\n') + value;
    else if (name === 'id') event.id = value;
  }
  return event;
}

function happened(block) {
  const event = parseEvent(block);
  if (event.id !== undefined) last = event.id;
  if (event.data === '') return;
  tell('event', { type: event.type, data: JSON.parse(event.data) });
}

async function listen() {
  const headers = authorized({ Accept: 'text/event-stream' });
  if (last !== null) headers['Last-Event-ID'] = last;
  stream = new AbortController();
  const response = await fetch(at('/events'), { headers, cache: 'no-store', signal: stream.signal });
  if (!response.ok) throw new Problem(response.status, {});
  await connected('live');
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value.replaceAll('\r', '');
    let end;
    while ((end = text.indexOf('\n\n')) >= 0) {
      happened(text.slice(0, end));
      text = text.slice(end + 2);
    }
  }
}

async function connected(how) {
  const gone = failures > 0;
  failures = 0;
  await refresh();
  tell('link', how);
  if (gone) tell('back');
}

// Without events: a revision that has grown is news enough.
async function poll() {
  const before = revision();
  const model = await get('/model');
  if (failures > 0 || model.revision !== before) {
    await connected('polling');
    tell('event', { type: 'poll', data: { revision: state.model.revision } });
  } else {
    tell('link', 'polling');
  }
  await pause(POLL_MS);
}

const rest = () => stream?.abort();

async function looked() {
  while (document.visibilityState !== 'visible')
    await new Promise((resolve) => document.addEventListener('visibilitychange', resolve, { once: true }));
}

export async function follow() {
  document.addEventListener('visibilitychange', () => document.visibilityState === 'hidden' && rest());
  window.addEventListener('pagehide', rest);
  let crowded = false;
  for (;;) {
    await looked();
    try {
      if (can('GET', '/events') && !crowded) await listen();
      else await poll();
      crowded = false;
    } catch (problem) {
      if (problem.name === 'AbortError') continue;
      crowded = problem.status === 503; // it has all the listeners that it takes: asked instead, for a while
      if (crowded) continue;
      tell('link', 'lost');
      failures++;
    }
    if (failures > 0) await pause(WAIT_MS[Math.min(failures, WAIT_MS.length) - 1]);
  }
}
