/** How far a vector's similarities spread over pictures: `compose/spread.py` in the browser's language. */

import { dot, type Vector } from "./vectors";

const NOTHING = 1e-6;

/** What evens a vector: the spread of one of no particular direction by its own. */
export type Evening = (vector: Vector) => number;

/** From the rows of a factor F of the covariance F'F of pictures' vectors. */
export function eveningBy(factor: readonly Vector[]): Evening {
  const total = factor.reduce((sum, row) => sum + dot(row, row), 0);
  const typical = Math.sqrt(total / (factor[0]?.length ?? 1));
  return (vector) => {
    if (Math.sqrt(dot(vector, vector)) <= NOTHING) return 0;
    const spread = Math.sqrt(factor.reduce((sum, row) => sum + dot(row, vector) ** 2, 0));
    return typical / Math.max(spread, NOTHING * typical);
  };
}
