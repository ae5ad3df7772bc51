// What a finished point tells a law, as spec.fit counts it.
import type { SweepSpec } from '../api/sweep.ts';
import type { Observation } from './fit/types.ts';
import type { PointRecord } from './point.ts';

export type FitSpec = SweepSpec['fit'];

/** Undefined for a point that was not trained to its end or not validated. */
export function observationOf(record: PointRecord, fit: FitSpec): Observation | undefined {
  const loss = fit.policies === 'unseen' ? record.unseenLoss : record.valLoss;
  const parameters = parametersOf(record, fit.parameters);
  if (record.outcome !== 'Succeeded' || loss === undefined || !(loss > 0) || parameters <= 0 || record.tokens <= 0) return undefined;
  return { parameters, tokens: record.tokens, flops: fit.compute === 'actual' ? record.flops : 6 * parameters * record.tokens, loss, label: record.id };
}

export function parametersOf({ parameters, parametersWithoutEmbedding }: PointRecord, which: FitSpec['parameters']): number {
  return which === 'total' ? parameters : parametersWithoutEmbedding;
}
