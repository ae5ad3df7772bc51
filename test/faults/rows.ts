// The rows of the campaign: from what an undisturbed run did to the plans that disturb it, before any is left out.
import { FOREIGN } from './foreign.ts';
import { HOSTILE } from './hostile.ts';
import { HARMLESS, TELLING } from './lies.ts';
import { LAG_MS, RESOURCES, at, one, plan, slug, writes } from './candidates.ts';
import type { Candidate, Ground, Row } from './candidates.ts';
import type { Effect, Fault, Plan } from './plan.ts';
import type { Step } from './reference.ts';
import { STORED } from './stored.ts';
import { brokenClocks, longLife, lostRules, rotatedTokens } from './surroundings.ts';

/** Row 1: kill -9 around each write. Right after a write is the same as before the next when nothing comes in between. */
const kills: Row = (ground) => writes(ground).flatMap((step) => (['before', 'committed', 'after'] as const).map((when) => {
  const made = plan('1', ground, `${when} ${step.key} ${step.nth}`, { faults: one(at(step), { do: 'kill', when }) });
  const { trace } = ground.learnt;
  const next = trace[trace.indexOf(step) + 1];
  return when === 'after' && next?.kind === 'write' ? { ...made, pruned: 'same as before the next write' } : made;
}));

/** Row 2: and again at the first, second or third write of the recovery. */
const doubleKills: Row = (ground) => writes(ground).flatMap((step) => [1, 2, 3].map((nth) => plan('2', ground, `${step.key} ${step.nth} again ${nth}`, {
  faults: [{ at: at(step), do: 'kill', when: 'committed' }, { at: { write: '*', nth }, next: true, do: 'kill', when: 'committed' }],
})));

/** Row 4: caches that lag behind, and an operator that starts against the past. */
const stale: Row = (ground) => {
  const { marks } = ground.learnt;
  const travels = marks.flatMap((to, index) => marks.slice(index + 1).map((mark) => plan('4', ground, `${mark} back to ${to}`, { faults: one({ mark }, { do: 'travel', to, ms: LAG_MS }) })));
  const lags = marks.map((mark) => plan('4', ground, `lag after ${mark}`, { faults: one({ mark }, { do: 'hold', resources: RESOURCES, ms: LAG_MS }) }));
  return [...travels, ...lags];
};

/** A line matters when the operator wrote before the next such line came (Sieve's rule: only what was read before a write). */
function linesBeforeWrites({ learnt: { trace } }: Ground): readonly Step[] {
  return trace.filter((step, index) => step.kind === 'line' && trace.slice(index + 1, index + 4).some(({ kind }) => kind === 'write'));
}

/** Row 5: what happens while the operator cannot see is never seen, only what came of it. */
const unobserved: Row = (ground) => {
  const matter = new Set(linesBeforeWrites(ground));
  const lines = ground.learnt.trace.filter(({ kind }) => kind === 'line').map((step) => {
    const resource = step.key.split(' ')[1] ?? '';
    const made = plan('5', ground, `from ${step.key} ${step.nth}`, { faults: one(at(step), { do: 'blind', resources: [resource], ms: LAG_MS }) });
    return matter.has(step) ? made : { ...made, pruned: 'no write followed what was seen' };
  });
  return [...lines, ...ground.learnt.marks.map((mark) => plan('5', ground, `all from ${mark}`, { faults: one({ mark }, { do: 'blind', resources: RESOURCES, ms: LAG_MS }) }))];
};

/** Row 6: news of one kind come late, so that kinds are seen in another order; lines come twice. */
const reordered: Row = (ground) => {
  const first = RESOURCES.flatMap((resource) => ground.learnt.trace.find((step) => step.kind === 'line' && step.key.split(' ')[1] === resource) ?? []);
  const late = first.map((step) => plan('6', ground, `${step.key.split(' ')[1] ?? ''} late`, { faults: one(at(step), { do: 'hold', resources: [step.key.split(' ')[1] ?? ''], ms: LAG_MS }) }));
  const twice = linesBeforeWrites(ground).map((step) => plan('6', ground, `twice ${step.key} ${step.nth}`, { faults: one(at(step), { do: 'twice' }) }));
  return [...late, ...twice];
};

/** Row 8: the version to go on from is too old, as an event and while listing. */
const expired: Row = (ground) => ground.learnt.marks.map((mark) => plan('8', ground, `at ${mark}`, { faults: one({ mark }, { do: 'expire', resources: RESOURCES }) }));

/** Row 9: connections and servers that die or hang. */
const network: Row = (ground) => {
  const perWrite = writes(ground).flatMap((step) => [
    plan('9', ground, `cut ${step.key} ${step.nth}`, { faults: one(at(step), { do: 'cut' }) }),
    plan('9', ground, `cut after commit ${step.key} ${step.nth}`, { faults: one(at(step), { do: 'cut', commit: true }) }),
    plan('9', ground, `hang after commit ${step.key} ${step.nth}`, { faults: one(at(step), { do: 'hang', ms: 2000, commit: true }) }),
  ]);
  const perMark = ground.learnt.marks.flatMap((mark) => [
    plan('9', ground, `freeze at ${mark}`, { faults: one({ mark }, { do: 'freeze', ms: 2000 }) }),
    plan('9', ground, `freeze and cut at ${mark}`, { faults: one({ mark }, { do: 'freeze', ms: 1500, cut: true }) }),
    plan('9', ground, `paused at ${mark}`, { faults: one({ mark }, { do: 'pause', ms: 2000 }) }),
  ]);
  const lines = linesBeforeWrites(ground).map((step) => plan('9', ground, `watch cut at ${step.key} ${step.nth}`, { faults: one(at(step), { do: 'cutWatch' }) }));
  return [...perWrite, ...perMark, ...lines];
};

/** Row 9, the API server itself: nothing else can run beside it. */
const server: Row = (ground) => ground.learnt.marks.slice(0, 2).flatMap((mark) => [
  plan('9s', ground, `killed at ${mark}`, { alone: true, within: 75, faults: one({ mark }, { do: 'apiserver', how: 'kill', ms: 100 }) }),
  plan('9s', ground, `stopped at ${mark}`, { alone: true, within: 75, faults: one({ mark }, { do: 'apiserver', how: 'stop', ms: 5000 }) }),
]);

/** Row 10: somebody else writes at the same time. */
const conflicts: Row = (ground) => [
  ...writes(ground).map((step) => plan('10', ground, `409 ${step.key} ${step.nth}`, { faults: one(at(step), { do: 'answer', code: 409, times: 3 }) })),
  ...ground.learnt.marks.filter((mark) => !['deleted', 'failed'].includes(mark)).map((mark) => plan('10', ground, `fight at ${mark}`, { compare: 'outcome', faults: one({ mark }, { do: 'act', name: 'fight' }) })),
];

const answers = (row: string, ground: Ground, codes: readonly Extract<Effect, { do: 'answer' }>[]): readonly Candidate[] => {
  const keys = new Map(ground.learnt.trace.filter(({ kind }) => kind !== 'line').map((step) => [`${step.kind} ${step.key}`, { ...step, nth: 1 }]));
  return [...keys.values()].flatMap((step) => codes.map((effect) => {
    const made = plan(row, ground, `${effect.code} ${step.key}`, { faults: one(at(step), effect) });
    return effect.commit === true && step.kind === 'read' ? { ...made, pruned: 'a read commits nothing' } : made;
  }));
};

/** Row 11: an API server under pressure. */
const overloaded: Row = (ground) => answers('11', ground, [
  { do: 'answer', code: 429, retryAfter: 1, times: 2 }, { do: 'answer', code: 500, times: 3 }, { do: 'answer', code: 503, times: 2 }, { do: 'answer', code: 504, commit: true },
]);

/** Row 12: refusals that a person has to mend, mended after a few times. */
const refusals: Row = (ground) => answers('12', ground, [
  { do: 'answer', code: 401, times: 3 }, { do: 'answer', code: 403, times: 3 }, { do: 'answer', code: 413, times: 2 }, { do: 'answer', code: 422, times: 2 },
]);

const RESTORED = ['delete-service', 'edit-service', 'delete-configmap'];
const REPLACED = ['edit-job', 'touch-run', 'delete-job', 'delete-job-foreground', 'delete-job-orphan', 'delete-pod', 'strip-job-labels', 'strip-job-owners', 'strip-service-labels', 'strip-service-owners', 'strip-configmap-owners', 'edit-configmap', 'wipe-status'];

/** Row 17: every child is deleted, edited or stripped of what it is known by. */
const drift: Row = (ground) => (ground.workload !== 'steady' ? [] : [
  ...RESTORED.map((name) => plan('17', ground, name, { faults: one({ mark: 'running' }, { do: 'act', name }) })),
  ...REPLACED.map((name) => plan('17', ground, name, { compare: name === 'wipe-status' ? 'free' : 'outcome', faults: one({ mark: 'running' }, { do: 'act', name }) })),
]);

/** Row 24: disturbances that are nobody's fault, with the operator dying or blind on top. */
const disruption: Row = (ground) => (ground.workload !== 'disrupt' ? [] : [...kills(ground), ...unobserved(ground)]
  .map(({ plan: made, ...rest }) => ({ ...rest, plan: { ...made, id: made.id.replace(/^\d+/, '24'), row: '24' } })));

/** Row 25: the run is deleted around each write, while its children come to be. */
const deletion: Row = (ground) => (ground.workload !== 'vanish' ? [] : writes(ground).flatMap((step) => (['before', 'after'] as const).map((when) =>
  plan('25', ground, `${when} ${step.key} ${step.nth}`, { compare: 'outcome', faults: one(at(step), { do: 'act', name: 'delete-run', when }) }))));

/** A budget raised after the end, with the operator killed around every write. */
const raised: Row = (ground) => (ground.workload !== 'extend' ? [] : kills(ground).map(({ plan: made, ...rest }) => ({ ...rest, plan: { ...made, id: made.id.replace(/^\d+/, 'budget'), row: 'budget' } })));

/** Row 29: Events cannot be written. */
const noEvents: Row = (ground) => [500, 403].map((code) => plan('29', ground, `events ${code}`, { faults: one({ request: 'POST events*' }, { do: 'answer', code, times: 1000 }) }));

const ROWS: readonly Row[] = [kills, doubleKills, stale, unobserved, reordered, expired, network, server, conflicts, overloaded, refusals, drift, disruption, deletion, noEvents, raised, brokenClocks, lostRules, rotatedTokens];

/** Every plan for a workload that was learnt. */
export function candidatesOf(ground: Ground): readonly Candidate[] {
  return ROWS.flatMap((row) => row(ground));
}

const NAMESPACE_FAULTS: Readonly<Record<string, readonly Fault[]>> = {
  blind: one({ mark: 'deleted' }, { do: 'blind', resources: RESOURCES, ms: LAG_MS }),
  killed: one({ mark: 'deleted' }, { do: 'kill', when: 'before' }),
};

/** Workloads that are the disturbance themselves: foreign objects, trainers that lie. */
export function specialPlans(): readonly Candidate[] {
  const foreign = FOREIGN.map(({ name }) => ({ plan: { id: `20-${name}`, row: '20', workload: name, compare: 'free' as const, faults: [] } }));
  const lies = TELLING.filter(({ name }) => name.startsWith('lie-')).map(({ name }) => ({ plan: liePlan(name) }));
  const hostile = HOSTILE.map(({ name }) => ({ plan: { id: name, row: 'hostile', workload: name, compare: 'free' as const, faults: [] } }));
  const namespaces = ['as it is', 'blind', 'killed'].map((how) => ({ plan: { id: `25-namespace-${slug(how)}`, row: '25', workload: 'namespace', compare: 'free' as const, faults: NAMESPACE_FAULTS[how] ?? [] } }));
  const stored = STORED.map(({ name }) => ({ plan: { id: name, row: 'stored', workload: name, compare: 'free' as const, faults: [] } }));
  return [...foreign, ...lies, ...hostile, ...namespaces, ...stored, ...longLife()];
}

function liePlan(workload: string): Plan {
  const row = workload.endsWith('claims') ? '22' : workload.endsWith('growth') ? '28' : '21';
  return { id: `${row}-${workload}`, row, workload, like: 'telling', compare: HARMLESS.has(workload.replace('lie-', '')) ? 'exact' : 'outcome', faults: [] };
}
