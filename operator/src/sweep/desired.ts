// The PolarPretrain of a point. Pure.
import { API_VERSION, ANNOTATION_POINT, ANNOTATION_RETRY } from '../api/labels.ts';
import type { SweepSpec } from '../api/sweep.ts';
import type { KubeObject } from '../runtime/object.ts';
import type { GridPoint } from './grid.ts';
import { childMeta, runName } from './naming.ts';
import type { SweepMeta } from './naming.ts';

export interface DesiredRun extends KubeObject {
  readonly spec: Readonly<Record<string, unknown>>;
}

/** The n-th run of a point. Its time to live is set once it is recorded, so that nothing it measured is lost. */
export function desiredRun(sweep: { readonly metadata: SweepMeta; readonly spec: SweepSpec }, { id, point, model }: GridPoint, retry: number): DesiredRun {
  const { template } = sweep.spec;
  const { learningRate, batchTriplets, seed, tokens, steps } = point;
  const meta = childMeta(sweep.metadata, runName(sweep.metadata, id, retry), id);
  return {
    apiVersion: API_VERSION, kind: 'PolarPretrain',
    metadata: { ...meta, annotations: { [ANNOTATION_POINT]: JSON.stringify(point), [ANNOTATION_RETRY]: String(retry) } },
    spec: defined({
      ...template, ttlSecondsAfterFinished: undefined,
      model: defined({ ...template.model, size: undefined, architecture: undefined, ...model }),
      optimizer: { ...template.optimizer, learningRate, batchTriplets },
      budget: tokens === undefined ? { steps } : { tokens: String(tokens) },
      seed,
    }),
  };
}

function defined(fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
