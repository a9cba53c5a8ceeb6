// known.js - whether an image is like anything that was taught.

import { can, state } from './state.js';

export const UNKNOWN = 0.05; // known below which an image is like nothing that was taught
const INPUT_MAX = 1 << 14; // numbers of an input: of larger ones it takes too long to be asked while one waits

export function asksKnown() {
  const { width, height, channels } = state.model;
  return can('POST', '/predict', 'known') && width * height * channels <= INPUT_MAX;
}

// Of an answer to ?known=1; of those to ?unknown= the label is null.
export const isUnknown = ({ label, known }) => label === null || (typeof known === 'number' && known < UNKNOWN);

export const askUnknown = () => (asksKnown() ? `/predict?unknown=${UNKNOWN}` : '/predict');

// Of an answer to askUnknown().
export const named = ({ label, nearest }) => (label === null ? `I don't know this; the nearest class is ${nearest}` : label);
