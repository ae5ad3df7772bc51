// kubectl polar fit: a scaling law from a table of runs. No cluster is needed.
import { FitError } from '../sweep/fit/error.ts';
import { fitLaw } from '../sweep/fit/fit.ts';
import type { FitOptions, Form } from '../sweep/fit/types.ts';
import { parseColumnNames, parseUnits } from './columns.ts';
import type { Args, Command, Io } from './command.ts';
import { Failure, UsageError, oneOf } from './command.ts';
import { nameOf, parseSheet, readText } from './csv.ts';
import { draw } from './drawing.ts';
import { parseFilter } from './filter.ts';
import type { FitAnswer } from './fitAnswer.ts';
import { answerOf, checkQuestions } from './fitAnswer.ts';
import { fitChart, fitCsv, fitJson } from './fitData.ts';
import { fitTable } from './fitTable.ts';
import { destinationOf, outputOptions, writeOut } from './output.ts';
import type { PointOptions, Points, TableOptions } from './points.ts';
import { AXES, readPoints } from './points.ts';
import type { AxisName } from './points.ts';
import { parseNumber } from './quantities.ts';
import { parseNeed, parsePlace } from './questions.ts';
import { paintFor } from './style.ts';

const FORMATS = ['table', 'json', 'csv', 'svg', 'png'] as const;
const FORMS = ['power', 'offset', 'joint'] as const;
/** Of what to set for a run, not of its loss. */
const SETTINGS = ['learning-rate', 'batch'] as const;

export const FIT: Command = {
  name: 'fit',
  summary: 'fit a scaling law to a table of runs',
  usage: 'fit FILE [--form power|offset|joint|learning-rate|batch] [options]       FILE may be - for stdin',
  description: `
Forms
  power    L = b X^a                          least squares in log-log, the form of the POLAR paper
  offset   L = E + b X^-a                     Huber loss on log residuals
  joint    L = E + A N^-alpha + B D^-beta     the same, over parameters N and tokens D
  learning-rate, batch                        the best one for each params and tokens, and its law over them
                                              (columns lr or batch, loss and, where they vary, params and tokens)

FILE has a header line and one run per row, separated by commas, tabs, semicolons or bars. Columns are params (N), tokens (D),
flops (C) and loss; other headers are named with --columns. Numbers may be written 7e9, 7B or 7,000,000,000. When one of
params, tokens and flops is missing, it is derived from C = 6 N D. Rows that cannot be read are an error unless
--skip-bad-rows is given.`,
  options: {
    form: { type: 'string', short: 'f', value: 'FORM', help: 'power, offset, joint, learning-rate or batch; default power' },
    x: { type: 'string', value: 'COLUMN', help: 'X of power and offset: params, tokens or flops; default the first of these that FILE has' },
    columns: { type: 'string', multiple: true, value: 'NAME=HEADER,...', help: 'which header is params, tokens, flops, loss, lr or batch; #3 is the third column' },
    units: { type: 'string', multiple: true, value: 'NAME=UNIT,...', help: 'what the numbers of a column are multiplied with: K, M, B, T or a number' },
    where: { type: 'string', multiple: true, value: 'CONDITION', help: 'use only rows for which it holds, as \'loss<3.4\' or \'dataset=c4\'; all of several must hold' },
    'drop-above': { type: 'string', value: 'LOSS', help: 'leave out rows with a higher loss' },
    'hold-out': { type: 'string', multiple: true, value: 'CONDITION', help: 'keep such rows out of the fit and compare them with what it predicts, as \'params>1B\'' },
    'skip-bad-rows': { type: 'boolean', help: 'go on without rows that cannot be read, and name them' },
    predict: { type: 'string', multiple: true, value: 'N=7B,D=3.6T', help: 'predict the loss there; C=1e24 is compute, for joint split in the best way' },
    need: { type: 'string', multiple: true, value: 'loss=0.35', help: 'what that loss takes; joint: the least FLOPs, or with loss=0.35,N=7B the tokens' },
    delta: { type: 'string', value: 'D', help: 'where the Huber loss turns from squares to straight; default 0.001' },
    bootstrap: { type: 'string', value: 'B', help: 'resamples for the intervals of offset and joint; 0 is none, default 1000' },
    seed: { type: 'string', value: 'SEED', help: 'of the resamples; default 0' },
    ...outputOptions(FORMATS),
  },
  examples: [
    'kubectl polar fit points.csv',
    'kubectl polar fit points.csv --form joint --predict N=7B,D=3.6T --need loss=0.35',
    'kubectl polar fit runs.csv --form joint --columns \'params=Model Size,flops=Training FLOP\' --drop-above 3.4 --out law.svg',
    'kubectl polar fit runs.tsv --x flops --where dataset=c4 --hold-out \'params>1B\' -o json',
    'kubectl polar fit runs.csv --form learning-rate --where batch=64',
    'kubectl polar sweep demo -o csv | kubectl polar fit - --form offset --x params',
  ],
  run,
};

async function run(args: Args, io: Io): Promise<void> {
  const path = args.positionals[0];
  if (path === undefined || args.positionals.length > 1) throw new UsageError(`fit: expected one FILE (or - for stdin), got ${String(args.positionals.length)}`);
  const form = oneOf('--form', args.text('form') ?? 'power', [...FORMS, ...SETTINGS]);
  if (form === 'learning-rate' || form === 'batch') {
    await (await import('./fitOptima.ts')).fitOptima(args, io, { form, path, table: tableOptionsOf(args) });
    return;
  }
  const destination = destinationOf(args, io, FORMATS);
  const options = optionsOf(args, form);
  const questions = { predict: args.texts('predict').map((text) => ({ text, at: parsePlace('--predict', text) })), need: args.texts('need').map((text) => ({ text, ...parseNeed(text) })) };
  checkQuestions(options, questions);
  const points = readPoints(parseSheet(nameOf(path), await readText(path, io)), options);
  const fitting: FitOptions = { ...fitOptionsOf(args), form: options.form, ...(points.axis === undefined ? {} : { axis: AXES[points.axis] }) };
  const answer = fitted(points, () => answerOf({ source: nameOf(path), points, fitting, fit: fitLaw(points.fitted.map(({ observation }) => observation), fitting) }, questions));
  if (destination.format !== 'table' && destination.format !== 'json') warn(answer, io);
  await writeOut(io, destination, await render(answer, destination, io));
}

async function render(answer: FitAnswer, { format, file }: { readonly format: (typeof FORMATS)[number]; readonly file?: string }, io: Io): Promise<string | Uint8Array> {
  switch (format) {
    case 'json': return `${JSON.stringify(fitJson(answer), null, 2)}\n`;
    case 'csv': return fitCsv(answer);
    case 'svg': case 'png': return draw(fitChart(answer), format);
    case 'table': return fitTable(answer, { columns: io.stdout.columns ?? 100, paint: file === undefined ? paintFor(io) : (_, text) => text });
  }
}

function warn({ points, fit }: FitAnswer, io: Io): void {
  for (const text of [...points.bad.map((bad) => `left out: ${bad}`), ...fit.warnings]) io.stderr.write(`warning: ${text}\n`);
}

function optionsOf(args: Args, form: Form): PointOptions & { readonly form: Form } {
  const axis = args.text('x');
  if (form === 'joint' && axis !== undefined) throw new UsageError('--x: expected with power and offset only, joint is over parameters and tokens');
  return {
    form, ...(axis === undefined ? {} : { axis: oneOf('--x', axis, Object.keys(AXES) as AxisName[]) }),
    ...tableOptionsOf(args), holdOut: args.texts('hold-out').map((text) => parseFilter('--hold-out', text)),
  };
}

function tableOptionsOf(args: Args): TableOptions {
  const dropAbove = args.text('drop-above');
  if (dropAbove !== undefined && Number.isNaN(parseNumber(dropAbove))) throw new UsageError(`--drop-above: expected a loss, got ${JSON.stringify(dropAbove)}`);
  return {
    named: parseColumnNames(args.texts('columns')), units: parseUnits(args.texts('units')),
    where: args.texts('where').map((text) => parseFilter('--where', text)),
    ...(dropAbove === undefined ? {} : { dropAbove: parseNumber(dropAbove) }),
    skipBadRows: args.flag('skip-bad-rows'),
  };
}

function fitOptionsOf(args: Args): Omit<FitOptions, 'form'> {
  const whole = (option: string, most: number): number | undefined => {
    const text = args.text(option);
    if (text === undefined) return undefined;
    if (!/^\d+$/.test(text) || Number(text) > most) throw new UsageError(`--${option}: expected a whole number from 0 to ${String(most)}, got ${JSON.stringify(text)}`);
    return Number(text);
  };
  const [bootstrap, seed, delta] = [whole('bootstrap', 10_000), whole('seed', 2_147_483_647), args.text('delta')];
  if (delta !== undefined && Number.isNaN(parseNumber(delta))) throw new UsageError(`--delta: expected a positive number, got ${JSON.stringify(delta)}`);
  return { ...(bootstrap === undefined ? {} : { bootstrap }), ...(seed === undefined ? {} : { seed }), ...(delta === undefined ? {} : { delta: parseNumber(delta) }) };
}

/** Turns the place of an observation into the line it came from. */
function fitted<T>(points: Points, compute: () => T): T {
  try {
    return compute();
  } catch (error) {
    if (!(error instanceof FitError)) throw error;
    const place = error.path
      .replace(/^observations\[(\d+)\]\.?/, (_, index: string) => `line ${String(points.fitted[Number(index)]?.line ?? '?')}: `)
      .replace(/^observations\[?\]?\.?/, 'the rows used: ').replace(/: $/, '').replace('parameters', 'params');
    throw new Failure(`${place}: expected ${error.expected}, got ${error.got}`);
  }
}
