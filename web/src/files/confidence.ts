/** How far to trust the best hit: `gallery/confidence.py` in the browser's language. */

import type { Verdict } from "../api/api";
import type { Calibration } from "./document";

export interface Judged {
  readonly value: number;
  readonly verdict: Verdict;
}

/**
 * @param best the best score that is judged; null where there is no hit
 * @param zero the score of the mean picture
 * @param background scores of all pictures
 */
export function judged(made: Calibration, best: number | null, zero: number, background: Float32Array): Judged {
  const size = background.length;
  if (best === null) return { value: 0, verdict: "nothing matches well" };
  if (size < made.smallest_gallery && made.excess_weight === 0) return { value: 0.5, verdict: "uncertain" };
  const excess = best - zero - made.spread * expectedBest(size);
  let logit = made.bias + made.score_weight * best + made.excess_weight * excess;
  if (made.standout_weight && size >= made.smallest_gallery) logit += made.standout_weight * standout(best, background);
  const value = 1 / (1 + Math.exp(-Math.max(Math.min(logit, 50), -50)));
  if (value >= made.good) return { value, verdict: "good match" };
  return { value, verdict: value < made.poor ? "nothing matches well" : "uncertain" };
}

/** The largest of so many normal draws, as expected, in deviations above their mean. */
export function expectedBest(size: number): number {
  const logarithm = Math.log(Math.max(size, 3));
  const root = Math.sqrt(2 * logarithm);
  return root - (Math.log(logarithm) + Math.log(4 * Math.PI)) / (2 * root);
}

function standout(best: number, background: Float32Array): number {
  const sorted = background.toSorted();
  const [below, centre] = [percentile(sorted, 15.87), percentile(sorted, 50)];
  const root = Math.sqrt(2 * Math.log(Math.max(background.length, 3)));
  return (((best - centre) / Math.max(centre - below, 1e-6) - expectedBest(background.length)) * root) / 2;
}

function percentile(sorted: Float32Array, percent: number): number {
  const place = (percent / 100) * (sorted.length - 1);
  const [low, high] = [sorted[Math.floor(place)]!, sorted[Math.ceil(place)]!];
  return low + (high - low) * (place - Math.floor(place));
}
