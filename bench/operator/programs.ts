// The programs that are measured and that keep them company, at exact versions.
import type { ModuleProgram } from '../../local/src/moduleProgram.ts';

export const KWOK: ModuleProgram = { name: 'kwok', module: 'sigs.k8s.io/kwok', version: 'v0.7.0', package: './cmd/kwok', takes: 'about two minutes once, then cached' };
export const TRAINER: ModuleProgram = { name: 'trainer', module: 'github.com/kubeflow/trainer/v2', version: 'v2.3.0', package: './cmd/trainer-controller-manager', takes: 'about two minutes once, then cached' };
export const JOBSET: ModuleProgram = { name: 'jobset', module: 'sigs.k8s.io/jobset', version: 'v0.12.0', package: '.', takes: 'about two minutes once, then cached' };
