import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ContainerState, Pod } from './objects.ts';
import { initialRecord } from './record.ts';
import { phaseOf, podStatus } from './status.ts';
import type { ContainerRecord, PodFacts } from './status.ts';

const waiting: ContainerState = { waiting: { reason: 'ContainerCreating' } };
const running: ContainerState = { running: { startedAt: '2026-01-01T00:00:00Z' } };
const exited = (exitCode: number): ContainerState => ({ terminated: { exitCode } });
const record = (state: ContainerState, more: Partial<ContainerRecord> = {}): ContainerRecord =>
  ({ name: 'main', image: 'i', state, restartCount: 0, ready: Boolean(state.running), started: Boolean(state.running), ...more });
const aPod = (spec: object = {}, status: object = {}): Pod =>
  ({ metadata: { name: 'p', namespace: 'ns', uid: 'u' }, spec: { containers: [{ name: 'main' }], ...spec }, status });
const facts: PodFacts = { podIP: '127.64.0.1', hostIP: '127.0.0.1', startTime: 't0', now: 't1', sandboxReady: true, stopped: false };

describe('phase', () => {
  const crashed = record({ waiting: { reason: 'CrashLoopBackOff' } }, { lastState: exited(1) });
  const cases: Record<string, { policy: string; main: ContainerRecord[]; init?: ContainerRecord[]; stopped?: boolean; want: string }> = {
    'is Pending before any container ran': { policy: 'Never', main: [record(waiting)], want: 'Pending' },
    'is Running while one runs and one has ended': { policy: 'Never', main: [record(running), record(exited(0))], want: 'Running' },
    'is Succeeded when all exited 0': { policy: 'Never', main: [record(exited(0))], want: 'Succeeded' },
    'is Failed when one failed and none will run again': { policy: 'Never', main: [record(exited(0)), record(exited(3))], want: 'Failed' },
    'stays Running when a failed container will be restarted': { policy: 'OnFailure', main: [record(exited(3))], want: 'Running' },
    'stays Running in a crash loop': { policy: 'Always', main: [crashed], want: 'Running' },
    'never ends under Always by itself': { policy: 'Always', main: [record(exited(0))], want: 'Running' },
    'is final under Always once stopped': { policy: 'Always', main: [record(exited(0))], stopped: true, want: 'Succeeded' },
    'is Failed when stopped before it started': { policy: 'Never', main: [record(waiting)], stopped: true, want: 'Failed' },
    'is Pending while an init container runs': { policy: 'Never', init: [record(running, { name: 'init' })], main: [record(waiting)], want: 'Pending' },
    'is Failed when an init container failed for good': { policy: 'Never', init: [record(exited(1), { name: 'init' })], main: [record(waiting)], want: 'Failed' },
    'stays Pending when an init container will be retried': { policy: 'OnFailure', init: [record(exited(1), { name: 'init' })], main: [record(waiting)], want: 'Pending' },
  };
  for (const [sentence, { policy, main, init = [], stopped = false, want }] of Object.entries(cases)) {
    it(sentence, () => { assert.equal(phaseOf(aPod({ restartPolicy: policy }), init, main, stopped), want); });
  }

  it('does not wait for a sidecar to end', () => {
    const pod = aPod({ restartPolicy: 'Never', initContainers: [{ name: 'side', restartPolicy: 'Always' }] });
    assert.equal(phaseOf(pod, [record(running, { name: 'side' })], [record(exited(0))], false), 'Succeeded');
  });
});

describe('status', () => {
  const conditionOf = (status: ReturnType<typeof podStatus>, type: string) => status.conditions?.find((one) => one.type === type);

  it('names the containers that are not ready', () => {
    const status = podStatus(aPod(), [], [record(waiting)], facts);
    assert.equal(conditionOf(status, 'Ready')?.status, 'False');
    assert.equal(conditionOf(status, 'Ready')?.message, 'containers with unready status: [main]');
  });

  it('keeps the transition time of a condition that did not change', () => {
    const pod = aPod({}, { conditions: [{ type: 'Ready', status: 'False', lastTransitionTime: 'before' }, { type: 'Initialized', status: 'False', lastTransitionTime: 'before' }] });
    const status = podStatus(pod, [], [record(waiting)], facts);
    assert.equal(conditionOf(status, 'Ready')?.lastTransitionTime, 'before');
    assert.equal(conditionOf(status, 'Initialized')?.lastTransitionTime, 't1');
  });

  it('says nothing about conditions of others, so that a merge keeps them', () => {
    const pod = aPod({}, { conditions: [{ type: 'DisruptionTarget', status: 'True' }] });
    assert.equal(conditionOf(podStatus(pod, [], [record(exited(137))], facts), 'DisruptionTarget'), undefined);
  });
});

describe('the record a new agent starts from', () => {
  const container = { name: 'main', image: 'i' };
  const status = (state: ContainerState, more: object = {}) => ({ name: 'main', image: 'i', imageID: '', ready: true, restartCount: 2, state, ...more });

  it('counts a container last seen running as killed', () => {
    const found = initialRecord(container, status(running), 'ContainerCreating', 'now');
    assert.deepEqual([found.state.terminated?.exitCode, found.restartCount, found.ready], [137, 2, false]);
  });

  it('keeps a container that had ended as it ended', () => {
    assert.equal(initialRecord(container, status(exited(0)), 'ContainerCreating', 'now').state.terminated?.exitCode, 0);
  });

  it('takes up a crash loop where it was', () => {
    const found = initialRecord(container, status(waiting, { lastState: exited(4) }), 'ContainerCreating', 'now');
    assert.deepEqual([found.state.terminated?.exitCode, found.restartCount], [4, 2]);
  });

  it('waits when nothing was ever run', () => {
    assert.deepEqual(initialRecord(container, undefined, 'PodInitializing', 'now').state, { waiting: { reason: 'PodInitializing' } });
  });
});
