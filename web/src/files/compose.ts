/** A query from pseudo-words and words: `compose/blend.py` and `compose/steered.py` in the browser's language. */

import type { Look } from "../encode/encoder";
import type { Descriptions, PageDocument } from "./document";
import { around, filled, framed, plain, withoutStar, type Sentence } from "./sentences";
import type { Evening } from "./spread";
import { mixed, unit, type Vector } from "./vectors";

const FEEDBACK = 0.5;

/** What makes vectors of sentences. */
export interface TextReader {
  read(sentences: readonly Sentence[]): Promise<Vector[]>;
}

/** A picture as the composer sees it: pseudo-words and a vector. */
export type Seen = Pick<Look, "tokens" | "vector">;

export interface Composed {
  readonly query: Vector;
  readonly framed: Vector | null; // of words alone, in the model's sentence
}

/** One query of words, of pictures, or of both. */
export async function composed(
  page: PageDocument, texts: TextReader, pictures: readonly Seen[], words: string, balance: number, evening: Evening | null = null,
): Promise<Composed> {
  if (pictures.length === 0) return ofWords(page, texts, words);
  const queries = await Promise.all(
    pictures.map((picture) => (words ? ofBoth(page, texts, picture, words, balance, evening) : ofPicture(page, texts, picture))),
  );
  return { query: queries.length === 1 ? queries[0]! : unit(mixed(...queries.map((query) => [1, query] as const))), framed: null };
}

async function ofWords(page: PageDocument, texts: TextReader, words: string): Promise<Composed> {
  const said = page.confidence.words.framed > 0 ? framed(page.sentence, words) : null;
  const [query, inSentence = null] = await texts.read([words, ...(said ? [said] : [])].map((text) => plain(withoutStar(text))));
  return { query: query!, framed: inSentence };
}

async function ofPicture(page: PageDocument, texts: TextReader, { tokens, vector }: Seen): Promise<Vector> {
  if (page.weights.image > 0 && vector) return unit(vector);
  return (await texts.read([around(page.templates.image, tokens, false)]))[0]!;
}

async function ofBoth(
  page: PageDocument, texts: TextReader, picture: Seen, words: string, balance: number, evening: Evening | null,
): Promise<Vector> {
  const { weights, templates } = page;
  const [both, alone, change] = await texts.read([
    around(filled(templates.composed, words), picture.tokens, true),
    around(templates.image, picture.tokens, false),
    plain(withoutStar(words)),
  ]);
  const own = picture.vector ? unit(picture.vector) : alone!;
  const told = weights.description > 0 ? describedShare(page.descriptions, words) : 0;
  const kept = 1 - told;
  const reference = weights.image > 0 ? own : alone!;
  const term = (weight: number, vector: Vector): readonly [number, Vector] =>
    [weight && evening ? weight * evening(vector) ** (weights.evened ?? 0) : weight, vector];
  const query = unit(mixed(
    term(kept * weights.sentence, both!), term(kept * weights.direction, mixed([1, both!], [-1, alone!])),
    term(kept * weights.image, own), term(kept * weights.text, change!),
    term(told, reference), term(told * weights.description, change!),
  ));
  const share = Math.abs(balance);
  return share === 0 ? query : unit(mixed([1 - share, query], [share, balance < 0 ? own : change!]));
}

const WORD = /\p{L}+(?:['-]\p{L}+)*/gu;

/** How far a text describes all of what is asked for, 0 to 1. */
export function describedShare({ change, description, function_words }: Descriptions, words: string): number {
  const empty = new Set(function_words);
  const said = (words.match(WORD) ?? []).filter((word) => !empty.has(word.toLowerCase()));
  return Math.min(1, Math.max(0, (said.length - change) / (description - change)));
}

/** Moved away from pictures that the hits should not be like (Rocchio, 1971). */
export function movedAway(query: Vector, unlike: readonly Vector[], usual: readonly number[] | null): Vector {
  if (unlike.length === 0) return query;
  const disliked = mixed(...unlike.map((vector) => [1 / unlike.length, vector] as const));
  const from = usual ? Float32Array.from(usual) : new Float32Array(query.length);
  const away = mixed([1, from], [-1, disliked]);
  return unit(mixed([1, query], [FEEDBACK, unit(away)]));
}
