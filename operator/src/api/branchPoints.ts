// Which checkpoints of a run stay because its spec lists them: checkpoint.keepSteps and keepTokens.
import { parseCount } from './scalars.ts';
import type { CheckpointRecord } from './status.ts';

/** The part of spec.checkpoint that names branch points. */
export interface BranchPoints {
  readonly keepSteps?: readonly number[] | undefined;
  readonly keepTokens?: readonly string[] | undefined;
}

/** The steps that are listed, and of each listed number of tokens the first step of the history that reaches it; as in trainer/polar/retention.py. */
export function listedSteps(history: readonly CheckpointRecord[], { keepSteps = [], keepTokens = [] }: BranchPoints): readonly number[] {
  return [...keepSteps, ...keepTokens.flatMap((tokens) => firstToReach(history, parseCount(tokens)) ?? [])];
}

/** Step of the first checkpoint that reaches a number of tokens. */
export function firstToReach(history: readonly CheckpointRecord[], tokens: number): number | undefined {
  return history.filter((record) => record.tokens !== undefined && record.tokens >= tokens)
    .reduce<number | undefined>((first, { step }) => first === undefined || step < first ? step : first, undefined);
}
