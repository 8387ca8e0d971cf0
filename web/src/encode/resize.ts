/**
 * Pixels to the query graph's input, as `composir_client/resize.py` does it: the antialiased
 * convolution of the specification in docs/device.md. The browser's own scaling will not do: models
 * notice how their pictures were shrunk.
 */

/** A picture of `width * height * 3` bytes, row by row, sRGB. */
export interface Rgb {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** `preprocess` of a query side's card. */
export interface PreprocessSpec {
  readonly size: number;
  readonly fit: "squash" | "centre-crop" | "pad" | "targetpad";
  readonly pad_ratio: number;
  readonly pad_colour: readonly number[];
  readonly interpolation: "bilinear" | "bicubic" | "lanczos";
  readonly exact?: "transformers" | "open_clip" | null;
  readonly short_side?: number | null;
}

const REDUCING_GAP = 1.5;
const UNIT = 2 ** 22; // of the fixed-point weights

type Filter = readonly [support: number, weight: (x: number) => number];

const sinc = (x: number): number => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));

const FILTERS: Record<PreprocessSpec["interpolation"], Filter> = {
  bilinear: [1, (x) => Math.max(0, 1 - Math.abs(x))],
  bicubic: [2, bicubic],
  lanczos: [3, (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0)],
};

function bicubic(signed: number): number {
  const a = -0.5;
  const x = Math.abs(signed);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/** Turn one picture into the graph's input, `size * size` pixels. */
export function preprocess(rgb: Rgb, spec: PreprocessSpec): Rgb {
  return spec.exact ? exact(rgb, spec, spec.exact) : shown(rgb, spec);
}

function shown(rgb: Rgb, spec: PreprocessSpec): Rgb {
  const { width, height } = rgb;
  const [across, down] = viewport(width, height, spec);
  const seen = [Math.min(across, width), Math.min(down, height)] as const;
  const [left, top] = [(width - seen[0]) / 2, (height - seen[1]) / 2];
  const target = [
    Math.max(1, halfToEven((spec.size * seen[0]) / across)),
    Math.max(1, halfToEven((spec.size * seen[1]) / down)),
  ] as const;
  const filter = FILTERS[spec.interpolation];
  const horizontal = scaled(left, left + seen[0], target[0], width, filter);
  const vertical = scaled(top, top + seen[1], target[1], height, filter);
  const fitted = resized(rgb, horizontal, vertical, filter);
  const offset = [
    Math.floor((spec.size - target[0]) / 2),
    Math.floor((spec.size - target[1]) / 2),
  ] as const;
  return laidOn(fitted, spec, offset);
}

/** Width and height of what becomes the input, in pixels of the picture. */
function viewport(width: number, height: number, spec: PreprocessSpec): readonly [number, number] {
  if (spec.fit === "squash") return [width, height];
  const [short, long] = [Math.min(width, height), Math.max(width, height)];
  const padded = Math.max(short, long / spec.pad_ratio);
  const side = { "centre-crop": short, pad: long, targetpad: padded }[spec.fit];
  return [side, side];
}

function exact(rgb: Rgb, spec: PreprocessSpec, rule: "transformers" | "open_clip"): Rgb {
  const target = exactTarget(rgb, spec);
  const corner = target.map((side) => exactOffset(side - spec.size, rule)) as [number, number];
  const filter = FILTERS[spec.interpolation];
  const axes = [rgb.width, rgb.height].map((length, n) => {
    const begin = Math.max(0, corner[n]!);
    return part(length, target[n]!, begin, Math.min(target[n]!, corner[n]! + spec.size), filter);
  });
  const offset = corner.map((at) => Math.max(0, -at)) as [number, number];
  return laidOn(resized(rgb, axes[0]!, axes[1]!, filter), spec, offset);
}

function exactTarget({ width, height }: Rgb, spec: PreprocessSpec): readonly [number, number] {
  if (spec.fit === "squash") return [spec.size, spec.size];
  if (spec.fit === "pad") {
    const ratio = Math.max(width, height) / spec.size;
    return [Math.max(1, halfToEven(width / ratio)), Math.max(1, halfToEven(height / ratio))];
  }
  const short = spec.short_side || spec.size;
  const long = Math.floor((short * Math.max(width, height)) / Math.min(width, height));
  return width <= height ? [short, long] : [long, short];
}

function exactOffset(spare: number, rule: "transformers" | "open_clip"): number {
  if (rule === "transformers") return Math.floor(spare / 2);
  return spare > 0 ? halfToEven(spare / 2) : -Math.floor(-spare / 2);
}

/** One direction of a resize: input pixels `first` to `last` become `size`, of which `from` to `to`. */
interface Axis {
  readonly first: number;
  readonly last: number;
  readonly size: number;
  readonly from: number;
  readonly to: number;
  readonly start: number; // what is needed of the input
  readonly stop: number;
  readonly factor: number; // by which that is averaged down before
}

function scaled(first: number, last: number, size: number, length: number, filter: Filter): Axis {
  const factor = Math.max(1, Math.floor((last - first) / size / REDUCING_GAP));
  const margin = ((filter[0] - 0.5) * (last - first)) / size;
  const start = Math.max(0, Math.trunc(first - margin));
  const stop = Math.min(length, Math.ceil(last + margin));
  return { first, last, size, from: 0, to: size, start, stop, factor };
}

function part(length: number, size: number, from: number, to: number, filter: Filter): Axis {
  const scale = length / size;
  const margin = Math.ceil(filter[0] * Math.max(1, scale)) + 1;
  const start = Math.max(0, Math.floor(from * scale) - margin);
  const stop = Math.min(length, Math.ceil(to * scale) + margin);
  return { first: 0, last: length, size, from, to, start, stop, factor: 1 };
}

function resized(rgb: Rgb, across: Axis, down: Axis, filter: Filter): Rgb {
  const cut = cropped(rgb, across, down);
  const reducing = across.factor > 1 || down.factor > 1;
  const input = reducing ? reduced(cut, across.factor, down.factor) : cut;
  const wide = resampled(input, taps(across, reducing, input.width, filter), 3, input.width * 3);
  const tall = taps(down, reducing, input.height, filter);
  return resampled(wide, tall, wide.width * 3, 3);
}

function cropped(rgb: Rgb, across: Axis, down: Axis): Rgb {
  const [width, height] = [across.stop - across.start, down.stop - down.start];
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    const begin = ((y + down.start) * rgb.width + across.start) * 3;
    data.set(rgb.data.subarray(begin, begin + width * 3), y * width * 3);
  }
  return { width, height, data };
}

/** Means of blocks of pixels; those at the far edges may be smaller. */
function reduced(rgb: Rgb, across: number, down: number): Rgb {
  const [width, height] = [Math.ceil(rgb.width / across), Math.ceil(rgb.height / down)];
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    const rows = Math.min(down, rgb.height - y * down);
    for (let x = 0; x < width; x++) {
      const columns = Math.min(across, rgb.width - x * across);
      blockMean(rgb, x * across, y * down, columns, rows, data, (y * width + x) * 3);
    }
  }
  return { width, height, data };
}

function blockMean(
  rgb: Rgb, left: number, top: number, columns: number, rows: number, out: Uint8Array, at: number,
): void {
  const count = rows * columns;
  const reciprocal = Math.floor(2 ** 24 / count);
  for (let channel = 0; channel < 3; channel++) {
    let sum = 0;
    for (let y = top; y < top + rows; y++) {
      let index = (y * rgb.width + left) * 3 + channel;
      for (let x = 0; x < columns; x++, index += 3) sum += rgb.data[index]!;
    }
    out[at + channel] = Math.floor(((sum + Math.floor(count / 2)) * reciprocal) / 2 ** 24);
  }
}

/** What each input pixel gives to one output pixel. */
interface Taps {
  readonly start: number;
  readonly weights: Float64Array; // whole numbers
}

function taps(axis: Axis, reducing: boolean, length: number, filter: Filter): Taps[] {
  const [first, last] = reducing
    ? [(axis.first - axis.start) / axis.factor, (axis.last - axis.start) / axis.factor]
    : [axis.first, axis.last];
  const skipped = reducing ? 0 : axis.start;
  return Array.from({ length: axis.to - axis.from }, (_, n) =>
    tapsOf(n + axis.from, Math.fround(first), Math.fround(last), axis.size, skipped, length, filter),
  );
}

function tapsOf(
  index: number, first: number, last: number, size: number, skipped: number, length: number,
  [support, weight]: Filter,
): Taps {
  const scale = Math.fround(last - first) / size;
  const stretch = Math.max(scale, 1);
  const centre = first + (index + 0.5) * scale;
  const start = Math.max(0, Math.trunc(centre - support * stretch + 0.5));
  const stop = Math.min(skipped + length, Math.trunc(centre + support * stretch + 0.5));
  const raw = Float64Array.from({ length: stop - start }, (_, n) =>
    weight((start + n - centre + 0.5) / stretch),
  );
  const total = raw.reduce((sum, value) => sum + value, 0);
  const weights = raw.map((value) => fixedPoint(value / total));
  return { start: start - skipped, weights };
}

const fixedPoint = (weight: number): number =>
  Math.trunc(weight * UNIT + (weight < 0 ? -0.5 : 0.5));

/**
 * Convolve one direction. `step` is the distance of neighbours along it, `other` that across it, in
 * bytes.
 */
function resampled(rgb: Rgb, each: readonly Taps[], step: number, other: number): Rgb {
  const across = step === 3;
  const [lines, length] = across ? [rgb.height, each.length] : [rgb.width, each.length];
  const width = across ? length : lines;
  const height = across ? lines : length;
  const data = new Uint8Array(width * height * 3);
  const [outStep, outOther] = across ? [3, width * 3] : [width * 3, 3];
  for (let n = 0; n < length; n++) {
    const { start, weights } = each[n]!;
    for (let line = 0; line < lines; line++) {
      const begin = line * other + start * step;
      const out = n * outStep + line * outOther;
      for (let channel = 0; channel < 3; channel++) {
        data[out + channel] = weighted(rgb.data, begin + channel, step, weights);
      }
    }
  }
  return { width, height, data };
}

function weighted(data: Uint8Array, begin: number, step: number, weights: Float64Array): number {
  let sum = 0;
  for (let tap = 0, at = begin; tap < weights.length; tap++, at += step) {
    sum += weights[tap]! * data[at]!;
  }
  return Math.min(255, Math.max(0, Math.floor((sum + UNIT / 2) / UNIT)));
}

function laidOn(fitted: Rgb, spec: PreprocessSpec, [left, top]: readonly [number, number]): Rgb {
  const { size } = spec;
  if (fitted.width === size && fitted.height === size) return fitted;
  const data = new Uint8Array(size * size * 3);
  for (let at = 0; at < data.length; at++) data[at] = spec.pad_colour[at % 3]!;
  for (let y = 0; y < fitted.height; y++) {
    const row = fitted.data.subarray(y * fitted.width * 3, (y + 1) * fitted.width * 3);
    data.set(row, ((y + top) * size + left) * 3);
  }
  return { width: size, height: size, data };
}

/** As Python rounds. */
function halfToEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
