/** The text side in a worker of its own: sentences with pseudo-words among their words become vectors. */

import { Tokenizer } from "@huggingface/tokenizers";
import * as ort from "onnxruntime-web/wasm";
import type { TextSide } from "../files/document";
import type { Sentence } from "../files/sentences";
import { bytesOf, fetched } from "./fetching";
import { prepareRuntime, type Runtime } from "./runtime";

export interface ReaderOpening {
  readonly kind: "open";
  readonly side: TextSide;
  readonly folder: string; // address of its files
  readonly runtime: Runtime;
}

export interface Reading {
  readonly kind: "read";
  readonly number: number;
  readonly sentences: readonly Sentence[];
}

export type ReaderReply =
  | { readonly number: number; readonly vectors: Float32Array }
  | { readonly number: number; readonly reason: string };

let opening: ReaderOpening | null = null;
let reader: Promise<Reader> | null = null;

self.addEventListener("message", ({ data }: MessageEvent<ReaderOpening | Reading>) => {
  if (data.kind === "read") void answered(data);
  else {
    opening = data;
    opened().catch(() => undefined); // told to who asks, and tried again then
  }
});

function opened(): Promise<Reader> {
  const { runtime, side, folder } = opening!;
  reader ??= prepareRuntime(runtime).then(() => Reader.open(side, folder)).catch((error: unknown) => {
    reader = null;
    throw error;
  });
  return reader;
}

async function answered({ number, sentences }: Reading): Promise<void> {
  const reply = (message: ReaderReply): void => self.postMessage(message);
  try {
    reply({ number, vectors: await (await opened()).read(sentences) });
  } catch (error) {
    reply({ number, reason: error instanceof Error ? error.message : String(error) });
  }
}

class Reader {
  readonly #side: TextSide;
  readonly #tokenizer: Tokenizer;
  readonly #words: Int8Array | Float32Array;
  readonly #scales: Float32Array | null;
  readonly #session: ort.InferenceSession;

  private constructor(
    side: TextSide, tokenizer: Tokenizer, words: Int8Array | Float32Array, scales: Float32Array | null, session: ort.InferenceSession,
  ) {
    this.#side = side;
    this.#tokenizer = tokenizer;
    this.#words = words;
    this.#scales = scales;
    this.#session = session;
  }

  /** Fetch everything from a folder's address. */
  static async open(side: TextSide, folder: string): Promise<Reader> {
    const [tokenizer, words, scales, graph, tensors] = await Promise.all([
      fetched(`${folder}tokenizer.json`).then((response) => response.json()),
      bytesOf(`${folder}words.bin`),
      side.scaled ? bytesOf(`${folder}word-scales.bin`) : null,
      bytesOf(`${folder}${side.graph}`),
      side.tensors ? bytesOf(`${folder}${side.tensors}`) : null,
    ]);
    const session = await ort.InferenceSession.create(new Uint8Array(graph), {
      executionProviders: ["wasm"],
      extra: { session: { disable_quant_qdq: "1" } },
      ...(tensors ? { externalData: [{ path: side.tensors!, data: new Uint8Array(tensors) }] } : {}),
    });
    const table = side.scaled ? new Int8Array(words) : new Float32Array(words);
    return new Reader(side, new Tokenizer(tokenizer, {}), table, scales && new Float32Array(scales), session);
  }

  /** Vectors of unit norm, one after the other. */
  async read(sentences: readonly Sentence[]): Promise<Float32Array> {
    const width = this.#side.word_dimension;
    const rows = sentences.map((sentence) => this.#embedded(sentence));
    const length = Math.max(...rows.map((row) => row.length / width));
    const words = new Float32Array(rows.length * length * width);
    const mask = new Float32Array(rows.length * length);
    rows.forEach((row, n) => {
      words.set(row, n * length * width);
      mask.fill(1, n * length, n * length + row.length / width);
    });
    const feeds: Record<string, ort.Tensor> = {
      word_embeddings: new ort.Tensor("float32", words, [rows.length, length, width]),
      mask: new ort.Tensor("float32", mask, [rows.length, length]),
    };
    if (this.#session.inputNames.includes("adapters")) {
      const adapted = Float32Array.from(sentences, (sentence) => Number(sentence.adapted));
      feeds["adapters"] = new ort.Tensor("float32", adapted, [rows.length]);
    }
    const found = await this.#session.run(feeds, ["vector"]);
    return found["vector"]!.data as Float32Array;
  }

  #embedded({ before, tokens, after }: Sentence): Float32Array {
    const { opening, closing, word_dimension: width, max_tokens: most } = this.#side;
    const room = most - opening.length - closing.length - (tokens?.length ?? 0) / width;
    const head = this.#ids(before).slice(0, room);
    const tail = this.#ids(after).slice(0, room - head.length);
    const parts = [this.#rows([...opening, ...head]), tokens ?? new Float32Array(0), this.#rows([...tail, ...closing])];
    const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }

  #ids(text: string): number[] {
    return text.trim() === "" ? [] : this.#tokenizer.encode(text, { add_special_tokens: false }).ids;
  }

  #rows(ids: readonly number[]): Float32Array {
    const width = this.#side.word_dimension;
    const rows = new Float32Array(ids.length * width);
    ids.forEach((id, n) => {
      const scale = this.#scales?.[id] ?? 1;
      for (let k = 0; k < width; k++) rows[n * width + k] = this.#words[id * width + k]! * scale;
    });
    return rows;
  }
}
