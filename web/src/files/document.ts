/** `composir-page.json`, which `composir export page` writes beside the page. */

import type { Card } from "../encode/card";

export interface Calibration {
  readonly bias: number;
  readonly standout_weight: number;
  readonly score_weight: number;
  readonly excess_weight: number;
  readonly spread: number;
  readonly framed: number;
  readonly good: number;
  readonly poor: number;
  readonly smallest_gallery: number;
}

export interface Weights {
  readonly sentence: number;
  readonly direction: number;
  readonly image: number;
  readonly text: number;
  readonly description: number;
  readonly evened?: number; // the power of a term's spread that divides it
}

/** Which texts describe all of what is asked for (`compose/description.py`), in words that carry content. */
export interface Descriptions {
  readonly change: number; // of a text that names a change, at most
  readonly description: number; // of one that describes, at least
  readonly function_words: readonly string[];
}

/** What reads sentences. */
export interface TextSide {
  readonly graph: string;
  readonly tensors: string | null; // the file whose weights an adapted graph borrows
  readonly scaled: boolean; // whether the word table is int8
  readonly word_dimension: number;
  readonly max_tokens: number;
  readonly opening: readonly number[];
  readonly closing: readonly number[];
}

export interface StoredImage {
  readonly id: string;
  readonly content: string; // hash of the file
  readonly path: string;
  readonly width: number;
  readonly height: number;
  readonly metadata: Readonly<Record<string, unknown>>;
}

export interface PageDocument {
  readonly schema_version: number;
  readonly gallery: string;
  readonly model: string;
  readonly composer: string;
  readonly images: readonly StoredImage[];
  readonly dimension: number;
  readonly mean_image: readonly number[] | null;
  readonly sentence: string;
  readonly confidence: Readonly<Record<"words" | "image" | "both", Calibration>>;
  readonly weights: Weights;
  readonly descriptions: Descriptions;
  readonly templates: { readonly image: string; readonly composed: string };
  readonly card: Card;
  readonly text: TextSide;
}

export const KNOWN_PAGE = 1;
