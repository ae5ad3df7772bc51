// Learning rate and batch size by the paper's two laws (appendix D.1.2), for `optimizer.learningRate: auto` and
// `batchTriplets: auto`. Pure. The paper says "in millions"; its own numbers (1.4e-5 and 1940 for 1.8B, 1.67e-5 and 4343
// for 7B) come out with parameters in 2^20 and tokens in 2^30.
import { AUTO } from '../api/optimizer.ts';
import type { PretrainSpec } from '../api/pretrain.ts';
import type { RunConfig } from '../api/runConfig.ts';
import { parseCount } from '../api/scalars.ts';
import { PAPER_VOCABULARY, parametersOf, SIZES } from '../api/sizes.ts';

const MI = 2 ** 20;
const GI = 2 ** 30;

/** What the laws were fitted on. */
const FITTED = { parameters: [115e6, 924e6], tokens: [24e9, 104e9] } as const;

/** The two backbones of the paper, which states their size as a round number. */
const NOMINAL: Readonly<Record<string, number>> = { '1.8B': 1.8e9, '7B': 7e9 };

export interface LawInput {
  readonly parameters: number;
  /** Tokens the base model was pre-trained on. */
  readonly pretrainedTokens: number;
  /** Tokens of the reward model's pre-training. */
  readonly tokens: number;
}

export interface Resolved {
  readonly learningRate: string;
  readonly batchTriplets: number;
  readonly parameters: number;
  /** Where the number of parameters is from. */
  readonly parametersFrom: string;
  /** What lies outside the range the laws were fitted on; empty when nothing does. */
  readonly extrapolated: string;
}

/** LR = 0.0002306 N^0.01125 Dp^-0.66587 Drm^0.33916. */
export function learningRateLaw({ parameters, pretrainedTokens, tokens }: LawInput): number {
  return 0.0002306 * (parameters / MI) ** 0.01125 * (pretrainedTokens / GI) ** -0.66587 * (tokens / GI) ** 0.33916;
}

/** Batch = 31.9032 N^0.06944 Drm^0.52997, in triplets. */
export function batchLaw({ parameters, tokens }: Pick<LawInput, 'parameters' | 'tokens'>): number {
  return 31.9032 * (parameters / MI) ** 0.06944 * (tokens / GI) ** 0.52997;
}

/** Whether the spec asks for the laws. */
export function asksForLaws({ optimizer }: PretrainSpec): boolean {
  return optimizer.learningRate === AUTO || optimizer.batchTriplets === AUTO;
}

/** The numbers `auto` stands for; undefined when the spec has none, a message when what they need is missing. */
export function resolveLaws(spec: PretrainSpec): Resolved | string | undefined {
  if (!asksForLaws(spec)) return undefined;
  const size = parametersFor(spec);
  const { tokens } = spec.budget;
  const pretrained = spec.model.init?.pretrainedTokens;
  if (size === undefined) return 'spec.optimizer: auto needs the number of parameters: give model.size, or model.init.parameters';
  if (tokens === undefined || pretrained === undefined) return 'spec.optimizer: auto needs budget.tokens and model.init.pretrainedTokens';
  const input = { parameters: size.parameters, pretrainedTokens: parseCount(pretrained), tokens: parseCount(tokens) };
  if (Object.values(input).some((value) => value <= 0)) return 'spec.optimizer: auto needs counts above 0 in budget.tokens and model.init';
  return { ...numbersOf(spec, input), parameters: input.parameters, parametersFrom: size.from, extrapolated: outside(input) };
}

/** The optimizer of the run config. Throws when `auto` cannot be resolved: ask `resolveLaws` before. */
export function resolvedOptimizer(spec: PretrainSpec): RunConfig['optimizer'] {
  const resolved = resolveLaws(spec);
  if (typeof resolved === 'string') throw new Error(resolved);
  const { learningRate, batchTriplets, ...rest } = spec.optimizer;
  if (resolved !== undefined) return { learningRate: resolved.learningRate, batchTriplets: resolved.batchTriplets, ...rest };
  return { learningRate, batchTriplets: Number(batchTriplets), ...rest };
}

function numbersOf({ optimizer }: PretrainSpec, input: LawInput): Pick<Resolved, 'learningRate' | 'batchTriplets'> {
  const { learningRate, batchTriplets } = optimizer;
  return {
    learningRate: learningRate === AUTO ? decimalOf(learningRateLaw(input)) : learningRate,
    batchTriplets: batchTriplets === AUTO ? Math.max(1, Math.round(batchLaw(input))) : batchTriplets,
  };
}

/** Four significant digits, in a form every decimal field takes. */
function decimalOf(value: number): string {
  return String(Number(value.toPrecision(4)));
}

function parametersFor({ model }: PretrainSpec): { readonly parameters: number; readonly from: string } | undefined {
  const { size, architecture, init, tokenizer } = model;
  if (init?.parameters !== undefined) return { parameters: parseCount(init.parameters), from: 'model.init.parameters' };
  const { vocabSize } = tokenizer;
  if (architecture !== undefined && vocabSize !== undefined) return { parameters: parametersOf(architecture, vocabSize), from: 'model.architecture and model.tokenizer.vocabSize' };
  if (size === undefined) return undefined;
  const nominal = NOMINAL[size];
  if (nominal !== undefined) return { parameters: nominal, from: `model.size ${size}, as the paper rounds it` };
  const vocabulary = vocabSize ?? PAPER_VOCABULARY;
  return { parameters: parametersOf(SIZES[size], vocabulary), from: `model.size ${size} with a vocabulary of ${vocabulary}` };
}

function outside({ parameters, tokens }: LawInput): string {
  const parts = [
    beyond(parameters, FITTED.parameters) ? [`${short(parameters)} parameters are outside ${range(FITTED.parameters)}`] : [],
    beyond(tokens, FITTED.tokens) ? [`${short(tokens)} tokens are outside ${range(FITTED.tokens)}`] : [],
  ];
  return parts.flat().join(', ');
}

function beyond(value: number, [low, high]: readonly [number, number]): boolean {
  return value < low || value > high;
}

function range([low, high]: readonly [number, number]): string {
  return `${short(low)} to ${short(high)}`;
}

function short(value: number): string {
  const [scale, letter] = value >= 1e12 ? [1e12, 'T'] : value >= 1e9 ? [1e9, 'B'] : [1e6, 'M'];
  return `${String(Number((value / scale).toPrecision(3)))}${letter}`;
}
