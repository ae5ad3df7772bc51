import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configFrom, usage } from './config.ts';

test('takes the environment of a pod, and a flag over it', () => {
  const config = configFrom(['--namespace', 'mine'], { POD_NAMESPACE: 'theirs', POD_IP: '10.0.0.7' });
  assert.deepEqual([config?.namespace, config?.['bind-address'], config?.ingestAddress], ['mine', '10.0.0.7', 'polar-ingest.mine.svc:9443']);
  assert.ok(Object.isFrozen(config));
});

test('turns reports off on request', () => {
  assert.equal(configFrom(['--ingest-address', 'none'], {})?.ingestAddress, undefined);
});

test('names the option, what was expected and what was got', () => {
  assert.throws(() => configFrom(['--workers', '0'], {}), /--workers: .*>=1, got "0"/);
  assert.throws(() => configFrom([], { POLAR_INGEST_PORT: 'x' }), /--ingest-port: .*expected number.*got "x"/);
  assert.throws(() => configFrom(['--colour', 'red'], {}), /--colour/);
});

test('explains every option and its environment variable', () => {
  assert.equal(configFrom(['--help'], {}), undefined);
  for (const word of ['--trainer-image', 'POLAR_TRAINER_IMAGE', '--help']) assert.ok(usage().includes(word));
});

test('is the same replica after a restart of its container, and another one in every other process', () => {
  const identity = (env: NodeJS.ProcessEnv): string | undefined => configFrom([], env)?.identity;
  assert.equal(identity({ POD_NAME: 'polar-a', POD_UID: 'u1' }), 'polar-a_u1');
  assert.notEqual(identity({ POD_NAME: 'polar-a' }), identity({ POD_NAME: 'polar-a' }));
});

test('refuses durations with which two replicas could lead, or one never for long', () => {
  assert.deepEqual(configFrom([], {})?.election, { leaseDurationMs: 15_000, renewDeadlineMs: 10_000, retryPeriodMs: 2000 });
  assert.equal(configFrom(['--leader-elect=false'], {})?.['leader-elect'], false);
  assert.throws(() => configFrom(['--leader-elect-lease-duration', '10'], {}), /--leader-elect-lease-duration: expected more than --leader-elect-renew-deadline \(10\), got 10/);
  assert.throws(() => configFrom([], { POLAR_RENEW_DEADLINE: '2' }), /--leader-elect-renew-deadline: expected more than 1.2 times/);
  assert.throws(() => configFrom(['--leader-elect', 'maybe'], {}), /--leader-elect: .*got "maybe"/);
});
