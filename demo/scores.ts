// Scores held-out ranked triplets with a checkpoint, in a Job on the cluster as any user would.
import type { Kubectl } from './kubectl.ts';
import { parseVolumeUri } from '../operator/src/api/scalars.ts';

export interface Scored {
  readonly prompt: string;
  readonly reference: string;
  readonly candidates: readonly { readonly text: string; readonly score: number }[];
}

const JOB = 'score-triples';
const TIMEOUT = '--timeout=120s';

/** The Job that scores `count` rows of a preference file with the checkpoint at `uri`. */
export function scoreJob(uri: string, dataUri: string, count: number): object {
  const checkpoint = parseVolumeUri(uri);
  const data = parseVolumeUri(dataUri);
  return {
    apiVersion: 'batch/v1', kind: 'Job', metadata: { name: JOB },
    spec: {
      backoffLimit: 0,
      template: { spec: {
        restartPolicy: 'Never',
        containers: [{
          name: 'score', image: 'polar.training/trainer:dev',
          command: ['python', '-m', 'polar.score', '--checkpoint', `/checkpoints/${checkpoint.path}`, '--jsonl', `/data/${data.path}`, '--limit', String(count)],
          volumeMounts: [{ name: 'checkpoints', mountPath: '/checkpoints', readOnly: true }, { name: 'data', mountPath: '/data', readOnly: true }],
        }],
        volumes: [
          { name: 'checkpoints', persistentVolumeClaim: { claimName: checkpoint.claim, readOnly: true } },
          { name: 'data', persistentVolumeClaim: { claimName: data.claim, readOnly: true } },
        ],
      } },
    },
  };
}

/** Runs the scoring Job and returns its rows. Rejects with the Job's log when it fails. */
export async function scoreTriples(kubectl: Kubectl, uri: string, dataUri: string, count: number): Promise<Scored[]> {
  await kubectl.run(['delete', 'job', JOB, '--ignore-not-found', '--wait']);
  await kubectl.run(['create', '-f', '-'], JSON.stringify(scoreJob(uri, dataUri, count)));
  await kubectl.run(['wait', `job/${JOB}`, '--for=condition=Complete', TIMEOUT]).catch(async (error: unknown) => {
    throw new Error(`scoring failed: ${String(error)}\n${await kubectl.run(['logs', `job/${JOB}`]).catch(() => '(no log)')}`);
  });
  const log = await kubectl.run(['logs', `job/${JOB}`]);
  return log.split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Scored);
}
