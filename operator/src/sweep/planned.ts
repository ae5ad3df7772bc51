// Strategy planned: which points come next, by what is known of the law. Pure.
import { parseCount } from '../api/scalars.ts';
import type { SweepSpec } from '../api/sweep.ts';
import { SIZES } from '../api/sizes.ts';
import { lawOf } from './design/candidate.ts';
import type { Candidate, Law, Measured } from './design/candidate.ts';
import { trunkKey } from './design/cooldown.ts';
import { nextPoints } from './design/vOptimal.ts';
import type { NextPoints } from './design/vOptimal.ts';
import type { At, Fit, WarningCode } from './fit/types.ts';
import { tokensOf } from './grid.ts';
import type { GridPoint } from './grid.ts';
import { observationOf } from './observations.ts';
import { pointRecords } from './records.ts';
import type { PointView, Situation } from './situation.ts';

/** Of the tokenizer that is trained on the corpus when the template says nothing. */
const DEFAULT_VOCABULARY = 4096;
const UNTESTED: ReadonlySet<WarningCode> = new Set(['TooFewPoints', 'Collinear']);

/** The law that the sweep plans for. */
export function designLaw({ points, spec, tokensPerTriplet }: Situation): Law {
  return lawOf(points.map((point) => candidateOf(point, spec, tokensPerTriplet)), spec.fit.forms.includes('offset') ? 'offset' : 'power');
}

/** The points to start, the best first; `fit` is of all points that have ended. */
export function choicesOf(s: Situation, fit: Fit | 'none', slots: number): NextPoints {
  const candidate = (point: PointView): Candidate => candidateOf(point, s.spec, s.tokensPerTriplet);
  const target = targetOf(s);
  const { flops, gpuHours } = s.spec.budget ?? {};
  const { spent, reserved } = s.ledger;
  return nextPoints({
    candidates: s.points.filter(({ state }) => state === 'Waiting').map(candidate),
    observed: measuredOf(s),
    running: s.points.filter(({ state }) => state === 'Running' || state === 'Suspended').map(candidate),
    law: designLaw(s), slots,
    ...(fit === 'none' ? {} : { fit }), ...(target === undefined ? {} : { target }),
    remaining: { ...(flops === undefined ? {} : { flops: Number(flops) - spent.flops - reserved.flops }), ...(gpuHours === undefined ? {} : { gpuHours: Math.max(0, Number(gpuHours) - spent.gpuHours) }) },
    ...(s.spec.cooldowns?.reuse === true ? { cooldownPercent: s.spec.cooldowns.percent } : {}),
    ...(s.spec.precisionPercent === undefined || !isTested(fit) ? {} : { precisionPercent: s.spec.precisionPercent }),
  });
}

/** A law that goes through every point it was fitted to, or that they cannot tell from others, knows nothing of its own error. */
export function isTested(fit: Fit | 'none'): boolean {
  return fit !== 'none' && !fit.codes.some((code) => UNTESTED.has(code));
}

/** The first target with what the law needs; what it does not name is taken from the largest point. A loss to reach is none. */
function targetOf({ spec, points, tokensPerTriplet }: Situation): At | undefined {
  const first = spec.targets?.[0];
  if (first === undefined || first.loss !== undefined) return undefined;
  const largest = points.map((point) => candidateOf(point, spec, tokensPerTriplet)).reduce((a, b) => (b.flops > a.flops ? b : a));
  const parameters = first.parameters === undefined ? largest.parameters : parseCount(first.parameters);
  const tokens = first.tokens === undefined ? largest.tokens : parseCount(first.tokens);
  return { parameters, tokens, flops: 6 * parameters * tokens };
}

function measuredOf(s: Situation): readonly Measured[] {
  const records = new Map(pointRecords(s.records).map((record) => [record.id, record]));
  return s.points.filter(({ state }) => state === 'Succeeded').flatMap((point) => {
    const record = records.get(point.of.id);
    const observed = record === undefined ? undefined : observationOf(record, s.spec.fit);
    return observed === undefined ? [] : [{ ...candidateOf(point, s.spec, s.tokensPerTriplet), parameters: observed.parameters ?? 0, tokens: observed.tokens ?? 0, loss: observed.loss }];
  });
}

function candidateOf({ of, flops }: PointView, spec: SweepSpec, tokensPerTriplet: number): Candidate {
  const parameters = spec.fit.parameters === 'total' ? of.parameters + embeddingOf(of, spec) : of.parameters;
  const trunk = spec.cooldowns?.reuse === true ? { trunk: trunkKey(of.point) } : {};
  return { id: of.id, parameters, tokens: tokensOf(of.point, tokensPerTriplet), flops, ...trunk };
}

function embeddingOf({ model: { size, architecture } }: GridPoint, { template: { model: { tokenizer } } }: SweepSpec): number {
  const width = architecture?.hiddenSize ?? (size === undefined ? 0 : SIZES[size].hiddenSize);
  return width * (tokenizer.vocabSize ?? DEFAULT_VOCABULARY);
}
