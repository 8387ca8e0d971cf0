/** Sentences with a place for pseudo-words: `compose/template.py` in the browser's language. */

/** One sentence to read: words, then pseudo-words, then words. */
export interface Sentence {
  readonly before: string;
  readonly tokens: Float32Array | null; // count * width
  readonly after: string;
  readonly adapted: boolean; // read by the composer's adapters, where the graph has any
}

const STAR = /(?<!\S)\*(?![^\s.,;:!?])/;
const STARS = new RegExp(STAR, "g");

export function plain(words: string): Sentence {
  return { before: words, tokens: null, after: "", adapted: false };
}

export function around(template: string, tokens: Float32Array, adapted: boolean): Sentence {
  const [before = "", after = ""] = template.split("{}");
  return { before, tokens, after, adapted };
}

/** Put words into a template, whose `{}` stays; a `*` of theirs is the picture's place. */
export function filled(template: string, words: string): string {
  const harmless = words.replaceAll("{}", "{ }");
  if (STAR.test(harmless)) return harmless.replace(STAR, "{}").replaceAll(STARS, "it");
  return template.replace("{text}", () => harmless);
}

/** Words without the `*` that stands for the picture. */
export function withoutStar(words: string): string {
  if (!STAR.test(words)) return words;
  const left = words.replaceAll(/(?<!\S)of \*(?![^\s.,;:!?])/g, "").replaceAll(STARS, "");
  return left.split(/\s+/).filter(Boolean).join(" ").replace(/^[ ,]+|[ ,]+$/g, "");
}

/** Words in the model's sentence ("a photo of ..."); null where they say it already. */
export function framed(sentence: string, words: string): string | null {
  const said = words.split(/\s+/).filter(Boolean).join(" ");
  const [before = "", after = ""] = sentence.split("{}");
  if (said === "" || before + after === "" || said.toLowerCase().startsWith(before.trim().toLowerCase())) return null;
  return `${before}${said}${after}`;
}
