/**
 * The query side in a worker of its own: a picture goes in, tokens come out. Nothing here talks to
 * a server, but for fetching the graph and the runtime once.
 */

import * as ort from "onnxruntime-web/wasm";
import type { Crop } from "../state/query";
import { KNOWN_SCHEMA, type Card } from "./card";
import { preprocess, type Rgb } from "./resize";
import { prepareRuntime, type Runtime } from "./runtime";

export interface Opening {
  readonly kind: "open";
  readonly card: Card;
  readonly graph: string; // address
  readonly runtime: Runtime;
}

export interface Picture {
  readonly kind: "encode";
  readonly number: number;
  readonly file: Blob;
  readonly crop: Crop | null;
}

export type Reply =
  | { readonly kind: "ready"; readonly threads: number }
  | {
      readonly kind: "encoded";
      readonly number: number;
      readonly tokens: Float32Array;
      readonly vector: Float32Array | null;
      readonly milliseconds: number;
    }
  | { readonly kind: "failed"; readonly number: number | null; readonly reason: string };

let card: Card | null = null;
let session: ort.InferenceSession | null = null;
let last: Promise<void> = Promise.resolve();

self.addEventListener("message", ({ data }: MessageEvent<Opening | Picture>) => {
  last = last.then(() => (data.kind === "open" ? opened(data) : encoded(data)));
});

const reply = (message: Reply): void => self.postMessage(message);

async function opened(opening: Opening): Promise<void> {
  try {
    if (opening.card.schema_version > KNOWN_SCHEMA) throw new Error("its card is of a newer version");
    const threads = await prepareRuntime(opening.runtime);
    session = await ort.InferenceSession.create(opening.graph, {
      executionProviders: ["wasm"],
      // Weights are int8, arithmetic is float32: expand them once, at loading.
      extra: { session: { disable_quant_qdq: "1" } },
    });
    card = opening.card;
    await run(new Uint8Array(card.preprocess.size ** 2 * 3)); // the first run allocates
    reply({ kind: "ready", threads });
  } catch (error) {
    reply({ kind: "failed", number: null, reason: reasonOf(error) });
  }
}

async function encoded({ number, file, crop }: Picture): Promise<void> {
  try {
    const begun = performance.now();
    const pixels = preprocess(await decoded(file, crop), card!.preprocess);
    const { tokens, vector } = await run(pixels.data);
    const milliseconds = performance.now() - begun;
    reply({ kind: "encoded", number, tokens, vector, milliseconds });
  } catch (error) {
    reply({ kind: "failed", number, reason: reasonOf(error) });
  }
}

async function run(data: Uint8Array): Promise<{ tokens: Float32Array; vector: Float32Array | null }> {
  const { size } = card!.preprocess;
  const pixels = new ort.Tensor("uint8", data, [1, size, size, 3]);
  const found = await session!.run({ pixels });
  const vector = found["vector"];
  return {
    tokens: found["tokens"]!.data as Float32Array,
    vector: vector ? (vector.data as Float32Array) : null,
  };
}

/** Upright and without transparency, as the server reads files. */
async function decoded(file: Blob, crop: Crop | null): Promise<Rgb> {
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  const box = boxOf(bitmap, crop);
  const canvas = new OffscreenCanvas(box.width, box.height);
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.fillStyle = "white";
  context.fillRect(0, 0, box.width, box.height);
  context.drawImage(bitmap, -box.x, -box.y);
  bitmap.close();
  const { data } = context.getImageData(0, 0, box.width, box.height);
  return { width: box.width, height: box.height, data: withoutAlpha(data) };
}

function boxOf(bitmap: ImageBitmap, crop: Crop | null): Crop {
  if (!crop) return { x: 0, y: 0, width: bitmap.width, height: bitmap.height };
  const x = Math.min(bitmap.width - 1, Math.round(crop.x * bitmap.width));
  const y = Math.min(bitmap.height - 1, Math.round(crop.y * bitmap.height));
  return {
    x,
    y,
    width: Math.max(1, Math.min(bitmap.width - x, Math.round(crop.width * bitmap.width))),
    height: Math.max(1, Math.min(bitmap.height - y, Math.round(crop.height * bitmap.height))),
  };
}

function withoutAlpha(rgba: Uint8ClampedArray): Uint8Array {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    rgb[to] = rgba[from]!;
    rgb[to + 1] = rgba[from + 1]!;
    rgb[to + 2] = rgba[from + 2]!;
  }
  return rgb;
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
