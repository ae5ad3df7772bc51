// A row of a corpus and its columns. The trainer reads prompt, policy, output, prompt_id and wrapper; the rest is provenance.
import { shortHash } from './chance.ts';
import type { Column } from './parquet.ts';
import type { Split } from './plan.ts';
import type { Message } from './prompts.ts';

export interface Row {
  readonly prompt: string;
  readonly promptId: string;
  readonly policy: string;
  readonly output: string;
  readonly wrapper: 'pretrain' | 'sft';
  readonly split: Split | null;
  /** Number of the prompt in the corpus. */
  readonly prefix: number | null;
  readonly sample: number | null;
  readonly finishReason: string | null;
  readonly truncated: string | null;
  readonly cut: number | null;
  readonly tokensIn: number | null;
  readonly tokensOut: number | null;
  readonly endpointModel: string | null;
  readonly seed: number | null;
  readonly time: Date | null;
  /** What was asked when it was more than one user message. */
  readonly messages: readonly Message[] | undefined;
  /** file:line of a row that was imported. */
  readonly source: string | null;
}

export const COLUMNS: readonly Column<Row>[] = [
  { name: 'prompt', type: 'STRING', nullable: false, of: (row) => row.prompt },
  { name: 'prompt_id', type: 'STRING', nullable: false, of: (row) => row.promptId },
  { name: 'policy', type: 'STRING', nullable: false, of: (row) => row.policy },
  { name: 'output', type: 'STRING', nullable: false, of: (row) => row.output },
  { name: 'wrapper', type: 'STRING', nullable: false, of: (row) => row.wrapper },
  { name: 'split', type: 'STRING', nullable: true, of: (row) => row.split },
  { name: 'prefix', type: 'INT64', nullable: true, of: (row) => (row.prefix === null ? null : BigInt(row.prefix)) },
  { name: 'sample', type: 'INT32', nullable: true, of: (row) => row.sample },
  { name: 'finish_reason', type: 'STRING', nullable: true, of: (row) => row.finishReason },
  { name: 'truncated', type: 'STRING', nullable: true, of: (row) => row.truncated },
  { name: 'cut', type: 'INT32', nullable: true, of: (row) => row.cut },
  { name: 'tokens_in', type: 'INT32', nullable: true, of: (row) => row.tokensIn },
  { name: 'tokens_out', type: 'INT32', nullable: true, of: (row) => row.tokensOut },
  { name: 'endpoint_model', type: 'STRING', nullable: true, of: (row) => row.endpointModel },
  { name: 'seed', type: 'INT64', nullable: true, of: (row) => (row.seed === null ? null : BigInt(row.seed)) },
  { name: 'time', type: 'TIMESTAMP', nullable: true, of: (row) => row.time },
  { name: 'messages', type: 'STRING', nullable: true, of: (row) => (row.messages === undefined ? null : JSON.stringify(row.messages)) },
  { name: 'source', type: 'STRING', nullable: true, of: (row) => row.source },
];

/** The id of a prompt by its text, for rows that bring none. */
export const promptIdOf = (prompt: string): string => shortHash(prompt, 12);
