/** The API of `composir serve`. */

import { text } from "../text";
import type { components } from "../../openapi/schema";
import type { Card } from "../encode/card";
import type { Crop } from "../state/query";
import {
  ApiError,
  type About,
  type Answer,
  type Api,
  type Asked,
  type Column,
  type Hit,
  type Job,
  type Reason,
  type Sent,
  type Verdict,
} from "./api";

const JSON_TYPE = "application/json";
const SOON = 2_000; // milliseconds between looks at a running job
const LATER = 20_000;
const INTERNAL = ["id", "path", "content_hash", "meta_id"]; // columns that nobody filters by
const PREFERRED = "isa-compose"; // of several query sides

export class ServerApi implements Api {
  sent = 0;
  #version = 0;
  #originals = false;

  async about(): Promise<About> {
    const [model, gallery] = await Promise.all([
      this.#json<Schemas["ModelDocument"]>("v1/model"),
      this.#json<Schemas["GalleryDocument"]>("v1/gallery"),
    ]);
    this.#version = gallery.version;
    this.#originals = gallery.allows["originals"] ?? false;
    const side = model.query_sides.find(({ composer }) => composer === PREFERRED) ?? model.query_sides[0];
    return {
      gallery: gallery.roots.map((root) => root.split(/[\\/]/).at(-1)).join(", "),
      images: gallery.images,
      model: model.name,
      composer: model.default_composer,
      columns: gallery.columns.filter(({ name }) => !INTERNAL.includes(name)).map(columnOf),
      querySide: side ? { graph: side.graph, card: side.card as unknown as Card } : null,
      originals: this.#originals,
      isServed: true,
    };
  }

  async some(count: number, seed: number): Promise<readonly Hit[]> {
    const found = await this.#json<Schemas["ImageList"]>(`v1/images?sample=${count}&seed=${seed}`);
    return found.images.map((image) => ({ ...image, rank: 0, score: 0, duplicates: [], unreachable: false }));
  }

  async search(asked: Asked, signal?: AbortSignal): Promise<Answer> {
    const answer = await this.#post<AnswerDocument>("v1/search", asked, signal);
    return this.#read(answer);
  }

  async more(asked: Asked, cursor: string): Promise<Answer> {
    const request = jsonRequest({ cursor, k: asked.k });
    return this.#read(await this.#json<AnswerDocument>("v1/search", { method: "POST", ...request }));
  }

  async explain(asked: Asked, id: string): Promise<readonly Reason[]> {
    const found = await this.#post<Explanation>("v1/explain", asked);
    return found.phrases.flatMap((effect): Reason[] => {
      const move = effect.moves.find((known) => known.id === id);
      return move ? [{ phrase: effect.phrase, rank: move.rank, rankWithout: move.rank_without }] : [];
    });
  }

  thumbnail(id: string): string {
    return `v1/images/${encodeURIComponent(id)}/thumbnail?v=${this.#version}`;
  }

  original(id: string): string | null {
    return this.#originals ? `v1/images/${encodeURIComponent(id)}/original` : null;
  }

  async unlock(key: string): Promise<void> {
    await this.#json("v1/session", { method: "POST", headers: { Authorization: `Bearer ${key}` } });
  }

  follow(onJob: (job: Job) => void): () => void {
    let timer = 0;
    const look = async (): Promise<void> => {
      let isRunning = false;
      if (!document.hidden) {
        const [newest] = (await this.#json<Schemas["JobList"]>("v1/jobs").catch(() => ({ jobs: [] }))).jobs;
        if (newest) onJob(jobOf(newest));
        isRunning = newest?.state === "running";
      }
      timer = window.setTimeout(look, isRunning ? SOON : LATER);
    };
    void look();
    return () => clearTimeout(timer);
  }

  #read(answer: AnswerDocument): Answer {
    this.#version = answer.version;
    const verdict = answer.confidence.verdict as Verdict; // a sentence to the schema
    return { ...answer, confidence: { ...answer.confidence, verdict }, next: answer.cursor };
  }

  async #post<T>(path: string, asked: Asked, signal?: AbortSignal): Promise<T> {
    const own = asked.references.filter((sent) => sent.kind !== "stored");
    const request = own.length === 0 ? jsonRequest(fieldsOf(asked)) : await formRequest(asked);
    this.sent += own.reduce((sum, sent) => sum + sizeOf(sent), 0);
    return this.#json<T>(path, { method: "POST", ...request, ...(signal ? { signal } : {}) });
  }

  async #json<T>(path: string, init: RequestInit = {}): Promise<T> {
    const headers = new Headers(init.headers);
    headers.set("Accept", JSON_TYPE);
    const response = await fetch(path, { ...init, headers }).catch((error: Error) => {
      throw error.name === "AbortError" ? error : new ApiError("offline", text.errors.offline);
    });
    if (!response.ok) throw await problemOf(response);
    return (response.status === 204 ? undefined : await response.json()) as T;
  }
}

type Schemas = components["schemas"];
type AnswerDocument = Schemas["SearchAnswer"];
type JobDocument = Schemas["JobDocument"];

interface Explanation {
  readonly phrases: readonly {
    readonly phrase: string;
    readonly moves: readonly { readonly id: string; readonly rank: number; readonly rank_without: number | null }[];
  }[];
}

function jobOf({ id, state, progress }: JobDocument): Job {
  const running = state === "running" || state === "waiting";
  const shown = running ? "running" : state === "done" ? "done" : "failed";
  return { id, state: shown, done: progress?.done ?? 0, total: progress?.total ?? null };
}

function columnOf({ name, kind, values }: Schemas["ColumnDocument"]): Column {
  const type = { numbers: "number", dates: "date", "true or false": "truth" }[kind] ?? "text";
  return { name, type: type as Column["type"], values: values?.map(({ value }) => value) ?? [] };
}

/** What both kinds of request say in the same way. */
function commonFields(asked: Asked): Partial<Schemas["SearchRequest"]> {
  return {
    k: asked.k,
    sort: asked.sort,
    ...(asked.filter ? { where: asked.filter } : {}),
    ...(asked.minConfidence === null ? {} : { min_confidence: asked.minConfidence }),
    ...(asked.balance === 0 ? {} : { balance: (asked.balance + 1) / 2 }),
  };
}

function fieldsOf(asked: Asked): Partial<Schemas["SearchRequest"]> {
  return {
    ...commonFields(asked),
    images: asked.references.flatMap((sent) => (sent.kind === "stored" ? [{ id: sent.id }] : [])),
    text: asked.text,
    negatives: [...asked.negatives],
    less: [...asked.unlike],
  };
}

function jsonRequest(fields: object): RequestInit {
  return { body: JSON.stringify(fields), headers: { "Content-Type": JSON_TYPE } };
}

async function formRequest(asked: Asked): Promise<RequestInit> {
  const form = new FormData();
  for (const [name, value] of Object.entries(commonFields(asked))) form.set(name, String(value));
  asked.unlike.forEach((id) => form.append("less", id));
  const isMessage = asked.references.some((sent) => sent.kind === "message");
  if (!isMessage) {
    form.set("text", asked.text);
    asked.negatives.forEach((negative) => form.append("negative", negative));
  }
  for (const sent of asked.references) await append(form, sent, asked.references.length === 1);
  return { body: form };
}

async function append(form: FormData, sent: Sent, isAlone: boolean): Promise<void> {
  if (sent.kind === "stored") form.append("image_id", sent.id);
  else if (sent.kind === "message") form.append("message", new Blob([sent.bytes]), "query.cir");
  else if (!sent.crop) form.append("image", sent.file, sent.name);
  else if (isAlone) {
    form.append("image", sent.file, sent.name);
    form.set("crop", JSON.stringify(percent(sent.crop)));
  } else form.append("image", await cut(sent.file, sent.crop), sent.name);
}

function percent({ x, y, width, height }: Crop): object {
  return { x: 100 * x, y: 100 * y, width: 100 * width, height: 100 * height, unit: "%" };
}

/** The part itself: a request names the part of one picture alone. */
async function cut(file: Blob, crop: Crop): Promise<Blob> {
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  const [width, height] = [bitmap.width * crop.width, bitmap.height * crop.height].map((side) => Math.max(1, Math.round(side)));
  const canvas = new OffscreenCanvas(width!, height!);
  canvas.getContext("2d")!.drawImage(bitmap, -bitmap.width * crop.x, -bitmap.height * crop.y);
  bitmap.close();
  return canvas.convertToBlob({ type: "image/png" });
}

function sizeOf(sent: Sent): number {
  if (sent.kind === "upload") return sent.file.size;
  return sent.kind === "message" ? sent.bytes.length : 0;
}

async function problemOf(response: Response): Promise<ApiError> {
  const request = response.headers.get("X-Request-Id");
  try {
    const problem = (await response.json()) as { code?: string; detail?: string; title?: string };
    const message = problem.detail ?? problem.title ?? text.errors.unknown;
    return new ApiError(problem.code ?? "unknown", message, request, response.status);
  } catch {
    return new ApiError("unknown", text.errors.unknown, request, response.status);
  }
}
