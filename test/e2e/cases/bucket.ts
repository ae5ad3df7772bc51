import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { BUCKET, KEYS, startBucket } from '../bucket.ts';
import type { Bucket } from '../bucket.ts';
import { finetune, pretrain } from '../manifests.ts';
import { messageOf } from '../objects.ts';
import type { World } from '../world.ts';

export const bucketCases = (world: () => World): void => {
  let bucket: Bucket | undefined;
  const there = (): Bucket => bucket ?? assert.fail('the S3 server did not start');
  const store = (secret = 's3-keys'): object => ({ pvc: undefined, s3: { bucket: BUCKET, prefix: 'team', endpoint: there().endpoint, credentialsSecretRef: { name: secret } } });

  before(async () => {
    bucket = await startBucket();
    await world().apply({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 's3-keys' }, stringData: KEYS });
  }, { timeout: 300_000 });
  after(() => { bucket?.stop(); });

  test('a gang trains into a bucket, a fine-tune starts from there, and deletion empties it', async () => {
    const w = world();
    const checkpoint = { store: store(), deletionPolicy: 'Delete' };
    await w.apply(pretrain('stored', { checkpoint, workers: { replicas: 2 }, budget: { steps: 20 } }));
    const { metadata, status } = await w.untilComplete('stored');
    const directory = `team/${w.namespace}/polarpretrain/stored-${metadata.uid.slice(0, 8)}`;
    assert.equal(status?.checkpointDirectoryUri, `s3://${BUCKET}/${directory}`);
    const { uri = '', manifestSha256 } = status.checkpoints?.latest ?? {};
    assert.equal(uri, `s3://${BUCKET}/${directory}/step-00000020`);
    const manifest = there().read(`${directory}/step-00000020/manifest.json`);
    assert.equal(createHash('sha256').update(manifest).digest('hex'), manifestSha256, 'what status says is what the bucket has');

    await w.apply(finetune('stored-tuned', { uri }, { checkpoint: { store: store() }, budget: { steps: 5 } }));
    await w.untilComplete('stored-tuned');
    await w.kubectl('delete', 'polarfinetune', 'stored-tuned', '--timeout=60s');
    await w.kubectl('delete', 'polarpretrain', 'stored', '--timeout=120s');
    assert.deepEqual(there().keys().filter((key) => key.startsWith(directory)), []);
    assert.ok(there().keys().some((key) => key.includes('/stored-tuned-')), 'checkpoints of a run that retains them stay');
  });

  test('a missing Secret and a wrong key are told in words that say what to do', async () => {
    const w = world();
    await w.apply({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 's3-wrong' }, stringData: { ...KEYS, AWS_SECRET_ACCESS_KEY: 'wrong' } });
    await w.apply(pretrain('keyless', { checkpoint: { store: store('absent') } }), pretrain('wrong-key', { checkpoint: { store: store('s3-wrong') } }));
    const keyless = await w.untilCondition('keyless', 'Stalled', { reason: 'ContainerStartFailed', timeoutSeconds: 60 });
    assert.match(messageOf(keyless, 'Stalled'), /CreateContainerConfigError: .*"absent"/);
    const wrong = await w.untilCondition('wrong-key', 'Failed', { reason: 'ConfigInvalid', timeoutSeconds: 90 });
    assert.match(messageOf(wrong, 'Failed'), /SignatureDoesNotMatch.*Check key, secret and session token/);
    await w.kubectl('delete', 'polarpretrain', 'keyless', 'wrong-key', '--timeout=60s');
  });

  test('a run on a volume may not start from a bucket', async () => {
    const w = world();
    await w.apply(pretrain('elsewhere', { model: { init: { uri: `s3://${BUCKET}/team/step-00000020` }, architecture: undefined, tokenizer: undefined } }));
    const run = await w.untilCondition('elsewhere', 'Accepted', { status: 'False', reason: 'StoreNotSupported', timeoutSeconds: 20 });
    assert.match(messageOf(run, 'Accepted'), /only runs with a store s3 can read/);
    await w.kubectl('delete', 'polarpretrain', 'elsewhere', '--timeout=60s');
  });
};
