/** The page's side of the worker: opened on first use, one promise a picture. */

import type { Crop } from "../state/query";
import type { Card } from "./card";
import type { Runtime } from "./runtime";
import { pack } from "./wire";
import type { Reply } from "./worker";

export interface Look {
  readonly tokens: Float32Array;
  readonly vector: Float32Array | null;
  readonly milliseconds: number;
}

interface Waiting {
  readonly resolve: (look: Look) => void;
  readonly reject: (error: Error) => void;
}

export class Encoder {
  readonly #card: Card;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  readonly ready: Promise<number>;
  #last = 0;

  /** Start the worker; `ready` gives the number of its threads. */
  constructor(card: Card, graph: string, runtime: Runtime) {
    this.#card = card;
    this.#worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
    this.ready = new Promise((resolve, reject) => {
      this.#worker.onmessage = ({ data }: MessageEvent<Reply>) => {
        if (data.kind === "ready") resolve(data.threads);
        else if (data.kind === "failed" && data.number === null) reject(new Error(data.reason));
        else this.#settle(data);
      };
      this.#worker.onerror = (event) => reject(new Error(event.message));
    });
    this.#worker.postMessage({ kind: "open", card, graph, runtime });
  }

  async look(file: Blob, crop: Crop | null): Promise<Look> {
    await this.ready;
    const number = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#waiting.set(number, { resolve, reject });
      this.#worker.postMessage({ kind: "encode", number, file, crop });
    });
  }

  /** The message that goes to the server in the picture's place. */
  message(look: Look, text: string, negatives: readonly string[]): Uint8Array<ArrayBuffer> {
    return pack({
      tokens: look.tokens,
      count: this.#card.tokens,
      vector: look.vector,
      text,
      negatives,
      composer: this.#card.composer,
      composerFingerprint: this.#card.composer_fingerprint,
      galleryFingerprint: this.#card.gallery_fingerprint,
      textChecksum: this.#card.text_checksum,
    });
  }

  #settle(data: Reply): void {
    if (data.kind === "ready" || data.number === null) return;
    const waiting = this.#waiting.get(data.number);
    this.#waiting.delete(data.number);
    if (data.kind === "encoded") waiting?.resolve(data);
    else waiting?.reject(new Error(data.reason));
  }
}
