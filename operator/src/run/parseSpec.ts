// The third gate after CRD schema and CEL: what is stored may have been let in by an older schema.
import type { z } from 'zod';
import { finetuneSpec } from '../api/finetune.ts';
import { pretrainSpec } from '../api/pretrain.ts';
import type { Run, RunKind, RunSpec } from './observed.ts';

/** The spec with defaults filled in, or the paths and messages of what is wrong with it. */
export function parseSpec(kind: RunKind, spec: unknown): Pick<Run, 'spec' | 'specIssue'> {
  const result = kind === 'PolarPretrain' ? pretrainSpec.safeParse(spec) : finetuneSpec.safeParse(spec);
  if (result.success) return { spec: { kind, spec: result.data } as RunSpec };
  return { specIssue: issueOf(result.error) };
}

/** Where a spec is wrong, and how. */
export function issueOf({ issues }: z.ZodError): string {
  return issues.map((issue) => `${['spec', ...issue.path.map(String)].join('.')}: ${issue.message}`).join('; ');
}
