// colours.js - colours that are numbers: one for each kernel, and scales for heat. In OKLCH, where equal steps look equal.

function oklch(lightness, chroma, degrees) {
  const h = (degrees * Math.PI) / 180;
  const a = chroma * Math.cos(h);
  const b = chroma * Math.sin(h);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ].map((v) => {
    const x = Math.min(1, Math.max(0, v));
    return Math.round(255 * (x <= 0.0031308 ? 12.92 * x : 1.055 * x ** (1 / 2.4) - 0.055));
  });
}

export const css = ([r, g, b]) => `rgb(${r} ${g} ${b})`;

// Neighbours in number are far apart in hue, and every third is of another lightness.
export function kernelColour(i, n) {
  const turns = n <= 12 ? i / n : (i * 0.381966) % 1;
  return oklch([0.68, 0.58, 0.76][i % 3], 0.135, 25 + 360 * turns);
}

export const mix = (from, to, t) => from.map((v, i) => Math.round(v + (to[i] - v) * t));

export const isDark = () => getComputedStyle(document.documentElement).colorScheme === 'dark' ||
  (document.documentElement.dataset.theme === undefined && matchMedia('(prefers-color-scheme: dark)').matches);

// 0..1 from the ground of the page to its strongest.
export function heat(t) {
  const stops = isDark()
    ? [[22, 24, 27], [96, 50, 38], [214, 106, 64], [255, 221, 160]]
    : [[250, 249, 246], [247, 205, 165], [212, 100, 62], [112, 22, 24]];
  const x = Math.min(0.9999, Math.max(0, t)) * (stops.length - 1);
  return mix(stops[Math.floor(x)], stops[Math.floor(x) + 1], x % 1);
}

// Black or white, whichever stands out more (WCAG's relative luminance).
export function textOn(ground) {
  const [r, g, b] = ground.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? [0, 0, 0] : [255, 255, 255];
}

// -1..1: blue, the ground, red.
export function diverging(t) {
  const ground = isDark() ? [30, 33, 37] : [250, 249, 246];
  const side = t > 0 ? [205, 72, 52] : [52, 116, 190];
  return mix(ground, side, Math.min(1, Math.abs(t)) ** 0.8);
}
