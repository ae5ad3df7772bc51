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

interface Row { readonly prompt: string; readonly reference: string; readonly candidates: readonly string[] }

/** The Job that prints a file of {prompt, reference, candidates} rows and then their scores by the checkpoint at `uri`. */
export function scoreJob(uri: string, dataUri: string): object {
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
          command: ['sh', '-c', 'zcat "$ROWS" && zcat "$ROWS" | python -m polar.score --checkpoint "$CHECKPOINT" --jsonl -'],
          env: [{ name: 'ROWS', value: `/data/${data.path}` }, { name: 'CHECKPOINT', value: `/checkpoints/${checkpoint.path}` }],
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
export async function scoreTriples(kubectl: Kubectl, uri: string, dataUri: string): Promise<Scored[]> {
  await kubectl.run(['delete', 'job', JOB, '--ignore-not-found', '--wait']);
  await kubectl.run(['create', '-f', '-'], JSON.stringify(scoreJob(uri, dataUri)));
  await kubectl.run(['wait', `job/${JOB}`, '--for=condition=Complete', TIMEOUT]).catch(async (error: unknown) => {
    throw new Error(`scoring failed: ${String(error)}\n${await kubectl.run(['logs', `job/${JOB}`]).catch(() => '(no log)')}`);
  });
  const lines = (await kubectl.run(['logs', `job/${JOB}`])).split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as object);
  const rows = lines.filter((line): line is Row => 'prompt' in line);
  const scores = lines.filter((line): line is { scores: number[] } => 'scores' in line).map((line) => line.scores);
  if (rows.length !== scores.length) throw new Error(`expected one line of scores per row, got ${String(scores.length)} for ${String(rows.length)} rows`);
  return rows.map(({ prompt, reference, candidates }, row) => ({ prompt, reference, candidates: candidates.map((text, at) => ({ text, score: scores[row]?.[at] ?? NaN })) }));
}
