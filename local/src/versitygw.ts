// The S3 server that tests start. Run as a program it builds it, once, and prints its path.
import { moduleProgram } from './moduleProgram.ts';
import type { ModuleProgram } from './moduleProgram.ts';

export const versitygw: ModuleProgram = {
  name: 'versitygw', module: 'github.com/versity/versitygw', version: 'v1.2.0', package: './cmd/versitygw', takes: 'about two minutes once, then cached',
};

if (import.meta.main) console.log(await moduleProgram(versitygw));
