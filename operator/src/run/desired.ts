// What an attempt consists of. Pure: the same attempt always gives the same objects.
import type { Admission } from './admission.ts';
import { desiredConfigMap } from './configMap.ts';
import { desiredJob } from './job.ts';
import type { Init } from './mounts.ts';
import type { ConfigMap, Job, Service } from './objects.ts';
import type { Run, RunSpec, Settings } from './observed.ts';
import { desiredPodGroup } from './podGroup.ts';
import type { PodGroup } from './podGroup.ts';
import { desiredService } from './service.ts';

/** One attempt of a run that can be started: its spec parsed and its starting checkpoint known. */
export interface Attempt {
  readonly run: Run;
  readonly spec: RunSpec;
  readonly attempt: number;
  readonly init: Init | undefined;
  readonly settings: Settings;
  /** What Kueue's admission adds to the pods. */
  readonly admission?: Admission | undefined;
}

export interface Children {
  readonly configMap: ConfigMap;
  readonly service: Service;
  readonly podGroup: PodGroup | undefined;
  readonly job: Job;
}

export function desiredChildren(of: Attempt): Children {
  return { configMap: desiredConfigMap(of), service: desiredService(of), podGroup: desiredPodGroup(of), job: desiredJob(of) };
}
