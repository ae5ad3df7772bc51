// The main job on an embedded cluster: a toy policy pool, PolarPretrain with two workers, PolarFinetune from its best
// checkpoint, live progress, a table, a picture of both loss curves and three scored triples.
// Usage: node demo/demo.ts [--keep]     --keep leaves the cluster running (make up's cluster is another one)
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { locateBinaries } from '../local/src/controlplane/binaries.ts';
import { drawCurves } from './curves.ts';
import { foreground, kubectlFor } from './kubectl.ts';
import type { Kubectl } from './kubectl.ts';
import { checksOf, checksTable, runsTable, scoresText } from './report.ts';
import { follow } from './run.ts';
import type { Run } from './run.ts';
import { scoreTriples } from './scores.ts';

const ROOT = join(import.meta.dirname, '..');
const CLUSTER = join(ROOT, '.local/demo');
const OUTPUT = join(ROOT, '.local/demo-results');
const RUN_SECONDS = 900;
const TRIPLES = 3;

const { values: flags } = parseArgs({ options: { keep: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } } });

const cluster = (...args: string[]): Promise<void> => foreground([process.execPath, 'local/src/cli.ts', ...args, '--dir', CLUSTER], ROOT);

async function train(kubectl: Kubectl, file: string, kind: string): Promise<Run> {
  const [document] = parseAllDocuments(readFileSync(join(ROOT, file), 'utf8'));
  const { metadata } = document?.toJS() as Run;
  console.log(`\nkubectl apply -f ${file}`);
  console.log((await kubectl.run(['apply', '-f', join(ROOT, file)])).trim());
  return follow(kubectl, kind, metadata.name, RUN_SECONDS);
}

async function main(): Promise<boolean> {
  const t0 = performance.now();
  await cluster('up', '--example-data', ...(flags.keep ? [] : ['--owner', String(process.pid)]));
  const binaries = await locateBinaries(['kubectl']);
  const kubectl = kubectlFor(binaries.get('kubectl') ?? 'kubectl', join(CLUSTER, 'kubeconfig'), 'default');
  const pretrain = await train(kubectl, 'examples/01-pretrain.yaml', 'polarpretrain');
  const finetune = await train(kubectl, 'examples/02-finetune.yaml', 'polarfinetune');
  const best = finetune.status?.checkpoints?.best?.uri ?? '';
  console.log(`\nscoring ${String(TRIPLES)} held-out triplets with ${best}`);
  const scored = await scoreTriples(kubectl, best, 'pvc://polar-data/toy/triples.jsonl.gz');
  mkdirSync(OUTPUT, { recursive: true });
  const runs = [pretrain, finetune];
  writeFileSync(join(OUTPUT, 'curves.svg'), drawCurves(runs.map((run) => ({ title: `${run.kind} ${run.metadata.name}`, points: run.status?.curve ?? [] }))));
  writeFileSync(join(OUTPUT, 'runs.json'), JSON.stringify(runs, null, 2));
  const checks = checksOf(pretrain);
  console.log(`\n${runsTable(runs)}\n\n${checksTable(checks)}\n\n${scoresText(scored)}\n`);
  console.log(`loss curves: .local/demo-results/curves.svg   full status: .local/demo-results/runs.json`);
  console.log(`demo took ${((performance.now() - t0) / 1000).toFixed(0)} s`);
  return scored.length === TRIPLES && checks.every(({ ok }) => ok);
}

async function withCluster(): Promise<number> {
  process.once('SIGINT', () => { void cluster('down').finally(() => process.exit(130)); });
  try {
    const ok = await main();
    console.log(ok ? 'demo passed' : 'demo FAILED: a check above was missed');
    return ok ? 0 : 1;
  } catch (error) {
    console.error(`demo FAILED: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  } finally {
    if (!flags.keep) await cluster('down');
  }
}

if (flags.help) console.log('node demo/demo.ts [--keep]\n  --keep  leave the demo\'s cluster running; its kubeconfig is .local/demo/kubeconfig');
else process.exitCode = await withCluster();
