// Which claims a run mounts where, and the paths its URIs become inside a worker.
import { PATH_CHECKPOINTS, PATH_DATA, PATH_INIT, PATH_RESUME, PATH_TOKENIZER } from '../api/labels.ts';
import { parseVolumeUri } from '../api/scalars.ts';
import type { RunSpec, Source } from './observed.ts';

export interface Mount {
  readonly claim: string;
  readonly mountPath: string;
  readonly readOnly: boolean;
}

export interface Init {
  readonly uri: string;
  readonly manifestSha256?: string | undefined;
}

/** The checkpoint the run starts from; undefined when it starts from random weights or its source has none yet. */
export function initOf(run: RunSpec, source: Source | undefined): Init | undefined {
  if (run.kind === 'PolarPretrain') return run.spec.model.init && { uri: run.spec.model.init.uri };
  return run.spec.init.uri === undefined ? source?.checkpoint : { uri: run.spec.init.uri };
}

export function tokenizerUri(run: RunSpec): string | undefined {
  return run.kind === 'PolarPretrain' ? run.spec.model.tokenizer.uri : undefined;
}

/** The checkpoint of another run that is continued. */
export function resumeUri(run: RunSpec): string | undefined {
  return run.kind === 'PolarPretrain' ? run.spec.resumeFrom?.uri : undefined;
}

/** All mounts of a worker, checkpoints first. */
export function mountsOf(run: RunSpec, init: Init | undefined): readonly Mount[] {
  const reads: readonly (readonly [string | undefined, string])[] = [
    [run.spec.data.uri, PATH_DATA], [init?.uri, PATH_INIT], [resumeUri(run), PATH_RESUME], [tokenizerUri(run), PATH_TOKENIZER],
  ];
  return [
    { claim: run.spec.checkpoint.store.pvc, mountPath: PATH_CHECKPOINTS, readOnly: false },
    ...reads.flatMap(([uri, mountPath]) => (uri === undefined ? [] : [{ claim: parseVolumeUri(uri).claim, mountPath, readOnly: true }])),
  ];
}

/** The claims of the mounts, each once, in order. */
export function claimsOf(mounts: readonly Mount[]): readonly string[] {
  return [...new Set(mounts.map((mount) => mount.claim))];
}

/** Path of a pvc:// URI below the mount of its claim. */
export function pathBelow(mountPath: string, uri: string): string {
  const { path } = parseVolumeUri(uri);
  return path === '' ? mountPath : `${mountPath}/${path}`;
}
