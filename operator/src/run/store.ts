// Where a run's checkpoints go: a claim, or a bucket with a folder of each pod on the way there. The operator itself makes no request to a bucket.
import { PATH_CHECKPOINTS } from '../api/labels.ts';
import type { RunConfig } from '../api/runConfig.ts';
import { runDirectory } from './naming.ts';
import type { Run, RunSpec } from './observed.ts';

type Fields = Readonly<Record<string, unknown>>;
type Options = RunConfig['checkpoint'];

const CREDENTIALS = [['AWS_ACCESS_KEY_ID', false], ['AWS_SECRET_ACCESS_KEY', false], ['AWS_SESSION_TOKEN', true]] as const;

export const VOLUME_CHECKPOINTS = 'checkpoints';

/** The directory of a run's checkpoints, as status and other runs name it. */
export function directoryUri(run: Run, { spec }: RunSpec): string {
  const { pvc, s3 } = spec.checkpoint.store;
  return s3 === undefined ? `pvc://${pvc ?? ''}/${runDirectory(run)}` : `s3://${s3.bucket}/${prefixOf(run, s3.prefix)}`;
}

/** What the trainer is told of the place of its checkpoints. */
export function placeOf(run: Run, spec: RunSpec): Pick<Options, 'directory' | 'uri' | 's3'> {
  const { s3 } = spec.spec.checkpoint.store;
  return { directory: `${PATH_CHECKPOINTS}/${runDirectory(run)}`, uri: directoryUri(run, spec), ...(s3 === undefined ? {} : { s3: bucketOf(run, s3) }) };
}

export function isInBucket({ spec }: RunSpec): boolean {
  return spec.checkpoint.store.s3 !== undefined;
}

/** Variables with the credentials of the bucket; the kubelet reads the Secret, which the operator may not. */
export function credentialsOf({ spec }: RunSpec): readonly Fields[] {
  const name = spec.checkpoint.store.s3?.credentialsSecretRef?.name;
  if (name === undefined) return [];
  return CREDENTIALS.map(([key, optional]) => ({ name: key, valueFrom: { secretKeyRef: { name, key, ...(optional ? { optional } : {}) } } }));
}

function bucketOf(run: Run, { bucket, prefix, endpoint, region }: NonNullable<RunSpec['spec']['checkpoint']['store']['s3']>): NonNullable<Options['s3']> {
  return { bucket, prefix: prefixOf(run, prefix), ...(endpoint === undefined ? {} : { endpoint }), ...(region === undefined ? {} : { region }) };
}

function prefixOf(run: Run, prefix: string | undefined): string {
  return prefix === undefined ? runDirectory(run) : `${prefix}/${runDirectory(run)}`;
}
