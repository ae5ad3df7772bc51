// What the generate worker costs beside its endpoints: requests per second of processor time against a local echo endpoint, and memory by rows.
// See README.md. Run by `make bench-corpus`.
import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { cpus, loadavg, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { repositoryRoot } from '../../local/src/paths.ts';

const WHOLE_ROWS = 1_000_000;
const QUICK_ROWS = 30_000;
const POLICIES = 8;
const WARM_REQUESTS = 5000;
const TICKS_PER_SECOND = 100;
const LEVELS = [0.1, 0.25, 0.5, 0.75, 1];

interface Sample { readonly requests: number; readonly cpuSeconds: number; readonly wallSeconds: number; readonly rssMiB: number }

const { values } = parseArgs({ options: { quick: { type: 'boolean', default: false }, rows: { type: 'string' }, out: { type: 'string' } } });
const rows = Number(values.rows ?? (values.quick ? QUICK_ROWS : WHOLE_ROWS));
const folder = mkdtempSync(join(tmpdir(), 'polar-bench-corpus-'));
const startedAt = performance.now();
const tell = (text: string): void => { console.log(`[${((performance.now() - startedAt) / 1000).toFixed(0).padStart(4)} s] ${text}`); };

/** Different texts of 40 to 80 words. */
async function writeTexts(path: string, lines: number): Promise<void> {
  const out = createWriteStream(path);
  const words = readFileSync(join(repositoryRoot, 'demo/text/logbook.txt'), 'utf8').split(/\s+/).slice(0, 5000);
  for (let i = 0; i < lines; i += 1) {
    const from = (i * 37) % (words.length - 80);
    if (!out.write(`${String(i)} ${words.slice(from, from + 40 + (i % 41)).join(' ')}\n`)) await once(out, 'drain');
  }
  out.end();
  await once(out, 'close');
}

/** Processor time and resident memory of a process, from the kernel. */
function usageOf(pid: number): { cpuSeconds: number; rssMiB: number } {
  const fields = readFileSync(`/proc/${String(pid)}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
  const rss = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${String(pid)}/status`, 'utf8'))?.[1];
  return { cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND, rssMiB: Number(rss) / 1024 };
}

async function startEcho(): Promise<{ url: string; child: ChildProcess }> {
  const child = spawn(process.execPath, [join(repositoryRoot, 'test/integration/generateEndpoint.ts')], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [url] = (await once(createInterface(child.stdout), 'line')) as [string];
  return { url, child };
}

async function measure(url: string, output: string): Promise<Sample[]> {
  const texts = join(folder, 'texts.txt');
  await writeTexts(texts, Math.ceil(rows / 3));
  const config = {
    output, seed: 1, prompts: { sources: [{ path: texts }], prefixTokens: { least: 10, most: 40 } }, sampling: { maxTokens: 64 }, progressSeconds: 1,
    policies: Array.from({ length: POLICIES }, (_, i) => ({ name: `policy-${String(i)}`, url, model: `m${String(i)}`, concurrency: 16, promptPricePerMillion: '0.15', outputPricePerMillion: '0.6' })),
    budget: { money: '1000000' },
  };
  const file = join(folder, 'config.json');
  writeFileSync(file, JSON.stringify(config));
  const child = spawn(process.execPath, [join(repositoryRoot, 'operator/src/workers/generate/main.ts'), file], { stdio: ['ignore', 'pipe', 'ignore'] });
  const samples: Sample[] = [];
  for await (const line of createInterface(child.stdout)) {
    const { requests, type } = JSON.parse(line) as { type: string; requests: { settled: number; all: number } };
    if (child.pid !== undefined) samples.push({ requests: requests.settled, wallSeconds: performance.now() / 1000, ...usageOf(child.pid) });
    if (samples.length % 30 === 1) tell(`${String(requests.settled)} of ${String(requests.all)} requests, ${(samples.at(-1)?.rssMiB ?? 0).toFixed(0)} MiB`);
    if (type === 'end' && requests.settled !== requests.all) throw new Error(`expected ${String(requests.all)} requests, got ${String(requests.settled)}`);
  }
  return samples;
}

function judge(samples: readonly Sample[]): object {
  const [first, last] = [samples.find(({ requests }) => requests >= Math.min(WARM_REQUESTS, rows / 10)), samples.at(-1)];
  if (first === undefined || last === undefined || first === last) throw new Error(`expected several samples, got ${String(samples.length)}`);
  const memory = LEVELS.map((share) => {
    const until = samples.filter(({ requests }) => requests <= share * last.requests).slice(-10);
    return { rows: Math.round(share * last.requests), rssMiB: Math.round(Math.max(...until.map(({ rssMiB }) => rssMiB))) };
  });
  const requests = last.requests - first.requests;
  return {
    rows: last.requests, requestsPerCpuSecond: Math.round(requests / (last.cpuSeconds - first.cpuSeconds)), requestsPerWallSecond: Math.round(requests / (last.wallSeconds - first.wallSeconds)), memory,
    slopeMiBPerMillionRows: Number(slope(samples.filter((sample) => sample.requests >= last.requests / 10)).toFixed(1)),
  };
}

/** Least squares, in MiB per million rows. */
function slope(samples: readonly Sample[]): number {
  const mean = (of: (sample: Sample) => number): number => samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  const [x, y] = [mean(({ requests }) => requests / 1e6), mean(({ rssMiB }) => rssMiB)];
  const above = samples.reduce((sum, { requests, rssMiB }) => sum + (requests / 1e6 - x) * (rssMiB - y), 0);
  return above / samples.reduce((sum, { requests }) => sum + (requests / 1e6 - x) ** 2, 0);
}

const load = loadavg()[0] ?? 0;
const echo = await startEcho();
try {
  const result = { machine: { cpus: cpus().length, model: cpus()[0]?.model ?? '', loadBefore: load }, node: process.version, ...judge(await measure(echo.url, join(folder, 'corpus'))) };
  console.log(JSON.stringify(result, null, 1));
  const out = values.out ?? (values.quick || values.rows !== undefined ? undefined : join(repositoryRoot, 'bench/results/corpus.json'));
  if (out !== undefined) {
    mkdirSync(dirname(out), { recursive: true });
    writeFileSync(out, `${JSON.stringify(result, null, 1)}\n`);
  }
} finally {
  echo.child.kill();
  rmSync(folder, { recursive: true, force: true });
}
