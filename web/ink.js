// ink.js - what is drawn with a pen, kept as lines, so that it can be drawn again at any size: on the screen, and as the
// model's input.
//
// MNIST's digits were fitted into a square of 20/28 of the image and then moved so that their centre of mass is in the
// middle. fitted() does the same with lines: their extent is scaled, not their width, so that a small drawing does not come
// out fat nor a large one thin. A model of one channel sees light ink on a dark ground, like MNIST's; one of three sees the
// colours of the pens on white paper, as they were drawn.

export const PAPER = '#ffffff';
export const PENS = { black: '#1d1c1a', red: '#d2342a', orange: '#ee8a1d', yellow: '#f2cc1f', green: '#2f9e4c', blue: '#2464c4', violet: '#8540b0' };
const PEN = 2.5 / 28; // width of the pen, as a part of the shorter side
const BOX = 20 / 28;
const GROW_MAX = 4; // a dot stays a dot
const SAMPLES = 224; // side of the picture that is averaged down, about

export class Ink {
  constructor(width, height) {
    this.width = width; // of the model's input: the unit of all points
    this.height = height;
    this.lines = [];
  }

  get pen() {
    return PEN * Math.min(this.width, this.height);
  }

  get empty() {
    return this.lines.length === 0;
  }

  begin(x, y, colour = null) { // null: that of the context that it is drawn on
    this.lines.push(Object.assign([[x, y]], { colour }));
  }

  extend(x, y) {
    this.lines.at(-1).push([x, y]);
  }

  undo() {
    this.lines.pop();
  }
}

// Draws the lines, moved by place = {scale, x, y}, on a context whose unit is a pixel of the model.
export function trace(context, ink, place, width = ink.pen) {
  const at = ([x, y]) => [place.scale * x + place.x, place.scale * y + place.y];
  context.lineWidth = width;
  context.lineCap = context.lineJoin = 'round';
  for (const line of ink.lines) {
    if (line.colour) context.strokeStyle = line.colour;
    context.beginPath();
    const points = line.map(at);
    context.moveTo(...points[0]);
    if (points.length === 1) context.lineTo(points[0][0] + 0.01, points[0][1]);
    for (let i = 1; i < points.length; i++) { // through the middles, bent by the points: no corners between events
      const [x, y] = points[i];
      if (i === points.length - 1) context.lineTo(x, y);
      else context.quadraticCurveTo(x, y, (x + points[i + 1][0]) / 2, (y + points[i + 1][1]) / 2);
    }
    context.stroke();
  }
}

function extent(ink) {
  const xs = ink.lines.flat().map((p) => p[0]);
  const ys = ink.lines.flat().map((p) => p[1]);
  return { left: Math.min(...xs), right: Math.max(...xs), top: Math.min(...ys), bottom: Math.max(...ys) };
}

function boxed(ink) {
  const e = extent(ink);
  const side = BOX * Math.min(ink.width, ink.height) - ink.pen;
  const scale = Math.min(GROW_MAX, side / Math.max(e.right - e.left, e.bottom - e.top, 0.01));
  return { scale, x: ink.width / 2 - (scale * (e.left + e.right)) / 2, y: ink.height / 2 - (scale * (e.top + e.bottom)) / 2 };
}

let surface = null;

function planes(ink, place, channels) { // [channels][height][width] in 0..255: the average over each pixel
  const factor = Math.max(1, Math.min(8, Math.round(SAMPLES / Math.max(ink.width, ink.height))));
  surface ??= document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  surface.canvas.width = ink.width * factor;
  surface.canvas.height = ink.height * factor;
  surface.fillStyle = channels === 1 ? '#000' : PAPER;
  surface.fillRect(0, 0, surface.canvas.width, surface.canvas.height);
  surface.scale(factor, factor);
  surface.strokeStyle = '#fff';
  trace(surface, ink, place);
  const { data, width } = surface.getImageData(0, 0, ink.width * factor, ink.height * factor);
  const size = ink.width * ink.height;
  const sums = new Float32Array(channels * size);
  for (let i = 0; i < data.length / 4; i++) {
    const at = Math.floor(i / width / factor) * ink.width + Math.floor((i % width) / factor);
    for (let c = 0; c < channels; c++) sums[c * size + at] += data[4 * i + c];
  }
  return sums.map((sum) => sum / (factor * factor));
}

// As the model wants it: uint8, planes of channels. fit: centred and scaled, of one channel only.
export function pixels(ink, channels, fit) {
  let place = { scale: 1, x: 0, y: 0 };
  if (fit && !ink.empty) {
    place = boxed(ink);
    let mass = 0;
    let mx = 0;
    let my = 0;
    planes(ink, place, 1).forEach((v, i) => {
      mass += v;
      mx += v * ((i % ink.width) + 0.5);
      my += v * (Math.floor(i / ink.width) + 0.5);
    });
    place.x += ink.width / 2 - mx / mass;
    place.y += ink.height / 2 - my / mass;
  }
  return Uint8Array.from(planes(ink, place, channels), Math.round);
}
