/** The page's side of the worker that reads sentences. */

import type { ReaderReply } from "../encode/reader";
import type { Runtime } from "../encode/runtime";
import type { TextSide } from "./document";
import type { Sentence } from "./sentences";

interface Waiting {
  readonly resolve: (vectors: Float32Array) => void;
  readonly reject: (error: Error) => void;
}

export class Texts {
  readonly #worker = new Worker(new URL("../encode/reader.ts", import.meta.url), { type: "module" });
  readonly #waiting = new Map<number, Waiting>();
  #last = 0;

  /** Start the worker, which fetches what it needs at once. */
  constructor(side: TextSide, folder: string, runtime: Runtime) {
    this.#worker.onmessage = ({ data }: MessageEvent<ReaderReply>) => {
      const waiting = this.#waiting.get(data.number);
      this.#waiting.delete(data.number);
      if ("vectors" in data) waiting?.resolve(data.vectors);
      else waiting?.reject(new Error(data.reason));
    };
    this.#worker.onerror = (event) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(event.message));
      this.#waiting.clear();
    };
    this.#worker.postMessage({ kind: "open", side, folder, runtime });
  }

  /** Vectors of unit norm, one a sentence. */
  async read(sentences: readonly Sentence[]): Promise<Float32Array[]> {
    const number = ++this.#last;
    const all = await new Promise<Float32Array>((resolve, reject) => {
      this.#waiting.set(number, { resolve, reject });
      this.#worker.postMessage({ kind: "read", number, sentences });
    });
    const width = all.length / sentences.length;
    return sentences.map((_, n) => all.subarray(n * width, (n + 1) * width));
  }
}
