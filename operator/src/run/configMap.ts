// The ConfigMap of an attempt: the run config its trainer reads, and the CA of the address it reports to.
import { API_VERSION, PATH_CONFIG, PATH_DATA, PATH_INIT, PATH_RESUME, PATH_TOKEN, PATH_TOKENIZER, RENDEZVOUS_PORT } from '../api/labels.ts';
import type { RunConfig } from '../api/runConfig.ts';
import { parseCount } from '../api/scalars.ts';
import { SIZES } from '../api/sizes.ts';
import type { Attempt } from './desired.ts';
import { meanSecondsBetweenFailures } from './effective.ts';
import { resolvedOptimizer } from './laws.ts';
import { pathBelow, tokenizerUri } from './mounts.ts';
import type { Init } from './mounts.ts';
import { childMeta, childName } from './naming.ts';
import type { ConfigMap } from './objects.ts';
import type { RunSpec } from './observed.ts';
import { placeOf } from './store.ts';

const DEFAULT_VOCABULARY = 4096;

export function desiredConfigMap(of: Attempt): ConfigMap {
  const { telemetry } = of.settings;
  return {
    apiVersion: 'v1', kind: 'ConfigMap', metadata: childMeta(of.run, of.attempt),
    data: { 'run.json': JSON.stringify(runConfigOf(of), null, 1), ...(telemetry === undefined ? {} : { 'ca.crt': telemetry.ca }) },
  };
}

/** The document the trainer of this attempt reads. */
export function runConfigOf(of: Attempt): RunConfig {
  const { run, attempt, spec: { spec } } = of;
  const { namespace, name, uid } = run.metadata;
  const { keepLast, keepBest } = spec.checkpoint;
  const { resumeBeforeStep } = run.status;
  return {
    apiVersion: API_VERSION, kind: run.kind, run: { namespace, name, uid, attempt },
    gang: gangOf(of), ...telemetryOf(of), seed: spec.seed,
    model: modelOf(of), data: dataOf(of.spec), budget: budgetOf(of.spec), optimizer: optimizerOf(of.spec), ...warmStartOf(of.spec),
    validation: spec.validation,
    engine: spec.engine, ...resumeOf(of), watch: watchOf(of.spec), export: spec.export,
    ...(resumeBeforeStep === undefined ? {} : { resumeBeforeStep }),
    checkpoint: { ...placeOf(run, of.spec), ...intervalOf(of), keepLast, keepBest, ...keptOf(of) },
  };
}

/** Branch points of the spec, and steps that other objects refer to. */
function keptOf({ run: { status: { protectedSteps } }, spec: { spec: { checkpoint } } }: Attempt): Pick<RunConfig['checkpoint'], 'keepSteps' | 'keepTokens'> {
  const { keepSteps, keepTokens } = checkpoint;
  return {
    ...(keepSteps === undefined && protectedSteps === undefined ? {} : { keepSteps: [...new Set([...keepSteps ?? [], ...protectedSteps ?? []])] }),
    ...(keepTokens === undefined ? {} : { keepTokens: keepTokens.map(parseCount) }),
  };
}

/** Steps or seconds between checkpoints, or what the trainer works the interval out from. */
function intervalOf({ run, spec }: Attempt): Pick<RunConfig['checkpoint'], 'everySteps' | 'everySeconds' | 'meanSecondsBetweenFailures'> {
  const { everySteps, everyMinutes = 'auto' } = spec.spec.checkpoint;
  if (everySteps !== undefined) return { everySteps };
  if (everyMinutes !== 'auto') return { everySeconds: everyMinutes * 60 };
  return { meanSecondsBetweenFailures: meanSecondsBetweenFailures(spec, run.status) };
}

function gangOf(of: Attempt): RunConfig['gang'] {
  const name = childName(of.run, of.attempt);
  const { replicas, gpusPerWorker } = of.spec.spec.workers;
  return { workers: replicas, processesPerWorker: Math.max(1, gpusPerWorker), masterAddress: `${name}-0.${name}`, masterPort: RENDEZVOUS_PORT };
}

function telemetryOf(of: Attempt): Pick<RunConfig, 'telemetry'> {
  const { telemetry } = of.settings;
  if (telemetry === undefined) return {};
  const { address, intervalSeconds } = telemetry;
  return { telemetry: { address, tokenPath: `${PATH_TOKEN}/token`, caPath: `${PATH_CONFIG}/ca.crt`, intervalSeconds } };
}

function modelOf(of: Attempt): RunConfig['model'] {
  const init = of.init === undefined || of.init.continues === true ? {} : { init: checkpointBelow(PATH_INIT, of.init) };
  if (of.spec.kind === 'PolarFinetune') return { dropout: of.spec.spec.dropout, ...init };
  const { size, architecture, dropout } = of.spec.spec.model;
  const dimensions = architecture ?? (size === undefined ? undefined : SIZES[size]);
  return { ...(dimensions === undefined ? {} : { architecture: dimensions }), dropout, ...tokenizerOf(of), ...init };
}

/** A run that starts from weights takes their tokenizer unless another is named. */
function tokenizerOf(of: Attempt): Pick<RunConfig['model'], 'tokenizer'> {
  if (of.spec.kind === 'PolarFinetune') return {};
  const uri = tokenizerUri(of.spec);
  if (uri !== undefined) return { tokenizer: { path: pathBelow(PATH_TOKENIZER, uri) } };
  return of.init === undefined ? { tokenizer: { vocabSize: of.spec.spec.model.tokenizer.vocabSize ?? DEFAULT_VOCABULARY } } : {};
}

function dataOf(run: RunSpec): RunConfig['data'] {
  const { uri, ...rest } = run.spec.data;
  return { path: pathBelow(PATH_DATA, uri), ...rest };
}

function budgetOf(run: RunSpec): RunConfig['budget'] {
  const { steps, ...other } = run.spec.budget;
  if (steps !== undefined) return { steps };
  if ('tokens' in other && other.tokens !== undefined) return { tokens: parseCount(other.tokens) };
  return 'epochs' in other && other.epochs !== undefined ? { epochs: other.epochs } : {};
}

function optimizerOf(run: RunSpec): RunConfig['optimizer'] {
  return run.kind === 'PolarPretrain' ? resolvedOptimizer(run.spec) : run.spec.optimizer;
}

function resumeOf({ init }: Attempt): Pick<RunConfig, 'resumeFrom'> {
  return init?.continues === true ? { resumeFrom: checkpointBelow(PATH_RESUME, init) } : {};
}

function checkpointBelow(mountPath: string, { uri, manifestSha256 }: Init): { path: string; manifestSha256?: string } {
  return { path: pathBelow(mountPath, uri), ...(manifestSha256 === undefined ? {} : { manifestSha256 }) };
}

function watchOf(run: RunSpec): RunConfig['watch'] {
  const { hangTimeoutSeconds, hashEverySteps } = run.spec.recovery;
  return { hangTimeoutSeconds, hashEverySteps };
}

function warmStartOf(run: RunSpec): Pick<RunConfig, 'warmStart'> {
  return run.kind === 'PolarPretrain' && run.spec.warmStart !== undefined ? { warmStart: run.spec.warmStart } : {};
}
