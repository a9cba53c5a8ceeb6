// saw.js - what the network saw: its input, which kernel won at each position (in the kernel's colour, paler where the patch
// under it is empty), where the input moves the answer most, and the kernels themselves.

import { button, el, percent } from './dom.js';
import { css, diverging, heat, kernelColour } from './colours.js';
import { kernels } from './kernels.js';
import { state } from './state.js';

function plain(width, height, label) {
  return el('canvas', { width, height, role: 'img', 'aria-label': label });
}

// paint(canvas, (x, y) => [r, g, b] or [r, g, b, a])
function paint(canvas, colour) {
  const context = canvas.getContext('2d');
  const image = context.createImageData(canvas.width, canvas.height);
  for (let i = 0; i < canvas.width * canvas.height; i++) {
    const [r, g, b, a = 255] = colour(i % canvas.width, Math.floor(i / canvas.width));
    image.data.set([r, g, b, a], 4 * i);
  }
  context.putImageData(image, 0, 0);
}

async function decode(base64) {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  return createImageBitmap(new Blob([bytes], { type: 'image/png' }));
}

// How much the input changes under each position's patch, 0..1.
function contrasts(input, explain) {
  const { kernel_width: kw, kernel_height: kh, stride } = state.model;
  const context = input.getContext('2d', { willReadFrequently: true });
  const { data, width } = context.getImageData(0, 0, input.width, input.height);
  return explain.winner.map((_, p) => {
    const x0 = (p % explain.width) * stride;
    const y0 = Math.floor(p / explain.width) * stride;
    let low = 255;
    let high = 0;
    for (let y = y0; y < y0 + kh; y++) {
      for (let x = x0; x < x0 + kw; x++) {
        const at = 4 * (y * width + x);
        const v = (data[at] + data[at + 1] + data[at + 2]) / 3;
        low = Math.min(low, v);
        high = Math.max(high, v);
      }
    }
    return (high - low) / 255;
  });
}

export class Saw {
  constructor() {
    this.input = plain(1, 1, 'The input of the network');
    this.winners = plain(1, 1, 'Which kernel won at each position');
    this.saliency = plain(1, 1, 'Where the input changes the prediction most');
    this.chips = el('ol', { class: 'kernels' });
    this.figures = {
      input: this.figure(this.input, 'Input', ''),
      winners: this.figure(this.winners, 'Winning kernels', 'each position in the colour of its strongest kernel'),
      saliency: this.figure(this.saliency, 'Saliency', 'pixels that would change the prediction most'),
    };
    this.kernelBox = el('div', { class: 'kernel-box' }, el('h3', {}, 'Kernels'),
      el('p', { class: 'small soft' }, 'and the share of positions that each wins; point at one to see where'), this.chips);
    this.node = el('section', { class: 'card saw', hidden: true }, el('h2', {}, 'What the network saw'),
      el('div', { class: 'saw-row' }, this.figures.input,
        this.figures.winners, this.figures.saliency, this.kernelBox));
    this.only = null;
    this.explain = null;
    this.drawn = -1;
  }

  figure(canvas, title, text) {
    const caption = el('span', { class: 'small soft' }, text);
    const node = el('figure', {}, canvas, el('figcaption', {}, el('h3', {}, title), caption));
    node.caption = caption;
    return node;
  }

  // explain: of an answer to /predict?explain=1; null: nothing to show.
  async show(explain) {
    this.node.hidden = !explain;
    if (!explain) return;
    const picture = await decode(explain.input);
    this.explain = explain;
    this.figures.input.caption.textContent = `the ${picture.width} × ${picture.height} pixels that the network gets`;
    this.input.width = picture.width;
    this.input.height = picture.height;
    this.input.getContext('2d').drawImage(picture, 0, 0);
    this.paintSaliency(explain.saliency);
    const convolves = state.model.kernels > 0;
    this.figures.winners.hidden = this.kernelBox.hidden = !convolves;
    if (!convolves) return;
    this.contrast = contrasts(this.input, explain);
    this.paintWinners();
    await this.showKernels();
  }

  paintSaliency(values) {
    const { width, height, channels } = state.model;
    const size = width * height;
    const sums = Array.from({ length: size }, (_, i) => {
      let sum = 0;
      for (let c = 0; c < channels; c++) sum += values[c * size + i];
      return sum;
    });
    const most = Math.max(...sums, 1e-12);
    this.saliency.width = width;
    this.saliency.height = height;
    paint(this.saliency, (x, y) => heat((sums[y * width + x] / most) ** 0.7));
  }

  paintWinners() {
    const { width, height, winner } = this.explain;
    const n = state.model.kernels;
    this.winners.width = width;
    this.winners.height = height;
    paint(this.winners, (x, y) => {
      const p = y * width + x;
      const shown = this.only === null || this.only === winner[p];
      const strength = shown ? 0.2 + 0.8 * Math.min(1, 1.4 * this.contrast[p]) : 0.05;
      return [...kernelColour(winner[p], n), Math.round(255 * strength)];
    });
  }

  async showKernels() {
    const n = state.model.kernels;
    if (this.drawn !== state.model.revision || this.chips.childElementCount !== n) {
      const list = await kernels();
      this.drawn = state.model.revision;
      if (this.chips.childElementCount !== n)
        this.chips.replaceChildren(...Array.from({ length: n }, (_, i) => this.chip(i, n)));
      list.forEach((kernel, i) => this.drawKernel(this.chips.children[i].querySelector('canvas'), kernel));
    }
    this.explain.share.forEach((share, i) => {
      const chip = this.chips.children[i];
      chip.querySelector('span').textContent = percent(share);
      chip.firstChild.setAttribute('aria-label', `Kernel ${i + 1}: won ${percent(share)} of the positions`);
      chip.classList.toggle('idle', share === 0);
    });
  }

  chip(i, n) {
    const isolate = (only) => () => {
      this.only = only;
      this.paintWinners();
    };
    const node = button('', isolate(i), { class: 'kernel', on: {
      mouseenter: isolate(i), mouseleave: isolate(null), focus: isolate(i), blur: isolate(null), click: isolate(i),
    } });
    node.style.setProperty('--own', css(kernelColour(i, n)));
    node.append(el('canvas', { width: state.model.kernel_width, height: state.model.kernel_height }), el('span', {}));
    return el('li', {}, node);
  }

  // The mean over the channels, on a scale of its own.
  drawKernel(canvas, { values, width, height, channels }) {
    const size = width * height;
    const means = Array.from({ length: size }, (_, i) => {
      let sum = 0;
      for (let c = 0; c < channels; c++) sum += values[c * size + i];
      return sum / channels;
    });
    const most = Math.max(...means.map(Math.abs), 1e-12);
    paint(canvas, (x, y) => diverging(means[y * width + x] / most));
  }

  repaint() {
    this.drawn = -1;
    if (this.explain && !this.node.hidden) this.show(this.explain);
  }
}
