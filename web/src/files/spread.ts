/** How far a vector's similarities spread over pictures: `compose/spread.py` in the browser's language. */

import { dot, type Vector } from "./vectors";

const NOTHING = 1e-6;

/** What evens a vector: one by its spread. */
export type Evening = (vector: Vector) => number;

/** From the rows of a factor F of the covariance F'F of pictures' vectors. */
export function eveningBy(factor: readonly Vector[]): Evening {
  return (vector) => {
    const length = Math.sqrt(dot(vector, vector));
    if (length <= NOTHING) return 0;
    const spread = Math.sqrt(factor.reduce((sum, row) => sum + dot(row, vector) ** 2, 0));
    return 1 / Math.max(spread, NOTHING * length);
  };
}
