// state.js - what the page knows of the daemon: what it can do (its OpenAPI document) and the model it serves; and who in
// the page wants to hear of changes.
//
//   'model'      the model's description was read anew      'event' {type, data}   something happened to the model
//   'lesson'     something was taught on this page       'undone'               all that was taught on it is undone
//   'link' text  live, polling or lost                      'back'                 the daemon answers again

import { get } from './api.js';

const bus = new EventTarget();
export const on = (name, handler) => bus.addEventListener(name, (event) => handler(event.detail));
export const tell = (name, detail) => bus.dispatchEvent(new CustomEvent(name, { detail }));

export const state = { model: null, contract: null };
let stale = false; // the digest is of an earlier revision

export async function learnContract() {
  state.contract = await get('/openapi.json');
}

const operation = (method, path) => state.contract?.paths[path]?.[method.toLowerCase()];

// can('GET', '/samples'); can('POST', '/predict', 'explain') - whether the daemon has that route, that parameter of it.
export function can(method, path, parameter) {
  const found = operation(method, path);
  if (!found || parameter === undefined) return Boolean(found);
  return (found.parameters ?? []).some((p) => p.name === parameter);
}

let reading = null;
let again = false;

// Reads the model; calls while it is being read lead to one more reading, however many they are.
export function refresh() {
  if (reading) {
    again = true;
    return reading;
  }
  reading = get('/model').then((model) => {
    state.model = model;
    stale = false;
    tell('model', model);
  }).finally(() => {
    reading = null;
    if (again) {
      again = false;
      refresh().catch(() => {});
    }
  });
  return reading;
}

// From an event, without asking: the step and the revision.
export function learned({ revision, step }) {
  if (revision <= state.model.revision) return;
  Object.assign(state.model, { revision, step });
  stale = true;
}

// For who needs the digest, too.
export const whole = () => (stale ? refresh() : Promise.resolve());

export const labels = () => state.model.classes;
export const revision = () => state.model?.revision ?? 0;
