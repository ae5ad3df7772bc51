// Which claims a run mounts where, and the paths its URIs become inside a worker.
import { PATH_CHECKPOINTS, PATH_DATA, PATH_INIT, PATH_RESUME, PATH_TOKENIZER } from '../api/labels.ts';
import { isBucketUri, parseVolumeUri } from '../api/scalars.ts';
import type { RunSpec, Source } from './observed.ts';

export interface Mount {
  readonly claim: string;
  readonly mountPath: string;
  readonly readOnly: boolean;
}

/** A checkpoint a run starts from; `continues` when with its optimizer and step, not with its weights alone. */
export interface Init {
  readonly uri: string;
  readonly manifestSha256?: string | undefined;
  readonly continues?: boolean | undefined;
}

/** The checkpoint the run starts from; undefined when it starts from random weights or its source has none yet. */
export function initOf(run: RunSpec, source: Source | undefined): Init | undefined {
  if (run.kind === 'PolarFinetune') return run.spec.init.uri === undefined ? source?.checkpoint : { uri: run.spec.init.uri };
  const { resumeFrom, model } = run.spec;
  if (resumeFrom === undefined) return model.init && { uri: model.init.uri };
  if (resumeFrom.uri !== undefined) return { uri: resumeFrom.uri, continues: true };
  return source?.checkpoint && { uri: source.checkpoint.uri, manifestSha256: source.checkpoint.manifestSha256, continues: true };
}

export function tokenizerUri(run: RunSpec): string | undefined {
  return run.kind === 'PolarPretrain' ? run.spec.model.tokenizer.uri : undefined;
}

/** All mounts of a worker, checkpoints first. */
export function mountsOf(run: RunSpec, init: Init | undefined): readonly Mount[] {
  const { pvc } = run.spec.checkpoint.store;
  const reads: readonly (readonly [string | undefined, string])[] = [
    [run.spec.data.uri, PATH_DATA], [init?.uri, init?.continues === true ? PATH_RESUME : PATH_INIT], [tokenizerUri(run), PATH_TOKENIZER],
  ];
  return [
    ...(pvc === undefined ? [] : [{ claim: pvc, mountPath: PATH_CHECKPOINTS, readOnly: false }]),
    ...reads.flatMap(([uri, mountPath]) => (uri === undefined || isBucketUri(uri) ? [] : [{ claim: parseVolumeUri(uri).claim, mountPath, readOnly: true }])),
  ];
}

/** The claims of the mounts, each once, in order. */
export function claimsOf(mounts: readonly Mount[]): readonly string[] {
  return [...new Set(mounts.map((mount) => mount.claim))];
}

/** Path of a pvc:// URI below the mount of its claim; an s3:// URI stays what it is: the trainer downloads it. */
export function pathBelow(mountPath: string, uri: string): string {
  if (isBucketUri(uri)) return uri;
  const { path } = parseVolumeUri(uri);
  return path === '' ? mountPath : `${mountPath}/${path}`;
}
