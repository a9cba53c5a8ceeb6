// intake.js - pictures that come from elsewhere: dropped, pasted, chosen, photographed.
//
// A PNG goes to the daemon as it is. All else is decoded here first (upright, as the daemon would turn it by its EXIF data) and sent
// as PNG, of a size that is enough for any model.

import { button, el } from './dom.js';

const SIDE_MAX = 1024;

async function asPng(bitmap, side) {
  const s = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
  const canvas = el('canvas', { width: Math.max(1, Math.round(s * bitmap.width)), height: Math.max(1, Math.round(s * bitmap.height)) });
  const context = canvas.getContext('2d');
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, 'image/png'));
}

// {bitmap, blob}, the blob no larger than side where it is not sent as it is; throws where it is not a picture.
export async function readPicture(file, side = SIDE_MAX) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error(`${file.name || 'The file'} is not a picture that this browser can read. Use a PNG or JPEG file.`);
  }
  const big = Math.max(bitmap.width, bitmap.height) > 2 * side;
  return { bitmap, blob: file.type === 'image/png' && !big ? file : await asPng(bitmap, side) };
}

// Whether most of the picture's border is light: ink on paper, then, not chalk on a board.
export function isLight(bitmap) {
  const canvas = el('canvas', { width: 16, height: 16 });
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.fillStyle = '#fff';
  context.fillRect(0, 0, 16, 16);
  context.drawImage(bitmap, 0, 0, 16, 16);
  const { data } = context.getImageData(0, 0, 16, 16);
  let light = 0;
  let all = 0;
  for (let i = 0; i < 256; i++) {
    const x = i % 16;
    const y = Math.floor(i / 16);
    if (x > 0 && x < 15 && y > 0 && y < 15) continue;
    all++;
    if (data[4 * i] + data[4 * i + 1] + data[4 * i + 2] > 384) light++;
  }
  return light > all / 2;
}

// Buttons that choose and photograph; target takes drops; Ctrl+V anywhere on the page while active() is true.
export function intake(target, active, take) {
  const files = (list) => [...list].filter((file) => file.type.startsWith('image/'));
  const input = (properties) => el('input', {
    type: 'file', accept: 'image/*', tabindex: -1, 'aria-hidden': 'true', ...properties,
    on: { change: (event) => {
      take([...event.target.files]);
      event.target.value = '';
    } },
  });
  const choose = input({ class: 'picture-file', multiple: true });
  const shoot = input({ capture: 'environment' });
  target.addEventListener('dragover', (event) => {
    event.preventDefault();
    target.classList.add('dropping');
  });
  target.addEventListener('dragleave', () => target.classList.remove('dropping'));
  target.addEventListener('drop', (event) => {
    event.preventDefault();
    target.classList.remove('dropping');
    take([...event.dataTransfer.files]);
  });
  document.addEventListener('paste', (event) => {
    const pasted = files(event.clipboardData?.files ?? []);
    if (active() && pasted.length > 0) take(pasted);
  });
  const camera = matchMedia('(pointer: coarse)').matches;
  return [
    button('Picture…', () => choose.click()), choose,
    camera && button('Camera…', () => shoot.click()), camera && shoot,
  ];
}
