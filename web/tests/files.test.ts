/** Expected values are what the library gives: gallery/confidence.py, compose/template.py, numpy. */

import { describe, expect, test } from "vitest";
import { expectedBest, judged } from "../src/files/confidence";
import type { Calibration, PageDocument } from "../src/files/document";
import { composed, describedShare, movedAway } from "../src/files/compose";
import { filled, framed, withoutStar, type Sentence } from "../src/files/sentences";
import { eveningBy } from "../src/files/spread";
import { half, order, unit, unitRows } from "../src/files/vectors";

const PLAIN: Calibration = {
  bias: -1.4, standout_weight: 0.5, score_weight: 0, excess_weight: 0, spread: 0, framed: 0, good: 0.7, poor: 0, smallest_gallery: 16,
};
const BACKGROUND = Float32Array.from({ length: 40 }, (_, n) => 0.2 * Math.sin(1.7 * n));

describe("vectors", () => {
  test("of half precision are read", () => {
    const bits = [0x3c00, 0xb555, 0x0001, 0x03ff, 0x7bff];
    expect(bits.map(half)).toEqual([1, -0.333251953125, 5.960464477539063e-8, 6.097555160522461e-5, 65504]);
    const [first, second] = unitRows(new Uint16Array([0x3c00, 0x3c00, 0, 0xbc00]).buffer, 2);
    expect([...first!].map((value) => value.toFixed(6))).toEqual(["0.707107", "0.707107"]);
    expect([...second!]).toEqual([0, -1]);
  });

  test("are put in order, equal ones as they lie", () => {
    expect(order(Float32Array.of(0.5, 0.75, 0.5, 0.75))).toEqual([1, 3, 0, 2]);
  });
});

describe("confidence", () => {
  test("is the library's", () => {
    expect(expectedBest(626)).toBeCloseTo(2.9765660413055075, 12);
    const made = { ...PLAIN, bias: -1.2, standout_weight: 0, excess_weight: 36, spread: 0.067, good: 0.6, poor: 0.15 };
    expect(judged(made, 0.31, 0.1, BACKGROUND).verdict).toBe("good match");
    expect(judged(made, 0.31, 0.1, BACKGROUND).value).toBeCloseTo(0.81933738, 6);
    expect(judged(made, 0.2, 0.1, BACKGROUND).verdict).toBe("nothing matches well");
    expect(judged(PLAIN, 0.45, 0, BACKGROUND)).toEqual({ value: expect.closeTo(0.27007624, 5), verdict: "uncertain" });
  });

  test("is blind where there is nothing to compare with", () => {
    expect(judged(PLAIN, 0.9, 0, BACKGROUND.slice(0, 9)).value).toBe(0.5);
    expect(judged(PLAIN, null, 0, BACKGROUND).verdict).toBe("nothing matches well");
  });
});

test("a star is the picture's place, and the model's sentence is said once", () => {
  expect(filled("a photo of {} {text}", "in $& red")).toBe("a photo of {} in $& red");
  expect(filled("a photo of {} {text}", "a cartoon of * at * {}")).toBe("a cartoon of {} at it { }");
  expect(withoutStar("a cartoon of *, in red")).toBe("a cartoon , in red");
  expect(withoutStar("* and a dog")).toBe("and a dog");
  expect(framed("a photo of {}", " a  dog ")).toBe("a photo of a dog");
  expect(framed("a photo of {}", "A photo of a dog")).toBeNull();
  expect(framed("{}", "a dog")).toBeNull();
});

describe("a query", () => {
  const page = {
    sentence: "a photo of {}",
    confidence: { words: { ...PLAIN, framed: 1 } },
    weights: { sentence: 0.25, direction: 2, image: 1, text: 0, description: 0 },
    templates: { image: "a photo of {}", composed: "a photo of {} {text}" },
  } as unknown as PageDocument;
  const seen: string[] = [];
  const texts = {
    read(sentences: readonly Sentence[]): Promise<Float32Array[]> {
      seen.push(...sentences.map(({ before, tokens, after, adapted }) => `${before}${tokens ? "{}" : ""}${after}${adapted ? "!" : ""}`));
      return Promise.resolve(sentences.map(({ adapted, tokens }) => unit(Float32Array.of(adapted ? 1 : 0, tokens ? 1 : 0, 1))));
    },
  };
  const picture = { tokens: new Float32Array(4), vector: Float32Array.of(0, 3, 0) };

  test("of words is read as it is and in the sentence", async () => {
    const { query, framed: inSentence } = await composed(page, texts, [], "a dog", 0);
    expect([...query]).toEqual([0, 0, 1]);
    expect(inSentence).not.toBeNull();
    expect(seen.splice(0)).toEqual(["a dog", "a photo of a dog"]);
  });

  test("of a picture and words goes from the picture where the words lead", async () => {
    const { query } = await composed(page, texts, [picture], "in red", 0);
    expect(seen.splice(0)).toEqual(["a photo of {} in red!", "a photo of {}", "in red"]);
    const [q, s] = [1 / Math.sqrt(3), 1 / Math.sqrt(2)];
    const expected = unit(Float32Array.of(2.25 * q, 2.25 * q - 2 * s + 1, 2.25 * q - 2 * s));
    query.forEach((value, n) => expect(value).toBeCloseTo(expected[n]!, 5));
    const { query: pictureAlone } = await composed(page, texts, [picture], "in red", -1);
    expect([...pictureAlone]).toEqual([0, 1, 0]);
  });

  test("of words that describe all is the sum of the picture and the words", async () => {
    const rule = { change: 1, description: 3, function_words: ["a", "and", "in"] };
    expect(describedShare(rule, "A dog")).toBe(0);
    expect(describedShare(rule, "a dog and a turned-up hat")).toBe(1);
    expect(describedShare(rule, "größer, in Rot")).toBe(0.5);
    const telling = { ...page, weights: { ...page.weights, description: 3 }, descriptions: rule };
    const { query } = await composed(telling, texts, [picture], "a dog, a cat, a hat", 0);
    const expected = unit(Float32Array.of(0, 1, 3));
    query.forEach((value, n) => expect(value).toBeCloseTo(expected[n]!, 5));
    seen.splice(0);
  });

  test("says of each term as much as its weight where terms are evened", async () => {
    const factor = [Float32Array.of(4, 0, 0), Float32Array.of(0, 1, 0), Float32Array.of(0, 0, 1)];
    const evening = eveningBy(factor);
    expect(evening(Float32Array.of(2, 0, 0))).toBeCloseTo(1 / 8, 5);
    expect(evening(Float32Array.of(0, 0, 0))).toBe(0);
    const half = { ...page, weights: { ...page.weights, sentence: 0, direction: 0, text: 1, evened: 1 } };
    const shown = { ...picture, vector: Float32Array.of(1, 0, 0) };
    const { query } = await composed(half, texts, [shown], "in red", 0, evening);
    expect(query[2]! / query[0]!).toBeCloseTo(4, 5);
    seen.splice(0);
  });

  test("moves away from what it should not be like", () => {
    const moved = movedAway(Float32Array.of(1, 0), [Float32Array.of(0, 1)], null);
    expect(moved[1]).toBeCloseTo(-0.4472136, 6);
  });
});
