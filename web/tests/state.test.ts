import { describe, expect, test } from "vitest";
import { fromAddress, toAddress } from "../src/state/address";
import {
  EMPTY,
  filterOf,
  isAsked,
  startingFrom,
  withNegative,
  withReference,
  type Question,
} from "../src/state/query";
import { canRedo, canUndo, NO_TRAIL, stepped, wentTo } from "../src/state/trail";

const QUESTION: Question = {
  ...EMPTY,
  references: [{ kind: "stored", id: "a1" }],
  text: "at night & cold",
  negatives: ["people", "cars, red"],
  unlike: ["b2"],
  balance: -0.25,
  conditions: [{ column: "kind", operator: "contains", value: "o'clock" }],
  sort: "date",
  relevantOnly: true,
};

describe("the address", () => {
  test("holds the whole question", () => {
    expect(fromAddress(toAddress(QUESTION))).toEqual(QUESTION);
  });

  test("is empty for an empty question", () => {
    expect(toAddress(EMPTY)).toBe("");
    expect(fromAddress("")).toEqual(EMPTY);
  });

  test("leaves out what is not understood", () => {
    const question = fromAddress("?where=%5B1&where=%5B%22a%22%2C%22~%22%2C%22b%22%5D&balance=x&sort=no");
    expect(question).toEqual(EMPTY);
  });

  test("never names a picture of this device", () => {
    const own = { kind: "own", key: "k", name: "secret.jpg", url: "blob:1", file: new Blob(), crop: null };
    expect(toAddress(withReference(EMPTY, own as never))).toBe("");
  });
});

describe("a question", () => {
  test("keeps each reference and each negative once", () => {
    const twice = withReference(withReference(EMPTY, { kind: "stored", id: "a" }), {
      kind: "stored",
      id: "a",
    });
    expect(twice.references).toHaveLength(1);
    expect(withNegative(withNegative(EMPTY, "people"), " people ").negatives).toEqual(["people"]);
  });

  test("started from a hit keeps the filter and drops the words", () => {
    const next = startingFrom(QUESTION, "c3");
    expect(next.references).toEqual([{ kind: "stored", id: "c3" }]);
    expect(next.text).toBe("");
    expect(next.conditions).toEqual(QUESTION.conditions);
    expect(isAsked(next)).toBe(true);
    expect(isAsked(EMPTY)).toBe(false);
  });
});

describe("a filter", () => {
  test("quotes texts, leaves numbers, joins conditions", () => {
    const filter = filterOf([
      { column: "kind", operator: "=", value: "o'clock" },
      { column: "width", operator: ">=", value: "800" },
      { column: "the price", operator: "!=", value: "cheap" },
      { column: "kind", operator: "=", value: " " },
    ]);
    expect(filter).toBe(`kind = 'o''clock' AND width >= 800 AND "the price" != 'cheap'`);
    expect(filterOf([])).toBeNull();
  });
});

describe("the trail", () => {
  test("goes back and forth, and forgets what was undone once it goes on", () => {
    let trail = [1, 2, 3].reduce((made, n) => stepped(made, { ...EMPTY, text: `${n}` }), NO_TRAIL);
    expect(canUndo(trail)).toBe(true);
    trail = wentTo(trail, 1);
    expect(canRedo(trail)).toBe(true);
    trail = stepped(trail, { ...EMPTY, text: "other" });
    expect(trail.steps.map((step) => step.text)).toEqual(["1", "2", "other"]);
    expect(canRedo(trail)).toBe(false);
    expect(wentTo(trail, -5).at).toBe(-1);
  });
});
