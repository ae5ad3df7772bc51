// kubectl polar sweep: what a PolarSweep has found so far.
import { setTimeout as sleep } from 'node:timers/promises';
import { stringify } from 'yaml';
import type { Cluster } from './cluster.ts';
import { CLUSTER_OPTIONS, Unanswered, clusterOf } from './cluster.ts';
import type { Args, Command, Io } from './command.ts';
import { UsageError, oneOf } from './command.ts';
import { destinationOf, outputOptions, writeOut } from './output.ts';
import type { Destination } from './output.ts';
import { picture } from './picture.ts';
import { AXES } from './points.ts';
import type { AxisName } from './points.ts';
import { png } from './raster.ts';
import { paintFor } from './style.ts';
import { chosenFit, sweepChart, sweepCsv, sweepJson } from './sweepData.ts';
import type { LawChoice } from './sweepData.ts';
import { readSweep } from './sweepRead.ts';
import type { SweepView } from './sweepRead.ts';
import { sweepTable } from './sweepTable.ts';

const FORMATS = ['table', 'wide', 'json', 'yaml', 'csv', 'svg', 'png'] as const;
type Format = (typeof FORMATS)[number];
const FORMS = ['power', 'offset', 'joint'] as const;
const WATCH_MS = 2000;

export const SWEEP: Command = {
  name: 'sweep',
  summary: 'show a sweep\'s law, points and predictions',
  usage: 'sweep NAME [-n NAMESPACE] [options]',
  description: `
Shows what the operator has measured, fitted and predicted: numbers of laws and predictions are those of status.fits and
status.prediction, nothing is fitted here. Points come from the sweep's ConfigMaps, so runs that are gone count too.
-o csv writes the fitted points in a form that "kubectl polar fit" reads.`,
  options: {
    ...CLUSTER_OPTIONS,
    form: { type: 'string', short: 'f', value: 'FORM', help: 'law to draw: power, offset or joint; default the first of the status' },
    x: { type: 'string', value: 'AXIS', help: 'law to draw: the one over params, tokens or flops' },
    watch: { type: 'boolean', short: 'w', help: 'show it again at every change, until it is over or Ctrl-C' },
    ...outputOptions(FORMATS),
  },
  examples: [
    'kubectl polar sweep demo',
    'kubectl polar sweep demo -n research --watch',
    'kubectl polar sweep demo --form power --x flops --out law.svg',
    'kubectl polar sweep demo -o csv | kubectl polar fit - --form joint --need loss=0.35',
  ],
  run,
};

async function run(args: Args, io: Io): Promise<void> {
  const name = args.positionals[0];
  if (name === undefined || args.positionals.length > 1) throw new UsageError(`sweep: expected one NAME, got ${String(args.positionals.length)}`);
  const destination = destinationOf(args, io, FORMATS);
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
    case 'csv': return sweepCsv(view);
    case 'svg': return picture(sweepChart(view, chosenFit(view, choice)));
    case 'png': return png(picture(sweepChart(view, chosenFit(view, choice))));
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
