/** The question in the page's address, so that it can be kept, sent and gone back to. */

import { EMPTY, type Condition, type Question, type Reference, type Sort } from "./query";

const OPERATORS = ["=", "!=", "<=", ">=", "contains"] as const;
const SORTS: readonly Sort[] = ["score", "date", "date:oldest"];

/** Pictures from this device are left out: they are nowhere but here. */
export function toAddress(question: Question): string {
  const parameters = new URLSearchParams();
  for (const reference of question.references) {
    if (reference.kind === "stored") parameters.append("like", reference.id);
  }
  if (question.text !== "") parameters.set("text", question.text);
  question.negatives.forEach((negative) => parameters.append("not", negative));
  question.unlike.forEach((id) => parameters.append("unlike", id));
  if (question.balance !== 0) parameters.set("balance", question.balance.toFixed(2));
  question.conditions.forEach((condition) => parameters.append("where", conditionCode(condition)));
  if (question.sort !== "score") parameters.set("sort", question.sort);
  if (question.relevantOnly) parameters.set("relevant", "1");
  const text = parameters.toString();
  return text === "" ? "" : `?${text}`;
}

/** Whatever is not understood is left out: addresses are typed and cut by people. */
export function fromAddress(search: string): Question {
  const parameters = new URLSearchParams(search);
  const references = parameters.getAll("like").map((id): Reference => ({ kind: "stored", id }));
  return {
    ...EMPTY,
    references,
    text: parameters.get("text") ?? "",
    negatives: parameters.getAll("not").filter((text) => text.trim() !== ""),
    unlike: parameters.getAll("unlike"),
    balance: balanceOf(parameters.get("balance")),
    conditions: parameters.getAll("where").flatMap(conditionOf),
    sort: SORTS.find((sort) => sort === parameters.get("sort")) ?? "score",
    relevantOnly: parameters.get("relevant") === "1",
  };
}

function balanceOf(text: string | null): number {
  const value = Number(text ?? 0);
  return Number.isFinite(value) ? Math.min(1, Math.max(-1, value)) : 0;
}

const conditionCode = ({ column, operator, value }: Condition): string =>
  JSON.stringify([column, operator, value]);

function conditionOf(code: string): Condition[] {
  try {
    const [column, name, value] = JSON.parse(code) as unknown[];
    const operator = OPERATORS.find((known) => known === name);
    if (typeof column !== "string" || typeof value !== "string" || !operator) return [];
    return [{ column, operator, value }];
  } catch {
    return [];
  }
}
