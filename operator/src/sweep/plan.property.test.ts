// Sweeps in a small world of their own: runs end, fail or are slow in any order, and the operator dies between any two writes.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ANNOTATION_POINT, ANNOTATION_RETRY, ANNOTATION_STOPPED } from '../api/labels.ts';
import { SIZES as PRESETS, parametersWithoutEmbedding } from '../api/sizes.ts';
import { sweepSpec } from '../api/sweep.ts';
import type { SweepSpec } from '../api/sweep.ts';
import type { Action } from '../runtime/apply.ts';
import { gridOf } from './grid.ts';
import type { Observed, SweepRun } from './observed.ts';
import { planSweep } from './plan.ts';
import type { Plan } from './plan.ts';
import type { Point, RunRecord } from './point.ts';
import { recordKey, recordsIn, writesOf } from './records.ts';
import { situationOf } from './situation.ts';

type Run = { -readonly [F in keyof SweepRun]: SweepRun[F] };
interface Patch { metadata: { uid: string; annotations?: Record<string, string> }; spec: { suspend?: boolean; budget?: { steps?: number; tokens?: string } } }

const SIZES = ['300K', '1M', '3M'] as const;
const N = Object.fromEntries(SIZES.map((size) => [size, parametersWithoutEmbedding(PRESETS[size])]));

/** Tokens of a budget in steps, in this world. */
const PER_STEP = 64 * 50;

class World {
  readonly runs = new Map<string, Run>();
  readonly shards = new Map<string, Record<string, string>>();
  readonly made: string[] = [];
  spec: SweepSpec;
  now = Date.parse('2026-01-01T00:00:00Z');
  status: Observed['sweep']['status'] = {};

  constructor(spec: SweepSpec) {
    this.spec = spec;
  }

  get records(): readonly RunRecord[] {
    return [...this.shards.values()].flatMap((data) => recordsIn(data));
  }

  seen(): Observed {
    const shards = [...this.shards].map(([name, data], index) => ({ index, name, uid: name, resourceVersion: '1', bytes: JSON.stringify(data).length }));
    const runs = [...this.runs.values()].map((run) => ({ ...run, final: run.status }));
    const metadata = { namespace: 'ns', name: 'sweep', uid: 'sweep-uid' };
    return { now: new Date(this.now).toISOString(), sweep: { metadata, status: this.status, spec: this.spec }, grid: gridOf(this.spec), runs, shards, records: this.records };
  }

  plan(): Plan {
    return planSweep(situationOf(this.seen(), this.spec), 'none');
  }

  /** Does at most so many writes of a plan, in their order; then the operator is dead. */
  perform(plan: Plan, writes: number): void {
    const { seen, newRecords } = plan.situation;
    const steps = [
      ...writesOf(seen.sweep, seen.shards, newRecords).map(({ object: { metadata, data } }) => () => void this.shards.set(metadata.name, { ...this.shards.get(metadata.name), ...data })),
      ...plan.actions.map((action) => () => this.#act(action)),
      ...plan.starts.map(({ object }) => () => this.#create(object)),
    ];
    for (const step of steps.slice(0, writes)) step();
  }

  #act(action: Action): void {
    if (action.do === 'delete') this.runs.delete(action.ref.name);
    if (action.do !== 'patch') return;
    const { metadata: { uid, annotations }, spec } = action.object as unknown as Patch;
    const run = [...this.runs.values()].find((one) => one.uid === uid);
    if (run === undefined) return;
    if (spec.suspend !== undefined) run.isAskedToStop = spec.suspend;
    if (spec.suspend === false && run.state === 'Suspended') run.state = 'Active';
    if (annotations?.[ANNOTATION_STOPPED] !== undefined) run.stopped = annotations[ANNOTATION_STOPPED];
    if (spec.budget !== undefined) Object.assign(run, { budget: budgetOf(spec.budget), state: 'Active' });
  }

  #create({ metadata: { name, annotations = {} }, spec }: Plan['starts'][number]['object']): void {
    if (this.runs.has(name)) return;
    assert.ok(!this.made.includes(name), `${name} was made a second time`);
    this.made.push(name);
    const point = JSON.parse(annotations[ANNOTATION_POINT] ?? '') as Point;
    const id = /-(t?[0-9a-f]+)(-r\d+)?$/.exec(name)?.[1] ?? '';
    this.runs.set(name, {
      name, uid: `uid-${name}`, resourceVersion: '1', id, retry: Number(annotations[ANNOTATION_RETRY]), point, state: 'Active', isDeleted: false, isAskedToStop: false, stopped: undefined, hasTtl: false,
      processes: 1, isBranch: spec['resumeFrom'] !== undefined, budget: budgetOf(spec['budget'] as { steps?: number; tokens?: string }), status: {},
    });
  }

  /** One run does something of its own. */
  happen(pick: number, what: 'train' | 'end' | 'fail'): void {
    const live = [...this.runs.values()].filter(({ state }) => state === 'Active');
    const run = live[pick % Math.max(1, live.length)];
    if (run === undefined) return;
    if (run.isAskedToStop && what !== 'fail') run.state = 'Suspended';
    else if (what === 'fail') run.state = 'Failed';
    else this.#train(run, what === 'end' ? 1 : 0.5);
  }

  #train(run: Run, share: number): void {
    const steps = run.budget.steps ?? Math.ceil((run.budget.tokens ?? 0) / PER_STEP);
    const step = Math.ceil(steps * share);
    const tokens = run.budget.tokens === undefined ? step * PER_STEP : Math.round(run.budget.tokens * share);
    const parameters = N[run.point.size] ?? 0;
    const history = share < 1 ? [] : Array.from({ length: steps }, (_, index) => ({ step: steps - index, uri: 'pvc://c/x', tokens: (steps - index) * PER_STEP }));
    run.status = { progress: { stage: share < 1 ? 'Training' : 'Done', step, totalSteps: steps, tokens, parameters, parametersWithoutEmbedding: parameters, valLoss: '0.5', flops: '1' }, validation: { step }, checkpoints: { history } };
    if (share >= 1) run.state = 'Complete';
  }
}

function budgetOf({ steps, tokens }: { steps?: number; tokens?: string }): Run['budget'] {
  return tokens === undefined ? { steps: steps ?? 0 } : { tokens: Number(tokens) };
}

const template = { data: { uri: 'pvc://data/pool', maxLength: 512, maxResponseLength: 128 }, checkpoint: { store: { pvc: 'runs' } } };
const subset = <T>(of: readonly T[]): fc.Arbitrary<T[]> => fc.subarray([...of], { minLength: 1 });
const axes = fc.record({ sizes: subset(SIZES).map((names) => names.map((size) => ({ size }))), tokens: subset(['100K', '200K', '400K']), seeds: subset([0, 1]) });
const specs = fc.record({
  axes, parallelism: fc.integer({ min: 1, max: 4 }), maxRetries: fc.integer({ min: 0, max: 2 }), cooldowns: fc.option(fc.constant({ percent: 20 }), { nil: undefined }),
  budget: fc.option(fc.integer({ min: 1, max: 40 }).map((share) => ({ flops: String(share * 1e12) })), { nil: undefined }),
}).map(({ cooldowns, budget, ...rest }) => sweepSpec.parse({ template, ...rest, ...(cooldowns === undefined ? {} : { cooldowns }), ...(budget === undefined ? {} : { budget }) }));
const event = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('run' as const), pick: fc.nat(20), what: fc.constantFrom('train' as const, 'end' as const, 'end' as const, 'fail' as const) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('operator' as const), writes: fc.nat(6) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('edit' as const), axes }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('suspend' as const), suspend: fc.boolean() }) },
);

function check(world: World): void {
  const { situation: s } = world.plan();
  const active = [...world.runs.values()].filter(({ state }) => state === 'Active').length;
  assert.ok(active <= world.spec.parallelism, `${active} runs at a time, ${world.spec.parallelism} allowed`);
  const limit = Number(world.spec.budget?.flops ?? Infinity);
  const { spent, reserved } = s.ledger;
  assert.ok(spent.flops + reserved.flops <= limit * (1 + 1e-9), `${spent.flops} spent and ${reserved.flops} set aside of ${limit}`);
  const keys = world.records.map(recordKey);
  assert.equal(new Set(keys).size, keys.length, 'an entry twice');
  for (const data of world.shards.values()) assert.ok(JSON.stringify(data).length < 65_536);
}

function step(world: World, one: (typeof event) extends fc.Arbitrary<infer E> ? E : never): void {
  world.now += 1000;
  if (one.do === 'run') world.happen(one.pick, one.what);
  if (one.do === 'operator') world.perform(world.plan(), one.writes);
  if (one.do === 'edit') world.spec = { ...world.spec, axes: sweepSpec.shape.axes.parse(one.axes) };
  if (one.do === 'suspend') world.spec = { ...world.spec, suspend: one.suspend };
}

/** The operator lives, and runs end. */
function settle(world: World): Plan {
  world.spec = { ...world.spec, suspend: false };
  for (let round = 0; round < 500; round += 1) {
    const plan = world.plan();
    const isIdle = plan.starts.length + plan.actions.length + plan.situation.newRecords.length === 0;
    if (isIdle && plan.ending !== undefined) return plan;
    world.perform(plan, Infinity);
    check(world);
    world.happen(round, 'end');
  }
  throw new Error(`no end: ${JSON.stringify(world.plan().limit)} ${[...world.runs.values()].map(({ name, state }) => `${name} ${state}`).join(', ')}`);
}

describe('a sweep, whatever its runs do and wherever the operator dies', () => {
  test('starts no more than it may, makes no run twice, and leaves no point without an outcome', () => {
    fc.assert(fc.property(specs, fc.array(event, { maxLength: 60 }), (spec, events) => {
      const world = new World(spec);
      for (const one of events) {
        step(world, one);
        check(world);
      }
      const { ending, situation: { points, records } } = settle(world);
      const outcomes = points.filter(({ state }) => state === 'Succeeded' || state === 'Failed').length;
      if (ending?.reason !== 'BudgetExhausted') assert.equal(outcomes, points.length);
      for (const { of, state } of points) if (state === 'Failed') assert.equal(records.filter(({ id, outcome }) => id === of.id && outcome === 'Failed').length, spec.maxRetries + 1);
      for (const { run, outcome } of records) if (outcome === 'Removed') assert.ok(!world.runs.has(run.name), `${run.name} is still there`);
      // Every run that was ever made is still there or has an entry.
      const kept = new Set([...world.runs.keys(), ...records.map(({ run }) => run.name)]);
      assert.deepEqual(world.made.filter((name) => !kept.has(name)), []);
    }), { numRuns: 300 });
  });

  test('plans the same from the same', () => {
    fc.assert(fc.property(specs, fc.array(event, { maxLength: 30 }), (spec, events) => {
      const world = new World(spec);
      for (const one of events) step(world, one);
      assert.deepEqual(world.plan(), world.plan());
    }), { numRuns: 50 });
  });

  test('counts a run that failed in full, since it was started for that', () => {
    const world = new World(sweepSpec.parse({ template, axes: { sizes: [{ size: '1M' }], tokens: ['100K'] }, maxRetries: 1 }));
    for (let retry = 0; retry < 2; retry += 1) {
      world.perform(world.plan(), Infinity);
      world.happen(0, 'fail');
    }
    world.perform(world.plan(), Infinity);
    const { situation: { ledger, points } } = world.plan();
    assert.deepEqual([points[0]?.state, ledger.spent.flops, ledger.reserved.flops], ['Failed', 2 * 6 * (N['1M'] ?? 0) * 100_000, 0]);
  });

  test('pays less for budgets that share a trunk', () => {
    const grid = { sizes: [{ size: '1M' }], tokens: ['100K', '200K', '400K'] };
    const spentWith = (more: object): number => {
      const world = new World(sweepSpec.parse({ template, axes: grid, parallelism: 2, ...more }));
      settle(world);
      return world.plan().situation.ledger.spent.flops;
    };
    const [apart, together] = [spentWith({}), spentWith({ cooldowns: { percent: 20 } })];
    // 100 + 200 + 400 against 320 + 20 + 40 + 80.
    assert.ok(Math.abs(together / apart - 460 / 700) < 0.02, String(together / apart));
  });
});
