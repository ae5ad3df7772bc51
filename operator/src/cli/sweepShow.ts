// Reads a sweep once, or again and again, and writes it as it was asked for.
import { setTimeout as sleep } from 'node:timers/promises';
import { stringify } from 'yaml';
import type { Cluster } from './cluster.ts';
import { Unanswered, clusterOf } from './cluster.ts';
import type { Args, Io } from './command.ts';
import { UsageError, oneOf } from './command.ts';
import { draw } from './drawing.ts';
import { destinationOf, writeOut } from './output.ts';
import type { Destination } from './output.ts';
import { AXES } from './points.ts';
import type { AxisName } from './points.ts';
import { paintFor } from './style.ts';
import { chosenFit, sweepChart, sweepCsv, sweepJson } from './sweepData.ts';
import type { LawChoice } from './sweepData.ts';
import { lawOfStatus } from './sweepPoints.ts';
import { readSweep } from './sweepRead.ts';
import type { SweepView } from './sweepRead.ts';
import { SWEEP_FORMATS } from './sweep.ts';
import { sweepTable } from './sweepTable.ts';

type Format = (typeof SWEEP_FORMATS)[number];
const FORMS = ['power', 'offset', 'joint'] as const;
const WATCH_MS = 2000;

/** Runs the command sweep. */
export async function showSweep(args: Args, io: Io): Promise<void> {
  const name = args.positionals[0];
  if (name === undefined || args.positionals.length > 1) throw new UsageError(`sweep: expected one NAME, got ${String(args.positionals.length)}`);
  const destination = destinationOf(args, io, SWEEP_FORMATS);
  const choice = choiceOf(args);
  const isText = destination.format === 'table' || destination.format === 'wide';
  if (args.flag('watch') && (!isText || destination.file !== undefined)) throw new UsageError('--watch: expected with -o table or wide on the terminal');
  const cluster = await clusterOf(args, io);
  if (args.flag('watch')) await watch({ cluster, name, choice, wide: destination.format === 'wide' }, io);
  else await writeOut(io, destination, await render(await readSweep(cluster, name), choice, destination, io));
}

function choiceOf(args: Args): LawChoice {
  const [form, x] = [args.text('form'), args.text('x')];
  const axis = x === undefined ? undefined : AXES[oneOf('--x', x, Object.keys(AXES) as AxisName[])];
  return { ...(form === undefined ? {} : { form: oneOf('--form', form, FORMS) }), ...(axis === undefined ? {} : { x: axis }) };
}

async function render(view: SweepView, choice: LawChoice, { format, file }: Destination<Format>, io: Io): Promise<string | Uint8Array> {
  switch (format) {
    case 'json': return `${JSON.stringify(sweepJson(view), null, 2)}\n`;
    case 'yaml': return stringify(sweepJson(view));
    case 'csv': return sweepCsv(view, choice.form === undefined && choice.x === undefined ? undefined : lawOfStatus(chosenFit(view, choice)));
    case 'svg': case 'png': return draw(sweepChart(view, chosenFit(view, choice)), format);
    default: return sweepTable(view, choice, { columns: io.stdout.columns ?? 100, paint: file === undefined ? paintFor(io) : (_, text) => text, wide: format === 'wide' });
  }
}

interface Watched {
  readonly cluster: Cluster;
  readonly name: string;
  readonly choice: LawChoice;
  readonly wide: boolean;
}

/** Ends when the sweep does. A terminal is redrawn, a pipe gets one report after the other. */
async function watch({ cluster, name, choice, wide }: Watched, io: Io): Promise<void> {
  for (let shown = ''; ; await sleep(WATCH_MS)) {
    const view = await readAgain(cluster, name, { isFirst: shown === '', io });
    if (view === undefined) continue;
    const text = sweepTable(view, choice, { columns: io.stdout.columns ?? 100, paint: paintFor(io), wide });
    if (text !== shown) io.stdout.write(io.stdout.isTTY === true ? `\u001b[H\u001b[2J\u001b[3J${text}` : `${shown === '' ? '' : '\n'}${text}`);
    shown = text;
    if (view.status.phase === 'Complete' || view.status.phase === 'Failed') return;
  }
}

/** Undefined while a cluster that did answer does not: it is waited for. */
async function readAgain(cluster: Cluster, name: string, { isFirst, io }: { readonly isFirst: boolean; readonly io: Io }): Promise<SweepView | undefined> {
  try {
    return await readSweep(cluster, name);
  } catch (error) {
    if (isFirst || !(error instanceof Unanswered)) throw error;
    io.stderr.write(`${error.message}; trying again\n`);
    return undefined;
  }
}
