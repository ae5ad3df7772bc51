// What the statuses of sweeps say, as metrics. Computed from the cache when somebody asks; only the leader tells.
import { Gauge } from 'prom-client';
import type { Registry } from 'prom-client';
import type { StoredSweep } from './caches.ts';

export interface SweepMetricsOptions {
  readonly registry: Registry;
  readonly sweepsOf: () => readonly StoredSweep[];
  readonly isLeading: () => boolean;
  /** At most so many sweeps have series. */
  readonly maxSeries: number;
}

const STATES = ['waiting', 'running', 'succeeded', 'failed', 'stopped'] as const;

/** Registers the metrics of sweeps; once per registry. */
export function sweepMetrics({ registry, sweepsOf, isLeading, maxSeries }: SweepMetricsOptions): void {
  new Gauge({
    name: 'polar_sweep_points', help: 'Points of a sweep by state.', labelNames: ['namespace', 'name', 'state'], registers: [registry],
    collect() {
      this.reset();
      if (!isLeading()) return;
      for (const { metadata: { namespace = '', name }, status } of sweepsOf().slice(0, maxSeries)) {
        for (const state of STATES) this.set({ namespace, name, state }, status?.points?.[state] ?? 0);
      }
    },
  });
}
