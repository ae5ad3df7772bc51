// Everything a plan may know about one sweep, in one value.
import type { RunStatus } from '../api/status.ts';
import type { SweepSpec } from '../api/sweep.ts';
import type { SweepStatus } from '../api/sweepStatus.ts';
import type { ObjectMeta } from '../runtime/object.ts';
import type { GridPoint } from './grid.ts';
import type { CurvePoint, Point, RunRecord } from './point.ts';

export type SweepObjectMeta = ObjectMeta & { readonly namespace: string; readonly uid: string };

export interface Sweep {
  readonly metadata: SweepObjectMeta;
  readonly status: SweepStatus;
  /** Undefined when the stored spec does not parse; `specIssue` then says where. */
  readonly spec?: SweepSpec | undefined;
  readonly specIssue?: string | undefined;
}

/** Active: it trains, waits for something or stops. */
export type RunState = 'Active' | 'Suspended' | 'Complete' | 'Failed';

/** A PolarPretrain of the sweep. */
export interface SweepRun {
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string | undefined;
  /** Of its point, or of the trunk it is. */
  readonly id: string;
  readonly retry: number;
  readonly state: RunState;
  readonly isDeleted: boolean;
  /** spec.suspend. */
  readonly isAskedToStop: boolean;
  /** Why it was stopped for good, as an annotation of it says. */
  readonly stopped?: string | undefined;
  readonly hasTtl: boolean;
  /** Training processes: GPUs, or workers where there are none. */
  readonly processes: number;
  /** Continues a trunk. */
  readonly isBranch: boolean;
  /** What its spec asks for. */
  readonly budget: { readonly steps?: number; readonly tokens?: number };
  /** As its annotation says; of a trunk the point with its budget. */
  readonly point: Point;
  /** Without curve and validation. */
  readonly status: RunStatus;
  /** Validations and the standard error of the last, only where runs are compared. */
  readonly curve?: readonly CurvePoint[] | undefined;
  readonly valLossStandardError?: number | undefined;
  /** The whole status, asked for when the run is about to be recorded. */
  readonly final?: RunStatus | undefined;
}

/** A ConfigMap of records. */
export interface Shard {
  /** Its number, 0 and up. */
  readonly index: number;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string | undefined;
  readonly bytes: number;
}

export interface Observed {
  /** RFC 3339, with milliseconds. */
  readonly now: string;
  readonly sweep: Sweep;
  /** Points of the axes; empty when the spec does not parse. */
  readonly grid: readonly GridPoint[];
  readonly runs: readonly SweepRun[];
  readonly shards: readonly Shard[];
  readonly records: readonly RunRecord[];
}
