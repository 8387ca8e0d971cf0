/** The steps of a search over several turns, and the way back. */

import type { Question } from "./query";

export interface Trail {
  readonly steps: readonly Question[];
  readonly at: number; // which step is shown; -1 where there is none
}

export const NO_TRAIL: Trail = { steps: [], at: -1 };
const MOST_STEPS = 50;

/** Go on from the step that is shown; what was undone is forgotten. */
export function stepped(trail: Trail, question: Question): Trail {
  const steps = [...trail.steps.slice(0, trail.at + 1), question].slice(-MOST_STEPS);
  return { steps, at: steps.length - 1 };
}

export function wentTo(trail: Trail, at: number): Trail {
  return { ...trail, at: Math.min(trail.steps.length - 1, Math.max(-1, at)) };
}

export const canUndo = (trail: Trail): boolean => trail.at > 0;
export const canRedo = (trail: Trail): boolean => trail.at < trail.steps.length - 1;
