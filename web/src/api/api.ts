/** What the page asks of whoever answers: a server, or the files of a static demo. */

import type { Card } from "../encode/card";
import type { Crop, Sort } from "../state/query";

export type Verdict = "good match" | "uncertain" | "nothing matches well";

export interface Hit {
  readonly rank: number;
  readonly id: string;
  readonly path: string;
  readonly score: number;
  readonly width: number;
  readonly height: number;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly duplicates: readonly string[];
  readonly unreachable: boolean;
}

export interface Answer {
  readonly hits: readonly Hit[];
  readonly confidence: { readonly value: number; readonly verdict: Verdict };
  readonly understood: { readonly text: string; readonly negatives: readonly string[] };
  readonly notices: readonly string[];
  readonly composer: string;
  readonly searched: number;
  readonly seconds: number;
  readonly matches: boolean;
  readonly next: string | null; // cursor of the next page
}

/** A column of the gallery that can be filtered by. */
export interface Column {
  readonly name: string;
  readonly type: "text" | "number" | "date" | "truth";
  readonly values: readonly string[]; // the most frequent ones of a column with few
}

export interface About {
  readonly gallery: string;
  readonly images: number;
  readonly model: string;
  readonly composer: string;
  readonly columns: readonly Column[];
  readonly querySide: { readonly card: Card; readonly graph: string } | null;
  readonly originals: boolean;
  readonly isServed: boolean; // plain files know no negatives, filters and dates
}

/** A reference as it travels. */
export type Sent =
  | { readonly kind: "stored"; readonly id: string }
  | { readonly kind: "upload"; readonly file: Blob; readonly name: string; readonly crop: Crop | null }
  | { readonly kind: "message"; readonly bytes: Uint8Array<ArrayBuffer> };

export interface Asked {
  readonly references: readonly Sent[];
  readonly text: string;
  readonly negatives: readonly string[];
  readonly unlike: readonly string[];
  readonly balance: number;
  readonly filter: string | null;
  readonly sort: Sort;
  readonly minConfidence: number | null;
  readonly k: number;
}

/** How one phrase of the words moved a picture: its rank with and without it. */
export interface Reason {
  readonly phrase: string;
  readonly rank: number;
  readonly rankWithout: number | null;
}

export interface Job {
  readonly id: string;
  readonly state: "running" | "done" | "failed";
  readonly done: number;
  readonly total: number | null;
}

export interface Api {
  about(): Promise<About>;
  /** Some pictures of the gallery, others for another seed. */
  some(count: number, seed: number): Promise<readonly Hit[]>;
  search(asked: Asked, signal?: AbortSignal): Promise<Answer>;
  /** The next page of an answer. */
  more(asked: Asked, cursor: string): Promise<Answer>;
  explain(asked: Asked, id: string): Promise<readonly Reason[]>;
  thumbnail(id: string): string;
  original(id: string): string | null;
  /** Show a server its key once; the browser is known from then on. */
  unlock(key: string): Promise<void>;
  /** Follow indexing; returns how to stop. */
  follow(onJob: (job: Job) => void): () => void;
  /** Bytes of requests about pictures of this device so far. */
  readonly sent: number;
}

/** A problem that the server names, or that there is no server. */
export class ApiError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly request: string | null = null,
    readonly status = 0,
  ) {
    super(message);
  }
}
