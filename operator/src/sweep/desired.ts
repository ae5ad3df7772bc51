// The PolarPretrain of a point, a branch or a trunk. Pure.
import { API_VERSION, ANNOTATION_POINT, ANNOTATION_RETRY } from '../api/labels.ts';
import type { SweepSpec } from '../api/sweep.ts';
import type { KubeObject } from '../runtime/object.ts';
import { trunkWarmupPercent } from './design/cooldown.ts';
import type { GridPoint } from './grid.ts';
import { childMeta, runName } from './naming.ts';
import type { SweepMeta } from './naming.ts';
import type { TrunkView } from './trunks.ts';
import type { Work } from './works.ts';

export interface DesiredRun extends KubeObject {
  readonly spec: Readonly<Record<string, unknown>>;
}

type Made = Exclude<Work, { readonly do: 'extend' }>;

/** The run of a work. Its time to live is set once it is recorded, so that nothing it measured is lost. */
export function desiredRun(sweep: { readonly metadata: SweepMeta; readonly spec: SweepSpec }, work: Made): DesiredRun {
  const { of: { id, point }, retry } = work;
  const meta = childMeta(sweep.metadata, runName(sweep.metadata, id, retry), id);
  return {
    apiVersion: API_VERSION, kind: 'PolarPretrain',
    metadata: { ...meta, annotations: { [ANNOTATION_POINT]: JSON.stringify(point), [ANNOTATION_RETRY]: String(retry) } },
    spec: defined({ ...baseOf(sweep.spec, work.of), ...OWN[work.do](sweep.spec, work as never) }),
  };
}

function baseOf({ template, cooldowns }: SweepSpec, { point, model }: GridPoint): Readonly<Record<string, unknown>> {
  const { learningRate, batchTriplets, seed, tokens, steps } = point;
  const schedule = cooldowns === undefined ? {} : { schedule: 'wsd', cooldownPercent: cooldowns.percent };
  return {
    ...template, ttlSecondsAfterFinished: undefined,
    model: defined({ ...template.model, size: undefined, architecture: undefined, ...model }),
    optimizer: { ...template.optimizer, learningRate, batchTriplets, ...schedule },
    budget: tokens === undefined ? { steps } : { tokens: String(tokens) },
    seed,
  };
}

const OWN: { readonly [D in Made['do']]: (spec: SweepSpec, work: Extract<Made, { readonly do: D }>) => Readonly<Record<string, unknown>> } = {
  point: () => ({}),
  // Dimensions, tokenizer and weights come with the checkpoint.
  branch: ({ template: { model: { dropout } } }, { trunk, step }) => ({ model: { dropout }, warmStart: undefined, resumeFrom: { pretrainRef: { name: trunk.name }, step } }),
  trunk: ({ template }, { of, view }) => ({ optimizer: trunkOptimizer(template, of, view), checkpoint: { ...template.checkpoint, ...branchPoints(view) } }),
};

function trunkOptimizer({ optimizer }: SweepSpec['template'], { point: { learningRate, batchTriplets } }: GridPoint, { trunk }: TrunkView): Readonly<Record<string, unknown>> {
  return { ...optimizer, learningRate, batchTriplets, schedule: 'constant', warmupPercent: trunkWarmupPercent(trunk, optimizer.warmupPercent) };
}

/** Where a trunk keeps its checkpoints, as fields of checkpoint. */
export function branchPoints({ trunk: { unit, keep } }: TrunkView): Readonly<Record<string, unknown>> {
  return unit === 'steps' ? { keepSteps: keep } : { keepTokens: keep.map(String) };
}

function defined(fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
