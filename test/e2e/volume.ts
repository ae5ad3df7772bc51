// The files of a volume as they lie on this machine.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { World } from './world.ts';

interface Volume { readonly spec: { readonly hostPath: { readonly path: string } } }
export interface Point { readonly step: number; readonly train_loss?: number; readonly val_loss?: number; readonly val_accuracy?: number }

/** Folder of a bound claim. */
export const volumePath = async (world: World, claimName: string): Promise<string> => {
  const name = await world.kubectl('get', 'pvc', claimName, '-o', 'jsonpath={.spec.volumeName}');
  return (await world.get<Volume>('pv', name)).spec.hostPath.path;
};

/** Path of a pvc:// address. */
export const pathOf = async (world: World, uri: string): Promise<string> => {
  const [, claimName = '', path = ''] = /^pvc:\/\/([^/]+)\/(.*)$/.exec(uri) ?? [];
  return join(await volumePath(world, claimName), path);
};

export const sha256 = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex');

/** The points that the trainer wrote beside its checkpoints, line by line. */
export const metricsOf = async (world: World, name: string): Promise<readonly Point[]> => {
  const directory = world.run(name)?.status?.checkpointDirectoryUri ?? '';
  const lines = readFileSync(join(await pathOf(world, directory), 'metrics.jsonl'), 'utf8').trim().split('\n');
  return lines.map((line) => JSON.parse(line) as Point);
};
