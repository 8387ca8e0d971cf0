/** What is being asked, as one plain value that can be kept, compared and put into an address. */

/** A part of a picture, in shares of its width and height. */
export interface Crop {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** A picture of the gallery. */
export interface StoredReference {
  readonly kind: "stored";
  readonly id: string;
}

/** A picture from this device. It lives in memory alone: an address cannot hold it. */
export interface OwnReference {
  readonly kind: "own";
  readonly key: string;
  readonly name: string;
  readonly url: string; // of an object in memory, for showing it
  readonly file: Blob;
  readonly crop: Crop | null;
}

export type Reference = StoredReference | OwnReference;

/** One row of the filter: a column, how it is compared, and with what. */
export interface Condition {
  readonly column: string;
  readonly operator: "=" | "!=" | "<=" | ">=" | "contains";
  readonly value: string;
}

export type Sort = "score" | "date" | "date:oldest";

export interface Question {
  readonly references: readonly Reference[];
  readonly text: string;
  readonly negatives: readonly string[];
  readonly unlike: readonly string[]; // ids of pictures that the hits should not be like
  readonly balance: number; // -1 the picture alone, 1 the words alone, 0 as the composer has it
  readonly conditions: readonly Condition[];
  readonly sort: Sort;
  readonly relevantOnly: boolean;
}

export const EMPTY: Question = {
  references: [],
  text: "",
  negatives: [],
  unlike: [],
  balance: 0,
  conditions: [],
  sort: "score",
  relevantOnly: false,
};

export const MOST_REFERENCES = 8;
export const MOST_NEGATIVES = 8;

/** Whether there is anything to look for. */
export function isAsked(question: Question): boolean {
  return question.references.length > 0 || question.text.trim() !== "";
}

export function withReference(question: Question, reference: Reference): Question {
  const others = question.references.filter((known) => !sameReference(known, reference));
  return { ...question, references: [...others, reference].slice(-MOST_REFERENCES) };
}

export function withoutReference(question: Question, index: number): Question {
  return { ...question, references: question.references.filter((_, n) => n !== index) };
}

/** Ask from one picture of the gallery alone; the words are said anew from there. */
export function startingFrom(question: Question, id: string): Question {
  return {
    ...EMPTY,
    references: [{ kind: "stored", id }],
    conditions: question.conditions,
    sort: question.sort,
  };
}

export function withNegative(question: Question, negative: string): Question {
  const text = negative.trim();
  if (text === "" || question.negatives.includes(text)) return question;
  return { ...question, negatives: [...question.negatives, text].slice(0, MOST_NEGATIVES) };
}

export function withoutNegative(question: Question, negative: string): Question {
  return { ...question, negatives: question.negatives.filter((known) => known !== negative) };
}

export function sameReference(one: Reference, other: Reference): boolean {
  if (one.kind === "stored") return other.kind === "stored" && one.id === other.id;
  return other.kind === "own" && one.key === other.key;
}

/** The conditions as one filter of the server's language; null where there are none. */
export function filterOf(conditions: readonly Condition[]): string | null {
  const parts = conditions.filter(({ value }) => value.trim() !== "").map(conditionText);
  return parts.length > 0 ? parts.join(" AND ") : null;
}

function conditionText({ column, operator, value }: Condition): string {
  const name = /^[A-Za-z_][A-Za-z0-9_]*$/.test(column) ? column : `"${column.replaceAll('"', '""')}"`;
  if (operator === "contains") return `${name} LIKE ${quoted(`%${value}%`)}`;
  return `${name} ${operator} ${isNumber(value) ? value : quoted(value)}`;
}

const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;

const isNumber = (text: string): boolean => /^-?\d+(\.\d+)?$/.test(text.trim());
