// kubectl polar fit --form learning-rate|batch: the best setting at each size and budget, and its law over them (paper App. D.1.2).
import { optimaOf, settingLaw } from '../sweep/fit/optima.ts';
import type { ScaleOptimum, Setting, SettingLaw } from '../sweep/fit/optima.ts';
import { lawStatus, optimumStatus } from '../sweep/optima.ts';
import { findColumns, headers } from './columns.ts';
import type { Args, Io } from './command.ts';
import { Failure, UsageError } from './command.ts';
import { nameOf, parseSheet, readText } from './csv.ts';
import type { Sheet } from './csv.ts';
import { destinationOf, writeOut } from './output.ts';
import { missing, readRows } from './points.ts';
import type { ReadRows, TableOptions } from './points.ts';
import type { Quantity } from './quantities.ts';
import { paintFor } from './style.ts';
import type { Paint } from './style.ts';
import { hyperLaws, optima } from './sweepOptima.ts';
import { plainText, textFields } from './textTable.ts';

type SettingForm = 'learning-rate' | 'batch';

interface About {
  readonly of: Setting;
  readonly column: 'lr' | 'batch';
  /** What else blurs the comparison when it varies. */
  readonly other: 'lr' | 'batch';
  readonly method: string;
}

const ABOUT: Readonly<Record<SettingForm, About>> = {
  'learning-rate': { of: 'learningRate', column: 'lr', other: 'batch', method: 'quartic of loss in ln lr' },
  batch: { of: 'batchTriplets', column: 'batch', other: 'lr', method: 'quadratic of loss in ln batch' },
};

/** Options of `fit` that mean nothing here. */
const FOREIGN = ['x', 'hold-out', 'predict', 'need', 'delta', 'bootstrap', 'seed'];

interface Found {
  readonly source: string;
  readonly form: SettingForm;
  readonly read: ReadRows;
  readonly optima: readonly ScaleOptimum[];
  readonly law: SettingLaw;
  readonly warnings: readonly string[];
}

export async function fitOptima(args: Args, io: Io, { form, path, table }: { readonly form: SettingForm; readonly path: string; readonly table: TableOptions }): Promise<void> {
  const destination = destinationOf(args, io, ['table', 'json']);
  const foreign = FOREIGN.find((option) => args.texts(option).length > 0);
  if (foreign !== undefined) throw new UsageError(`--${foreign}: expected with power, offset and joint only, got --form ${form}`);
  const found = findOptima(form, parseSheet(nameOf(path), await readText(path, io)), table);
  const text = destination.format === 'json' ? `${JSON.stringify(jsonOf(found), null, 2)}\n` : tableOf(found, destination.file === undefined ? paintFor(io) : (_, plain) => plain);
  await writeOut(io, destination, text);
}

/** Throws Failure when no size and budget has three values. */
function findOptima(form: SettingForm, sheet: Sheet, table: TableOptions): Found {
  const { of, column, other } = ABOUT[form];
  const columns = findColumns(sheet, table.named, ['params', 'tokens', 'loss', column, other]);
  for (const quantity of [column, 'loss'] as const) if (columns[quantity] === undefined) throw new Failure(missing(sheet, quantity));
  const scales = (['params', 'tokens'] as const).filter((quantity) => columns[quantity] !== undefined);
  const read = readRows(sheet, { columns, needed: [column, ...scales, 'loss'] }, table);
  const found = optimaOf(of, read.good.map(({ values: { params, tokens, loss = 0, [column]: value = 0 } }) => ({ ...(params === undefined ? {} : { parameters: params }), ...(tokens === undefined ? {} : { tokens }), value, loss })));
  if (found.length === 0) throw new Failure(`${sheet.name}: expected at least three values of ${column} at one ${scales.length === 0 ? 'scale' : scales.join(' and ')} in ${String(read.good.length)} rows, got fewer; columns are ${headers(sheet)}`);
  return { source: sheet.name, form, read, optima: found, law: settingLaw(of, found), warnings: [...read.bad.map((bad) => `left out: ${bad}`), ...blurred(read, columns[other], other)] };
}

/** Rows are compared as they are: another setting that varies must be chosen. */
function blurred({ good }: ReadRows, index: number | undefined, other: Quantity): readonly string[] {
  const values = new Set(index === undefined ? [] : good.map(({ row }) => row.fields[index] ?? ''));
  return values.size < 2 ? [] : [`${other} has ${String(values.size)} values in these rows: choose one with --where, or it blurs the optimum`];
}

function tableOf({ source, form, read, optima: list, law, warnings }: Found, paint: Paint): string {
  const { of, column, method } = ABOUT[form];
  const sections = [
    textFields([
      ['Best', `${column} by a ${method}`],
      ['Runs', `${String(read.good.length)} of ${String(read.rows)} rows of ${source}`],
      ['Columns', read.columns.map(({ quantity, header }) => `${quantity} = ${JSON.stringify(header)}`).join(', ')],
      ...(law.fit === undefined ? [] : [['Law', formulaOf(column, law.fit.law)] as const]),
    ]),
    optima(list.map((one) => optimumStatus(of, one))), hyperLaws([lawStatus(of, list)]),
    warnings.map((text) => `${paint('yellow', 'warning:')} ${plainText(text)}`).join('\n'),
  ];
  return `${sections.filter((text) => text !== '').join('\n\n')}\n`;
}

function formulaOf(column: string, { coefficient, exponents }: NonNullable<SettingLaw['fit']>['law']): string {
  const factor = (symbol: string, exponent: number | undefined): readonly string[] => (exponent === undefined ? [] : [`${symbol}^${exponent.toPrecision(4)}`]);
  return [`${column} =`, coefficient.toPrecision(4), ...factor('(N / 2^20)', exponents.parameters), ...factor('(D / 2^30)', exponents.tokens)].join(' ');
}

/** Full precision; the names of `status.optima` and `status.hyperLaws` of a PolarSweep where both have them. */
function jsonOf({ source, form, read, optima: list, law, warnings }: Found): Record<string, unknown> {
  const { of } = ABOUT[form];
  return {
    source, rows: { total: read.rows, fitted: read.good.length, leftOut: read.filtered, bad: read.bad },
    columns: Object.fromEntries(read.columns.map(({ quantity, header }) => [quantity, header])), form,
    optima: list.map((one) => ({ of, ...one })),
    hyperLaw: { of, points: law.points, ...(law.fit === undefined ? {} : { coefficients: law.fit.estimates, r2: law.fit.r2, residuals: law.fit.residuals }), notes: law.notes },
    warnings,
  };
}
