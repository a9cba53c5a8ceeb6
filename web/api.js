// api.js - requests to the daemon that served this page: with the token, where one is needed; problems become errors.

const STORED = 'convd-token';
const BACKOFF_MS = 400;

let token = stored();
let asker = null; // (why) => Promise of a token, the page's field
let asked = null; // the question that is on the page now

function stored() {
  try {
    return sessionStorage.getItem(STORED);
  } catch {
    return null;
  }
}

export class Problem extends Error {
  constructor(status, document) {
    super(document.detail ?? document.title ?? `convd responded with status ${status}`);
    this.status = status; // 0: nothing came back
    this.type = document.type;
  }
}

export function onToken(ask) {
  asker = ask;
}

// All requests that find themselves without a token wait for one answer.
async function newToken(why) {
  asked ??= asker(why).finally(() => (asked = null));
  token = await asked;
  try {
    sessionStorage.setItem(STORED, token);
  } catch {
    // kept for as long as the page is open
  }
}

export function authorized(headers = {}) {
  return token === null ? headers : { ...headers, Authorization: `Bearer ${token}` };
}

// Relative to the page, which a proxy may serve under a prefix.
export const at = (path) => path.slice(1);

// A Response, or a Problem. Asks for a token on 401, and for the writing one where the reading one does not reach.
export async function request(method, path, { body, headers, signal } = {}) {
  for (;;) {
    const tried = token;
    let response;
    try {
      response = await fetch(at(path), { method, body, headers: authorized(headers), signal });
    } catch (error) {
      if (error.name === 'AbortError') throw error;
      throw new Problem(0, { detail: 'convd does not respond.' });
    }
    if (response.ok) return response;
    const document = await response.json().catch(() => ({}));
    const short = response.status === 403 && response.headers.has('WWW-Authenticate');
    if (response.status !== 401 && !short) throw new Problem(response.status, document);
    if (token === tried) await newToken(short ? 'writing' : tried === null ? 'needed' : 'wrong');
  }
}

export const get = async (path, options) => (await request('GET', path, options)).json();

export async function send(method, path, document, headers = {}) {
  const options = { headers };
  if (document !== undefined) {
    options.body = JSON.stringify(document);
    headers['Content-Type'] = 'application/json';
  }
  const response = await request(method, path, options);
  return response.status === 204 ? null : response.json();
}

export async function post(path, bytes, headers = {}, signal) {
  const response = await request('POST', path, { body: bytes, headers: { 'Content-Type': 'application/octet-stream', ...headers }, signal });
  return response.json();
}

// A train request that is safe to repeat, and is repeated where nothing came back or the daemon was busy.
export async function train(path, bytes, tries = 4) {
  const key = Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');
  for (let n = 1; ; n++) {
    try {
      return await post(path, bytes, { 'Idempotency-Key': key });
    } catch (problem) {
      if (n >= tries || !(problem.status === 0 || problem.status === 503)) throw problem;
      await new Promise((resolve) => setTimeout(resolve, BACKOFF_MS * n));
    }
  }
}

export async function download(path, name) {
  const blob = await (await request('GET', path)).blob();
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

export const bitmap = async (path) => createImageBitmap(await (await request('GET', path)).blob());
