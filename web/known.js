// known.js - whether an image is like anything that was taught.

import { get } from './api.js';
import { can, state } from './state.js';

const UNKNOWN = 0.05; // known below which an image is like nothing that was taught
const ENOUGH = 8; // samples of a class below which known says too little of it
const INPUT_MAX = 1 << 14; // numbers of an input: of larger ones it takes too long to be asked while one waits

let seen = null; // class -> its samples

export function asksKnown() {
  const { width, height, channels } = state.model;
  return can('POST', '/predict', 'known') && width * height * channels <= INPUT_MAX;
}

// For who teaches classes that begin empty: isUnknown() says no of those with too few samples from then on.
export async function countSeen() {
  seen = new Map((await get('/stats')).classes.map((c) => [c.label, c.seen]));
}

export const askUnknown = () => (asksKnown() ? `/predict?unknown=${UNKNOWN}` : '/predict');

// Of an answer to askUnknown(): the class that it is, or is nearest to.
export const nearest = (answer) => answer.label ?? answer.nearest;

// Of an answer to that, or to ?known=1.
export function isUnknown(answer) {
  if (seen && (seen.get(nearest(answer)) ?? 0) < ENOUGH) return false;
  return answer.label === null || (typeof answer.known === 'number' && answer.known < UNKNOWN);
}
