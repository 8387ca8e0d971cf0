/** `query_side.json`, as far as the browser reads it. */

import type { PreprocessSpec } from "./resize";

export interface Card {
  readonly schema_version: number;
  readonly composer: string;
  readonly composer_fingerprint: string;
  readonly gallery_fingerprint: string;
  readonly text_checksum: string;
  readonly tokens: number;
  readonly word_dimension: number;
  readonly vector: number;
  readonly graph: { readonly file: string; readonly bytes: number; readonly outputs: readonly string[] };
  readonly preprocess: PreprocessSpec;
}

export const KNOWN_SCHEMA = 2;
