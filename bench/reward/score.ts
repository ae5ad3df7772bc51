// Candidates per second of the scoring module, with and without sharing, beside PyTorch on the same sequences and weights: one
// thread each, in turns, so that a slow minute of the machine meets all of them. A ratio is the median over rounds of the ratio
// within a round. Usage: score.ts [--rounds N] [--scale N] [--groups N] [--out FILE]
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { openSession, type Session } from '../../operator/src/workers/serve/session.ts';

const ROOT = join(import.meta.dirname, '../..');
const PYTHON = join(ROOT, 'trainer/.venv/bin/python');
const FOLDER = join(ROOT, '.local/bench/reward');
const RUN_TOKENS = 512;
const SIDES = ['ours', 'ours_unshared', 'pytorch_unshared', 'pytorch'] as const;

type Side = typeof SIDES[number];
interface Took { readonly seconds: number; readonly cpu: number; readonly scores: readonly number[] }
interface SequenceSet { readonly groups: readonly (readonly (readonly number[])[])[]; readonly limit: number; readonly limit_tokens: number; readonly gflop: number }
interface Peer { readonly torch: string; readonly ask: (set: string, group: number, share: boolean) => Promise<Took>; readonly end: () => void }

const { values } = parseArgs({ options: {
  rounds: { type: 'string', default: '3' }, scale: { type: 'string', default: '8' }, groups: { type: 'string', default: '2' },
  out: { type: 'string', default: join(ROOT, 'bench/results/score.json') },
} });

/** The trainer's model in a process of its own. */
async function startPeer(): Promise<Peer> {
  const child = spawn(PYTHON, [join(ROOT, 'bench/reward/pytorch.py'), join(FOLDER, 'sequences.json')],
    { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, PYTHONPATH: join(ROOT, 'trainer'), OMP_NUM_THREADS: '1' } });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async (): Promise<unknown> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error('the PyTorch side ended');
    return JSON.parse(value);
  };
  const { torch } = await answer() as { torch: string };
  return {
    torch,
    ask: async (set, group, share) => {
      child.stdin.write(`${JSON.stringify({ set, group, share })}\n`);
      return await answer() as Took;
    },
    end: () => { child.stdin.end(); },
  };
}

async function ours(session: Session, sequences: SequenceSet['groups'][number], sharing: boolean): Promise<Took> {
  const [wall, cpu] = [performance.now(), process.cpuUsage()];
  const scores = await session.score(sequences, { runTokens: RUN_TOKENS, sharing });
  const used = process.cpuUsage(cpu);
  return { seconds: (performance.now() - wall) / 1e3, cpu: (used.user + used.system) / 1e6, scores: [...scores] };
}

const median = (all: readonly number[]): number => [...all].sort((a, b) => a - b)[Math.floor(all.length / 2)] ?? NaN;
const rounded = (value: number): number => Math.round(value * 1e3) / 1e3;

/** Rounds of all sides for one set; the first is a warm-up and shows that all give the same scores. */
async function measure(name: string, set: SequenceSet, session: Session, peer: Peer): Promise<Record<Side, Took[]>> {
  const took: Record<Side, Took[]> = { ours: [], ours_unshared: [], pytorch_unshared: [], pytorch: [] };
  const run: Record<Side, (group: number) => Promise<Took>> = {
    ours: (group) => ours(session, set.groups[group] ?? [], true),
    ours_unshared: (group) => ours(session, set.groups[group] ?? [], false),
    pytorch_unshared: (group) => peer.ask(name, group, false),
    pytorch: (group) => peer.ask(name, group, true),
  };
  const wanted = await Promise.all([...set.groups.keys()].map((group) => peer.ask(name, group, false)));
  for (let round = -1; round < Number(values.rounds); round += 1) {
    for (const side of SIDES) {
      const all = await turn(run[side], set.groups.length);
      for (const [group, { scores }] of all.entries()) same(side, scores, wanted[group]?.scores ?? []);
      const sum = (key: 'seconds' | 'cpu'): number => all.reduce((total, one) => total + one[key], 0);
      if (round >= 0) took[side].push({ seconds: sum('seconds'), cpu: sum('cpu'), scores: [] });
    }
    process.stderr.write(`${name} round ${String(round + 1)}\n`);
  }
  return took;
}

async function turn(run: (group: number) => Promise<Took>, groups: number): Promise<Took[]> {
  const all: Took[] = [];
  for (let group = 0; group < groups; group += 1) all.push(await run(group));
  return all;
}

function same(side: Side, got: readonly number[], wanted: readonly number[]): void {
  const off = Math.max(...got.map((score, at) => Math.abs(score - (wanted[at] ?? NaN))));
  if (!(off < 1e-4)) throw new Error(`${side}: scores differ by ${String(off)}, expected less than 1e-4`);
}

function summary(set: SequenceSet, took: Record<Side, Took[]>): Record<string, number | Record<string, number>> {
  const ratio = (a: Side, b: Side, key: 'seconds' | 'cpu'): number => median(took[a].map((one, round) => one[key] / (took[b][round]?.[key] ?? NaN)));
  const candidates = set.groups.reduce((sum, group) => sum + group.length, 0);
  const by = (of: (side: Side) => number): Record<string, number> => Object.fromEntries(SIDES.map((side) => [side, rounded(of(side))]));
  const sharing = ratio('ours_unshared', 'ours', 'seconds');
  return {
    candidates_per_second: by((side) => candidates / median(took[side].map(({ seconds }) => seconds))),
    cpu_seconds: by((side) => median(took[side].map(({ cpu }) => cpu))),
    shared_over_unshared: rounded(sharing), shared_over_unshared_cpu: rounded(ratio('ours_unshared', 'ours', 'cpu')),
    arithmetic_limit: rounded(set.limit), token_limit: rounded(set.limit_tokens),
    share_of_limit: rounded(sharing / set.limit), share_of_limit_cpu: rounded(ratio('ours_unshared', 'ours', 'cpu') / set.limit),
    share_of_token_limit: rounded(sharing / set.limit_tokens),
    over_pytorch_unshared: rounded(ratio('pytorch_unshared', 'ours', 'seconds')), over_pytorch_unshared_cpu: rounded(ratio('pytorch_unshared', 'ours', 'cpu')),
    unshared_over_pytorch_unshared: rounded(ratio('pytorch_unshared', 'ours_unshared', 'seconds')), over_pytorch_shared: rounded(ratio('pytorch', 'ours', 'seconds')),
    useful_gflops: rounded(set.gflop / median(took.ours.map(({ seconds }) => seconds))),
  };
}

rmSync(FOLDER, { recursive: true, force: true });
mkdirSync(FOLDER, { recursive: true });
const load = loadavg();
execFileSync(PYTHON, [join(ROOT, 'bench/reward/prepare.py'), FOLDER, values.scale, values.groups], { stdio: 'inherit', env: { ...process.env, PYTHONPATH: join(ROOT, 'trainer') } });
const { sets } = JSON.parse(readFileSync(join(FOLDER, 'sequences.json'), 'utf8')) as { sets: Record<string, SequenceSet> };
const session = await openSession(join(FOLDER, 'exported/model.onnx'), 1);
const peer = await startPeer();
const results: Record<string, unknown> = {};
for (const [name, set] of Object.entries(sets)) results[name] = summary(set, await measure(name, set, session, peer));
peer.end();
await session.release();
const written = JSON.stringify({
  ...results, rounds: Number(values.rounds), scale: Number(values.scale), run_tokens: RUN_TOKENS, versions: { node: process.version, onnxruntime: '1.30.0', torch: peer.torch },
  machine: { cores: cpus().length, load_average_at_start: load.map(rounded), load_average_at_end: loadavg().map(rounded) },
}, null, 1);
writeFileSync(values.out, `${written}\n`);
console.log(written);
