// The scoring module as the suites call it: each text with a prompt of its own, and sequences without a reference.
import { encodeEach, type Text, type Wrapper } from '../serve/encode.ts';
import type { Scorer } from '../serve/score.ts';
import type { Answer, Group, Score } from './comparison.ts';

/** `groupsAtOnce` bounds memory and the scorer's queue; what is shared is found among the sequences of one call. */
export interface ScorerScoreOptions { readonly groupsAtOnce: number; readonly signal?: AbortSignal; readonly onScored?: (groups: number) => void }

/** Scores groups in the order given. A model trained without references gets none. Errors are the scorer's. */
export function scoreBy(scorer: Scorer, { groupsAtOnce, signal, onScored }: ScorerScoreOptions): Score {
  return async (groups) => {
    const scores: number[][] = [];
    for (let at = 0; at < groups.length; at += groupsAtOnce) {
      const some = groups.slice(at, at + groupsAtOnce);
      scores.push(...(await scoreSome(scorer, some, signal)));
      onScored?.(some.length);
    }
    return scores;
  };
}

async function scoreSome({ model, scoreIds }: Scorer, groups: readonly Group[], signal?: AbortSignal): Promise<number[][]> {
  const encoded = await Promise.all(groups.map(({ prompt, reference, candidates, wrapper }) => {
    const texts = candidates.map((response): Text => ({ prompt, response, wrapper }));
    return encodeEach(model.reference && reference !== null ? textOf(reference, wrapper) : null, texts, model);
  }));
  const scores = await scoreIds(encoded.flatMap((group) => group.map(({ ids }) => Int32Array.from(ids))), signal);
  let next = 0;
  return encoded.map((group) => group.map(() => scores[next++] ?? NaN));
}

const textOf = ({ prompt, response }: Answer, wrapper: Wrapper): Text => ({ prompt, response, wrapper });
