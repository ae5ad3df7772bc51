import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { DATA, RUNS, claim, finetune, pretrain } from '../manifests.ts';
import { conditionOf, messageOf } from '../objects.ts';
import { volumePath } from '../volume.ts';
import type { World } from '../world.ts';

const row = (prompt: number, policy: number, sample: number): string =>
  JSON.stringify({ prompt_id: `p${prompt}`, prompt: `prompt ${prompt}`, policy: `policy-${policy}`, output: `text ${sample} of ${policy}` });
const rows = (prompts: number): string[] => Array.from({ length: prompts * 6 }, (_, i) => row(Math.floor(i / 6), i % 3, i % 2));

/** Data a user could have made, one file or folder for each way in which it is bad. */
const writeBadData = (volume: string): void => {
  const folder = join(volume, 'bad');
  mkdirSync(join(folder, 'no-data'), { recursive: true });
  writeFileSync(join(folder, 'no-data', 'notes.txt'), 'nothing to train on');
  writeFileSync(join(folder, 'plain.jsonl.gz'), rows(20).join('\n'));
  writeFileSync(join(folder, 'cut.jsonl.gz'), gzipSync(rows(200).join('\n')).subarray(0, 300));
  writeFileSync(join(folder, 'malformed.jsonl'), [...rows(5).slice(0, 6), '{"prompt": "p", "policy": 7, "output": "x"}', ...rows(5).slice(6)].join('\n'));
  writeFileSync(join(folder, 'one-prompt.jsonl'), rows(1).join('\n'));
};

interface Bad { readonly name: string; readonly says: string; readonly path: string; readonly message: RegExp }
const BAD_DATA: readonly Bad[] = [
  { name: 'no-file', says: 'a missing data file', path: 'bad/absent.jsonl.gz', message: /\/bad\/absent\.jsonl\.gz: no such file or folder/ },
  { name: 'no-data', says: 'a folder without data files', path: 'bad/no-data', message: /expected at least one file ending in .*the folder has none/ },
  { name: 'not-gzip', says: 'a file that is not what its name says', path: 'bad/plain.jsonl.gz', message: /plain\.jsonl\.gz: .*(gzip|read)/i },
  { name: 'cut-gzip', says: 'a file that ends too early', path: 'bad/cut.jsonl.gz', message: /cut\.jsonl\.gz: damaged gzip file/ },
  { name: 'bad-row', says: 'a malformed row', path: 'bad/malformed.jsonl', message: /malformed\.jsonl:7: policy: expected a string/ },
  { name: 'no-split', says: 'a split without prompts', path: 'bad/one-prompt.jsonl', message: /prompt/ },
];

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

const sorted = (value: unknown): unknown => {
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, part]) => [key, sorted(part)]));
};

/** A copy of a checkpoint with weights that are not numbers and hashes that fit: what a run that diverged could have left. */
const writeDivergedCheckpoint = (from: string, to: string): void => {
  cpSync(from, to, { recursive: true });
  const file = join(to, 'model.safetensors');
  const bytes = readFileSync(file);
  const header = 8 + Number(bytes.readBigUInt64LE(0));
  for (let at = header; at + 4 <= bytes.length; at += 4) bytes.writeFloatLE(NaN, at);
  writeFileSync(file, bytes);
  const manifest = JSON.parse(readFileSync(join(to, 'manifest.json'), 'utf8')) as { files: object };
  const files = { ...manifest.files, 'model.safetensors': { size: bytes.length, sha256: sha256(bytes) } };
  const changed = { ...manifest, valLoss: null, files, selfHash: undefined };
  writeFileSync(join(to, 'manifest.json'), JSON.stringify({ ...changed, selfHash: sha256(Buffer.from(JSON.stringify(sorted(changed)))) }));
};

export const badInputCases = (world: () => World): void => {
  describe('beside a healthy run, bad input becomes a condition within seconds', { concurrency: 3 }, () => {
    before(async () => {
      const w = world();
      writeBadData(await volumePath(w, DATA));
      await w.apply(pretrain('healthy', { budget: { steps: 100 } }), claim('small', { size: '1Mi', isLimited: true }));
      await w.untilStep('healthy', 1);
    });

    for (const { name, says, path, message } of BAD_DATA) {
      test(says, async () => {
        const w = world();
        await w.apply(pretrain(name, { data: { uri: `pvc://${DATA}/${path}` } }));
        const run = await w.untilCondition(name, 'Failed', { reason: 'DataInvalid', timeoutSeconds: 90 });
        assert.match(messageOf(run, 'Failed'), message);
        assert.equal(run.status?.attempt, 1, 'it is not tried again');
      });
    }

    test('a fine-tune of a pre-train that failed', async () => {
      const w = world();
      await w.untilCondition('no-file', 'Failed', { timeoutSeconds: 90 });
      await w.apply(finetune('orphan', { pretrainRef: { name: 'no-file' } }));
      const run = await w.untilCondition('orphan', 'Accepted', { status: 'False', reason: 'PretrainFailed', timeoutSeconds: 20 });
      assert.match(messageOf(run, 'Accepted'), /PolarPretrain "no-file" failed: .*absent\.jsonl\.gz/);
    });

    test('a full disk', async () => {
      const w = world();
      await w.apply(pretrain('crowded', { checkpoint: { store: { pvc: 'small' } } }));
      const run = await w.untilCondition('crowded', 'Failed', { reason: 'StorageFull', timeoutSeconds: 90 });
      assert.match(messageOf(run, 'Failed'), /no space left|No space left/);
      assert.equal(run.status?.attempt, 1, 'it is not tried again');
    });

    test('a loss that is not a number', async () => {
      const w = world();
      const { checkpoints, checkpointDirectoryUri = '' } = (await w.untilComplete('base', 10)).status ?? {};
      const runs = await volumePath(w, RUNS);
      const good = (checkpoints?.best?.uri ?? checkpointDirectoryUri).replace(`pvc://${RUNS}/`, '');
      writeDivergedCheckpoint(join(runs, good), join(runs, 'diverged', 'step-00000010'));
      await w.apply(finetune('diverged', { uri: `pvc://${RUNS}/diverged/step-00000010` }));
      const run = await w.untilCondition('diverged', 'Failed', { timeoutSeconds: 90 });
      const { reason, message = '' } = conditionOf(run, 'Failed') ?? {};
      assert.equal(reason, 'NonFiniteLoss', message);
      assert.match(message, /step 1: .*not finite/);
    });

    after(async () => {
      const { status } = await world().untilComplete('healthy');
      assert.deepEqual([status?.attempt, status?.restarts], [1, 0], 'attempt and restarts of the healthy run');
    });
  });
};
