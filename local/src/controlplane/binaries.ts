// Finds the control plane's programs: KUBEBUILDER_ASSETS first, else built once from local/tools and cached.
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { binaryDirectory } from '../paths.ts';
import { buildProgram, isBuilt } from './build.ts';
import type { ProgramName } from './build.ts';

const isExecutable = (file: string): boolean => {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

const fromAssets = (name: string): string | undefined => {
  const assets = process.env['KUBEBUILDER_ASSETS'];
  if (assets === undefined || assets === '') return undefined;
  const file = join(assets, name);
  return isExecutable(file) ? file : undefined;
};

/** Paths of the named programs by name; builds those that are missing, one after the other. */
export const locateBinaries = async (names: readonly ProgramName[]): Promise<Map<string, string>> => {
  const found = new Map<string, string>();
  for (const name of new Set(names)) {
    const asset = fromAssets(name);
    if (asset === undefined && !isBuilt(name)) await buildProgram(name);
    found.set(name, asset ?? join(binaryDirectory, name));
  }
  return found;
};
