// What an attempt consists of. Pure: the same attempt always gives the same objects.
import { desiredConfigMap } from './configMap.ts';
import { desiredJob } from './job.ts';
import type { Init } from './mounts.ts';
import type { ConfigMap, Job, Service } from './objects.ts';
import type { Run, RunSpec, Settings } from './observed.ts';
import { desiredService } from './service.ts';

/** One attempt of a run that can be started: its spec parsed and its starting checkpoint known. */
export interface Attempt {
  readonly run: Run;
  readonly spec: RunSpec;
  readonly attempt: number;
  readonly init: Init | undefined;
  readonly settings: Settings;
}

export interface Children {
  readonly configMap: ConfigMap;
  readonly service: Service;
  readonly job: Job;
}

export function desiredChildren(of: Attempt): Children {
  return { configMap: desiredConfigMap(of), service: desiredService(of), job: desiredJob(of) };
}
