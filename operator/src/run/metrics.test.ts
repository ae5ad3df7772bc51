import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import type { RunStatus } from '../api/status.ts';
import type { StoredRun } from './caches.ts';
import { runMetrics } from './metrics.ts';

const NOW = Date.parse('2026-05-01T12:00:00Z');
const ago = (seconds: number): string => new Date(NOW - seconds * 1000).toISOString();
const run = (name: string, status: RunStatus = {}, createdAgo = 100): StoredRun => ({ metadata: { name, namespace: 'team', creationTimestamp: ago(createdAgo) }, status });
const condition = (type: string, status: 'True' | 'False', since = 0) => ({ type, status, reason: 'R', message: '', lastTransitionTime: ago(since) }) as const;

interface Shown { runs: StoredRun[]; leads: boolean; page: () => Promise<string[]> }

function shown(runs: StoredRun[], maxSeries = 1000): Shown {
  const registry = new Registry();
  const made: Shown = { runs, leads: true, page: async () => (await registry.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#')) };
  runMetrics({ registry, maxSeries, now: () => NOW, isLeading: () => made.leads, runsOf: (kind) => (kind === 'PolarPretrain' ? made.runs : []) });
  return made;
}

const OF_DEMO = 'namespace="team",name="demo",kind="PolarPretrain"';

test('shows what a status says, and nothing for what it does not say', async () => {
  const { page } = shown([run('demo', {
    phase: 'Running', attempt: 3, effectiveTrainingTime: '0.97', idleSeconds: 40, idleSince: ago(20), conditions: [condition('Admitted', 'False', 20)],
    restartsByReason: [{ reason: 'Crashed', count: 2 }], progress: { step: 500, valLoss: '0.41', tokensPerSecond: '12345.6', mfu: 'NaN', lostSteps: 70, lastReportTime: ago(3) },
    checkpoints: { latest: { step: 400, uri: 'pvc://x/y', completedTime: ago(120) } },
  })]);
  const lines = await page();
  for (const line of [
    `polar_run_step{${OF_DEMO}} 500`, `polar_run_val_loss{${OF_DEMO}} 0.41`, `polar_run_tokens_per_second{${OF_DEMO}} 12345.6`, `polar_run_lost_steps{${OF_DEMO}} 70`,
    `polar_run_effective_training_time_ratio{${OF_DEMO}} 0.97`, `polar_run_restarts_total{${OF_DEMO},reason="Crashed"} 2`, `polar_run_checkpoint_age_seconds{${OF_DEMO}} 120`,
    `polar_run_report_age_seconds{${OF_DEMO}} 3`, `polar_run_queue_wait_seconds{${OF_DEMO}} 20`, `polar_run_idle_seconds{${OF_DEMO}} 60`, 'polar_runs{kind="PolarPretrain",phase="Running"} 1',
  ]) assert.ok(lines.includes(line), `${line} in\n${lines.join('\n')}`);
  assert.ok(!lines.some((line) => /mfu|train_loss/.test(line)));
});

test('forgets a run that is gone, and one that has been over for an hour', async () => {
  const over = (seconds: number): RunStatus => ({ phase: 'Complete', completionTime: ago(seconds), conditions: [condition('Complete', 'True')], progress: { step: 1 } });
  const page = shown([run('gone', { progress: { step: 1 } }), run('just', over(3599)), run('long', over(3601))]);
  assert.deepEqual((await page.page()).filter((line) => line.startsWith('polar_run_step')).map((line) => /name="(\w+)"/.exec(line)?.[1]), ['gone', 'just']);
  page.runs.shift();
  const lines = await page.page();
  assert.ok(!lines.some((line) => line.includes('gone') || line.includes('long')));
  assert.ok(lines.includes('polar_runs{kind="PolarPretrain",phase="Complete"} 2') && lines.includes('polar_runs_without_series{why="over"} 1'));
});

test('gives no more runs than allowed series of their own, the oldest first, and says how many it left out', async () => {
  const { page } = shown(Array.from({ length: 5000 }, (_, index) => run(`r${index}`, { phase: 'Running', progress: { step: index } }, index)), 1000);
  const lines = await page();
  const steps = lines.filter((line) => line.startsWith('polar_run_step{'));
  assert.equal(steps.length, 1000);
  assert.ok(steps.every((line) => Number(line.split(' ')[1]) >= 4000));
  assert.ok(lines.includes('polar_runs_without_series{why="limit"} 4000') && lines.includes('polar_runs{kind="PolarPretrain",phase="Running"} 5000'));
});

test('tells nothing of runs where it does not lead, so that two replicas do not count twice', async () => {
  const page = shown([run('demo', { phase: 'Running', progress: { step: 1 } })]);
  page.leads = false;
  assert.deepEqual(await page.page(), []);
});

test('escapes what a label may hold', async () => {
  const { page } = shown([run('demo', { restartsByReason: [{ reason: 'a"b\\c\nd', count: 1 }] })]);
  assert.ok((await page()).includes(`polar_run_restarts_total{${OF_DEMO},reason="a\\"b\\\\c\\nd"} 1`));
});
