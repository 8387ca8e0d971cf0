/** Vectors of one space: arithmetic, and the order of a gallery. */

export type Vector = Float32Array;

/** Numbers of half precision, little-endian, as rows of unit norm. */
export function unitRows(bytes: ArrayBuffer, dimension: number): Vector[] {
  return rowsOf(bytes, dimension).map(unit);
}

/** The same as they are stored. */
export function rowsOf(bytes: ArrayBuffer, dimension: number): Vector[] {
  const halves = new DataView(bytes);
  const values = Float32Array.from({ length: bytes.byteLength / 2 }, (_, n) => half(halves.getUint16(2 * n, true)));
  return Array.from({ length: values.length / dimension }, (_, row) => values.subarray(row * dimension, (row + 1) * dimension));
}

export function half(bits: number): number {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  const size = exponent === 0 ? fraction * 2 ** -24 : exponent === 31 ? (fraction ? NaN : Infinity) : (1 + fraction / 1024) * 2 ** (exponent - 15);
  return bits & 0x8000 ? -size : size;
}

/** The sum of weight times vector. */
export function mixed(...terms: readonly (readonly [number, Vector])[]): Vector {
  const sum = new Float32Array(terms[0]![1].length);
  for (const [weight, vector] of terms) {
    for (let n = 0; n < sum.length; n++) sum[n]! += weight * vector[n]!;
  }
  return sum;
}

export function unit(vector: Vector): Vector {
  const norm = Math.max(Math.sqrt(dot(vector, vector)), 1e-12);
  return vector.map((value) => value / norm);
}

export function dot(one: ArrayLike<number>, other: ArrayLike<number>): number {
  let sum = 0;
  for (let n = 0; n < one.length; n++) sum += one[n]! * other[n]!;
  return sum;
}

/** Places of the highest scores, highest first; equal ones in the order of the rows. */
export function order(scores: Float32Array): number[] {
  return Array.from(scores.keys()).sort((a, b) => scores[b]! - scores[a]! || a - b);
}
