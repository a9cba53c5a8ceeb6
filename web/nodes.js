// nodes.js - Nodes: who follows the shared log, how far each is, and the PostgreSQL that keeps it, as this node sees them.

import { get } from './api.js';
import { count, el, figure, plural, repaint } from './dom.js';

const ASK_MS = 1000;
const LATE_S = 10; // a node tells every second where it is; one that has not for so long is waited for no more (store/shared.h)

const DIVERGED = 'this node has another state, or another log, than the others. Its log says which; a state is made anew by itself.';

const ago = (seconds) => (seconds < 60 ? plural(Math.round(seconds), 'second') : seconds < 3600 ? plural(Math.round(seconds / 60), 'minute') : plural(Math.round(seconds / 3600), 'hour'));

const standbys = ({ standbys: n, standbys_synchronous: synchronous }) =>
  (n === 0 ? 'no standby' : `${plural(n, 'standby')}, ${synchronous === 0 ? 'none' : count(synchronous)} synchronous`);

export class Nodes {
  constructor() {
    this.title = 'Nodes';
    this.figures = el('div', { class: 'figures' });
    this.warning = el('p', { class: 'card warnings', role: 'status', hidden: true });
    this.table = el('section', { class: 'card' });
    this.node = el('section', { class: 'place' },
      el('header', {}, el('h1', {}, 'Nodes'),
        el('p', {}, 'All nodes follow one log in PostgreSQL: at the same revision they have the same weights, bit for bit.')),
      el('div', { class: 'stack' }, this.figures, this.warning, this.table));
    this.timer = null;
  }

  shown() {
    if (this.timer === null) this.load();
  }

  left() {
    clearTimeout(this.timer);
    this.timer = null;
  }

  async load() {
    this.timer = 0; // asked, not yet answered
    const seen = await get('/cluster').catch((problem) => ({ error: problem.message }));
    if (this.timer === null || this.node.hidden) return;
    repaint(this.node, () => this.paint(seen));
    this.timer = setTimeout(() => this.load(), ASK_MS);
  }

  paint({ node, revision, reachable, error, diverged, same, head, lag, postgresql, nodes }) {
    this.warning.hidden = Boolean(reachable) && !diverged;
    this.warning.textContent = `${revision === undefined ? '' : 'Predictions go on, but nothing is learned: '}${reachable ? DIVERGED : error}`;
    if (revision === undefined) return; // nor does this node respond
    this.figures.replaceChildren(
      figure('This node', node, `at revision ${count(revision)}`),
      ...(reachable ? [
        figure('Behind the log', lag === 0 ? 'not at all' : count(lag), `its head is revision ${count(head)}`),
        ...(same ? [figure('Compared', same.digest.slice(0, 8), `at revision ${count(same.revision)} no node told another`)] : []),
        figure(`PostgreSQL ${postgresql.version.split(' ')[0]}`, postgresql.standby ? 'standby' : 'primary', `${postgresql.host}: ${postgresql.standby ? 'read only' : standbys(postgresql)}`)] : []));
    this.table.hidden = !reachable;
    if (!reachable) return;
    this.table.replaceChildren(el('h2', {}, 'Who follows'), el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Nodes' },
      el('table', { class: 'plain' },
        el('thead', {}, el('tr', {}, ['Node', 'Revision', 'Behind', 'Last heard of', 'Compared'].map((t, i) => el('th', { scope: 'col', class: i === 1 || i === 2 ? 'n' : null }, t)))),
        el('tbody', {}, nodes.map((n) => el('tr', {},
          el('th', { scope: 'row' }, n.name === node ? `${n.name} (this one)` : n.name, n.diverged && [' ', el('span', { class: 'badge bad' }, 'diverged')]),
          el('td', { class: 'n' }, count(n.revision)), el('td', { class: 'n' }, count(Math.max(0, head - n.revision))),
          el('td', {}, n.told_seconds_ago < LATE_S ? 'now' : `${ago(n.told_seconds_ago)} ago`),
          el('td', {}, n.compared ? `${n.compared.digest.slice(0, 8)} at ${count(n.compared.revision)}` : 'nothing yet')))))));
  }
}
