// kernels.js - the kernels as numbers, out of GET /model.safetensors: 8 bytes with the length of a JSON header, the header, then
// the tensors, float32, little-endian.

import { request } from './api.js';
import { state } from './state.js';

const BYTES_MAX = 8 << 20; // of parameters: larger models are not fetched for their kernels' sake

const WAIT_MS = 500; // while others teach, they are fetched so often at most

let cached = null; // {revision, at, kernels}

export function parseKernels(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  if (!header.kernels) return [];
  const [n, channels, height, width] = header.kernels.shape;
  const [begin, end] = header.kernels.data_offsets;
  const values = new Float32Array(buffer.slice(8 + length + begin, 8 + length + end));
  const size = channels * height * width;
  return Array.from({ length: n }, (_, i) => ({ channels, height, width, values: values.subarray(i * size, (i + 1) * size) }));
}

// The kernels of the live model; [] where there are none or they are not to be had.
export async function kernels() {
  const { revision, parameters, kernels: n } = state.model;
  if (n === 0 || 4 * parameters > BYTES_MAX) return [];
  if (cached?.revision !== revision && !(performance.now() - cached?.at < WAIT_MS)) {
    const at = performance.now();
    cached = { revision, at, kernels: parseKernels(await (await request('GET', '/model.safetensors')).arrayBuffer()) };
  }
  return cached.kernels;
}
