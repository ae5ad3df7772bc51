// Everything a plan may know about one run, in one frozen value.
import type { FinetuneSpec } from '../api/finetune.ts';
import type { PretrainSpec } from '../api/pretrain.ts';
import type { CheckpointRecord, RunStatus } from '../api/status.ts';
import type { ObjectMeta } from '../runtime/object.ts';
import type { Queueing } from './kueue.ts';
import type { Claim, ConfigMap, Job, Pod, Service } from './objects.ts';
import type { PodGroups } from './podGroup.ts';

export type RunKind = 'PolarPretrain' | 'PolarFinetune';

export type RunSpec =
  | { readonly kind: 'PolarPretrain'; readonly spec: PretrainSpec }
  | { readonly kind: 'PolarFinetune'; readonly spec: FinetuneSpec };

export type RunMeta = ObjectMeta & { readonly namespace: string; readonly uid: string };

export interface Run {
  readonly kind: RunKind;
  readonly metadata: RunMeta;
  readonly status: RunStatus;
  /** Undefined when the stored spec does not parse; `specIssue` then says where. */
  readonly spec?: RunSpec | undefined;
  readonly specIssue?: string | undefined;
}

/** The pre-train run that another run starts from, as far as it matters to that; once that has started, as it was then. */
export interface Source {
  readonly name: string;
  /** Field of the spec that names it. */
  readonly field: string;
  /** Which checkpoint is asked for: a kind, or a step. */
  readonly which: 'best' | 'latest' | number;
  /** Steps of the checkpoints it has, newest first. */
  readonly kept?: readonly number[] | undefined;
  readonly exists: boolean;
  readonly complete: boolean;
  /** Why it failed, when it did. */
  readonly failed?: string | undefined;
  readonly checkpoint?: CheckpointRecord | undefined;
}

/** Another run that starts from one of this run's checkpoints, or has. */
export interface Dependent {
  readonly kind: RunKind;
  readonly name: string;
  /** It has neither started nor ended. */
  readonly waits: boolean;
  readonly which: Source['which'];
  readonly startedFrom?: CheckpointRecord | undefined;
}

export interface Settings {
  readonly trainerImage: string;
  /** Where trainers report and the CA that signs it, and since when (RFC 3339) this process could hear of them; absent when reports are off. */
  readonly telemetry?: { readonly address: string; readonly ca: string; readonly intervalSeconds: number; readonly since?: string } | undefined;
}

export interface Observed {
  /** RFC 3339, with milliseconds. */
  readonly now: string;
  readonly run: Run;
  /** Controlled by the run, whatever their names. */
  readonly jobs: readonly Job[];
  readonly configMaps: readonly ConfigMap[];
  readonly services: readonly Service[];
  /** Pods of the run's Jobs, also of Jobs that are gone. */
  readonly pods: readonly Pod[];
  /** Pods of the run's registry Jobs. */
  readonly registryPods: readonly Pod[];
  /** The claims of the run's namespace that it names, as far as they exist. */
  readonly claims: readonly Claim[];
  readonly source?: Source | undefined;
  readonly dependents: readonly Dependent[];
  /** Why the Job controller could not create pods, newest first; only looked for when pods are missing. */
  readonly podRefusals: readonly string[];
  /** Absent when the run neither asks for a queue nor has a Workload. */
  readonly queueing?: Queueing | undefined;
  /** Absent when the run asks for no pod group. */
  readonly podGroups?: PodGroups | undefined;
  readonly settings: Settings;
}
