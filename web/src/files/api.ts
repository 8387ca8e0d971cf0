/** A gallery of plain files: nothing answers but this browser. */

import {
  ApiError, type About, type Answer, type Api, type Asked, type Hit, type Reason, type Sent,
} from "../api/api";
import { Encoder } from "../encode/encoder";
import { bytesOf, fetched } from "../encode/fetching";
import type { Runtime } from "../encode/runtime";
import { text } from "../text";
import { composed, movedAway, type Seen } from "./compose";
import { judged } from "./confidence";
import { KNOWN_PAGE, type PageDocument, type StoredImage } from "./document";
import { eveningBy, type Evening } from "./spread";
import { Texts } from "./texts";
import { dot, order, rowsOf, unitRows, type Vector } from "./vectors";

const COMPARED = 5; // so many hits are looked at for the confidence
const SHOWN_METADATA = { rank: 0, score: 0, duplicates: [], unreachable: false } as const;

interface Opened {
  readonly page: PageDocument;
  readonly vectors: readonly Vector[];
  readonly places: ReadonlyMap<string, number>;
  readonly texts: Texts;
  readonly evening: Evening | null;
}

export class FilesApi implements Api {
  readonly sent = 0;
  readonly #document: string;
  readonly #runtime: Runtime = { folder: addressOf("runtime/"), isPacked: true };
  #opened: Promise<Opened> | null = null;
  #encoder: Encoder | null = null;

  /** @param name of the document that says what is there */
  constructor(name: string) {
    this.#document = name;
  }

  async about(): Promise<About> {
    const { page } = await this.#open();
    return {
      gallery: page.gallery,
      images: page.images.length,
      model: page.model,
      composer: page.composer,
      columns: [],
      querySide: null,
      originals: false,
      isServed: false,
    };
  }

  async some(count: number, seed: number): Promise<readonly Hit[]> {
    const { images } = (await this.#open()).page;
    const step = Math.max(1, Math.floor(images.length / count));
    return Array.from({ length: Math.min(count, images.length) }, (_, n) => ({
      ...images[(n * step + seed * 7) % images.length]!,
      ...SHOWN_METADATA,
    }));
  }

  async search(asked: Asked): Promise<Answer> {
    return this.#page(asked, 0);
  }

  async more(asked: Asked, cursor: string): Promise<Answer> {
    return this.#page(asked, Number(cursor));
  }

  explain(): Promise<readonly Reason[]> {
    return Promise.resolve([]);
  }

  thumbnail(id: string): string {
    return `thumbnails/${encodeURIComponent(id)}.jpg`;
  }

  original(): null {
    return null;
  }

  unlock(): Promise<void> {
    return Promise.resolve();
  }

  follow(): () => void {
    return () => undefined;
  }

  async #page(asked: Asked, start: number): Promise<Answer> {
    const begun = performance.now();
    const opened = await this.#open();
    const { page, vectors } = opened;
    const { query, framed } = await this.#composed(asked, opened).catch(failed);
    const scores = Float32Array.from(vectors, (vector) => dot(query, vector));
    const groups = grouped(order(scores), page.images, hiddenBy(asked, opened));
    const kind = asked.references.length === 0 ? "words" : asked.text ? "both" : "image";
    const made = page.confidence[kind];
    const score = (vector: ArrayLike<number>): number => {
      const plain = dot(query, vector);
      return framed ? plain + made.framed * (dot(framed, vector) - plain) : plain;
    };
    const first = groups.flat().slice(0, COMPARED).map((place) => score(vectors[place]!));
    const zero = page.mean_image && made.excess_weight ? score(page.mean_image) : 0;
    const confidence = judged(made, first.length > 0 ? Math.max(...first) : null, zero, scores);
    const end = start + asked.k;
    return {
      hits: groups.slice(start, end).map((group, n) => hit(group, start + n + 1, page.images, scores)),
      confidence,
      understood: { text: asked.text, negatives: [] },
      notices: [],
      composer: page.composer,
      searched: page.images.length,
      seconds: (performance.now() - begun) / 1000,
      matches: asked.minConfidence === null || confidence.value >= asked.minConfidence,
      next: end < groups.length ? String(end) : null,
    };
  }

  async #composed(asked: Asked, { page, vectors, places, texts, evening }: Opened): ReturnType<typeof composed> {
    const vectorOf = (id: string): Vector => vectors[placeOf(id, places)]!;
    const pictures = await Promise.all(asked.references.map((sent) => this.#seen(sent, page, vectorOf)));
    const made = await composed(page, texts, pictures, asked.text, asked.balance, evening);
    return { ...made, query: movedAway(made.query, asked.unlike.map(vectorOf), page.mean_image) };
  }

  /** Pictures of the gallery are read from their thumbnails, and have their own vector. */
  async #seen(sent: Sent, page: PageDocument, vectorOf: (id: string) => Vector): Promise<Seen> {
    if (sent.kind === "message") throw new Error(text.side.unavailable);
    const encoder = (this.#encoder ??= new Encoder(page.card, addressOf(`model/${page.card.graph.file}`), this.#runtime));
    if (sent.kind === "upload") return encoder.look(sent.file, sent.crop);
    const vector = vectorOf(sent.id);
    const file = await (await fetched(this.thumbnail(sent.id))).blob();
    return { tokens: (await encoder.look(file, null)).tokens, vector };
  }

  #open(): Promise<Opened> {
    return (this.#opened ??= this.#fetch().catch((error: unknown) => {
      this.#opened = null;
      return failed(error);
    }));
  }

  async #fetch(): Promise<Opened> {
    const [page, bytes] = await Promise.all([
      fetched(this.#document).then((response) => response.json() as Promise<PageDocument>),
      bytesOf("vectors.bin"),
    ]);
    const evening = page.weights.evened ? eveningBy(rowsOf(await bytesOf("model/spread.bin"), page.dimension)) : null;
    if (page.schema_version > KNOWN_PAGE) throw new Error(text.errors.newer);
    const places = new Map(page.images.map(({ id }, n) => [id, n]));
    const texts = new Texts(page.text, addressOf("model/"), this.#runtime);
    return { page, vectors: unitRows(bytes, page.dimension), places, texts, evening };
  }
}

function failed(error: unknown): never {
  throw error instanceof ApiError ? error : new ApiError("files", text.errors.files((error as Error).message));
}

function addressOf(path: string): string {
  return new URL(path, document.baseURI).href;
}

function placeOf(id: string, places: ReadonlyMap<string, number>): number {
  const place = places.get(id);
  if (place === undefined) throw new ApiError("image-not-found", text.errors.unknown);
  return place;
}

/** The files that are asked with: no hits. */
function hiddenBy(asked: Asked, { page, places }: Opened): ReadonlySet<string> {
  const stored = asked.references.flatMap((sent) => (sent.kind === "stored" ? [placeOf(sent.id, places)] : []));
  return new Set(stored.map((place) => page.images[place]!.content));
}

/** Places in their order, those of one file together. */
function grouped(places: readonly number[], images: readonly StoredImage[], hidden: ReadonlySet<string>): number[][] {
  const groups = new Map<string, number[]>();
  for (const place of places) {
    const { content } = images[place]!;
    const group = groups.get(content);
    if (group) group.push(place);
    else if (!hidden.has(content)) groups.set(content, [place]);
  }
  return [...groups.values()];
}

function hit(group: readonly number[], rank: number, images: readonly StoredImage[], scores: Float32Array): Hit {
  const [place, ...others] = group as [number, ...number[]];
  const duplicates = others.map((other) => images[other]!.path);
  return { ...images[place]!, rank, score: scores[place]!, duplicates, unreachable: false };
}
