// From the rows of a table to observations that a law can be fitted to.
import type { Axis, Form, Observation } from '../sweep/fit/types.ts';
import type { Columns, Units } from './columns.ts';
import { findColumns, headers, isHeaderless } from './columns.ts';
import { Failure } from './command.ts';
import type { Row, Sheet } from './csv.ts';
import type { Filter } from './filter.ts';
import { matcher } from './filter.ts';
import { parseAmount, parseNumber } from './quantities.ts';
import type { Quantity } from './quantities.ts';
import { completePlace } from './questions.ts';

export const AXES = { params: 'parameters', tokens: 'tokens', flops: 'flops' } as const satisfies Partial<Record<Quantity, Axis>>;
export type AxisName = keyof typeof AXES;

export interface PointOptions {
  readonly form: Form;
  /** Of power and offset; chosen from what the table has when absent. */
  readonly axis?: AxisName;
  readonly named: ReadonlyMap<Quantity, string>;
  readonly units: Units;
  /** Rows that pass all of these are used. */
  readonly where: readonly Filter[];
  /** Rows with a higher loss, once in units, are left out. */
  readonly dropAbove?: number;
  /** Of those, rows that pass any of these are kept out of the fit. */
  readonly holdOut: readonly Filter[];
  readonly skipBadRows: boolean;
}

/** A run of the table, with the line it is on and every column that could be read or derived. */
export interface PointRow {
  readonly line: number;
  readonly observation: Observation;
}

export interface Points {
  readonly axis: AxisName | undefined;
  readonly fitted: readonly PointRow[];
  readonly heldOut: readonly PointRow[];
  /** Rows of the table, and those that `where` left out or that could not be read. */
  readonly rows: number;
  readonly filtered: number;
  readonly bad: readonly string[];
  readonly columns: readonly { readonly quantity: Quantity; readonly header: string }[];
  /** How a column that the table lacks was made, as `tokens = flops / (6 params)`. */
  readonly derived?: string;
}

const SHOWN_ERRORS = 10;
/** Which are never written as 7B. */
const NO_COUNTS: ReadonlySet<Quantity> = new Set(['loss', 'lr']);
const DERIVED = { tokens: 'tokens = flops / (6 params)', flops: 'flops = 6 params tokens', params: 'params = flops / (6 tokens)' } as const;

/** Throws Failure naming the column or the lines that do not fit. */
export function readPoints(sheet: Sheet, options: PointOptions): Points {
  const columns = findColumns(sheet, options.named);
  const plan = planFor(sheet, columns, options);
  const holds = options.holdOut.map((filter) => matcher(sheet, columns, filter));
  const { good, ...read } = readRows(sheet, { columns, needed: plan.needed }, options);
  const used = good.map(({ row, values }) => ({ line: row.line, held: holds.some((test) => test(row)), observation: complete(values, row.line) }));
  const part = (wanted: boolean): PointRow[] => used.filter(({ held }) => held === wanted).map(({ line, observation }) => ({ line, observation }));
  return { axis: plan.axis, fitted: part(false), heldOut: part(true), ...read, ...(plan.derived === undefined ? {} : { derived: DERIVED[plan.derived] }) };
}

export type TableOptions = Omit<PointOptions, 'form' | 'axis' | 'holdOut'>;

export interface ReadRows extends Pick<Points, 'rows' | 'filtered' | 'bad' | 'columns'> {
  /** Rows that passed and could be read. */
  readonly good: readonly { readonly row: Row; readonly values: Values }[];
}

/** The rows that pass --where and --drop-above. Throws Failure naming the lines that cannot be read, unless they are to be left out. */
export function readRows(sheet: Sheet, { columns, needed }: { readonly columns: Columns; readonly needed: readonly Quantity[] }, options: TableOptions): ReadRows {
  const rows = isHeaderless(sheet, columns, options.named) ? [sheet.header, ...sheet.rows] : refuseNumbersAsHeader(sheet);
  const tests = options.where.map((filter) => matcher(sheet, columns, filter));
  const kept = rows.filter((row) => tests.every((test) => test(row)));
  const read = kept.map((row) => ({ row, ...readRow(sheet, row, { columns, needed, units: options.units }) }));
  const bad = read.flatMap(({ problem }) => (problem === undefined ? [] : [problem]));
  if (bad.length > 0 && !options.skipBadRows) throw new Failure(badRows(sheet, bad));
  const good = read.flatMap(({ row, values }) => (values === undefined || (values.loss ?? 0) > (options.dropAbove ?? Infinity) ? [] : [{ row, values }]));
  return {
    good, rows: rows.length, filtered: rows.length - bad.length - good.length, bad,
    columns: needed.map((quantity) => ({ quantity, header: sheet.header.fields[columns[quantity] ?? 0] ?? '' })),
  };
}

interface Plan {
  readonly axis: AxisName | undefined;
  readonly needed: readonly Quantity[];
  readonly derived?: AxisName;
}

/** Which columns are read. Two of params, tokens and flops give the third by C = 6 N D. */
function planFor(sheet: Sheet, columns: Columns, { form, axis: asked }: PointOptions): Plan {
  const has = (quantity: Quantity): boolean => columns[quantity] !== undefined;
  if (!has('loss')) throw new Failure(missing(sheet, 'loss'));
  const given = (Object.keys(AXES) as AxisName[]).filter(has);
  return form === 'joint' ? planForJoint(sheet, given) : planForAxis(sheet, given, asked ?? given[0] ?? 'params');
}

function planForAxis(sheet: Sheet, given: readonly AxisName[], axis: AxisName): Plan {
  if (given.includes(axis)) return { axis, needed: [axis, 'loss'] };
  if (given.length === 2) return { axis, needed: [...given, 'loss'], derived: axis };
  throw new Failure(missing(sheet, axis));
}

function planForJoint(sheet: Sheet, given: readonly AxisName[]): Plan {
  if (given.length < 2) throw new Failure(missing(sheet, given.includes('params') ? 'tokens' : 'params'));
  // With all three, what was counted is taken: parameters and tokens.
  const derived = (['params', 'tokens'] as const).find((name) => !given.includes(name));
  return { axis: undefined, needed: [...(derived === undefined ? ['params', 'tokens'] as const : given), 'loss'], ...(derived === undefined ? {} : { derived }) };
}

export function missing(sheet: Sheet, quantity: Quantity): string {
  return `${sheet.name}: no column for ${quantity}: name it with --columns ${quantity}=NAME, one of ${headers(sheet)}`;
}

function refuseNumbersAsHeader(sheet: Sheet): readonly Row[] {
  const { fields, line } = sheet.header;
  if (fields.every((field) => !Number.isNaN(parseNumber(field)))) throw new Failure(`${sheet.name}: line ${String(line)}: expected a header, got only numbers; name columns by position, as --columns params=#1,loss=#2`);
  return sheet.rows;
}

export type Values = Partial<Record<Quantity, number>>;

function readRow(sheet: Sheet, row: Row, reading: { readonly columns: Columns; readonly needed: readonly Quantity[]; readonly units: Units }): { readonly values?: Values; readonly problem?: string } {
  const values: Values = {};
  for (const quantity of reading.needed) {
    const index = reading.columns[quantity] ?? 0;
    const field = row.fields[index];
    const number = (NO_COUNTS.has(quantity) ? parseNumber : parseAmount)(decimalPoint(field ?? '', sheet)) * (reading.units[quantity] ?? 1);
    if (!Number.isFinite(number)) {
      const got = field === undefined ? `only ${String(row.fields.length)} of ${String(sheet.header.fields.length)} fields` : field === '' ? 'nothing' : JSON.stringify(field.slice(0, 40));
      return { problem: `line ${String(row.line)}: column ${JSON.stringify(sheet.header.fields[index] ?? `#${String(index + 1)}`)}: expected a positive number, got ${got}` };
    }
    values[quantity] = number;
  }
  return { values };
}

/** Where semicolons separate, a comma is the decimal mark, as spreadsheets write in much of the world. */
function decimalPoint(field: string, { separator }: Sheet): string {
  return separator === 'semicolons' && /^\d+,\d+(e[+-]?\d+)?$/i.test(field) ? field.replace(',', '.') : field;
}

function complete({ params, tokens, flops, loss = 0 }: Values, line: number): Observation {
  const given = Object.entries({ parameters: params, tokens, flops }).filter(([, value]) => value !== undefined);
  return { ...completePlace(Object.fromEntries(given)), loss, label: `line ${String(line)}` };
}

function badRows(sheet: Sheet, bad: readonly string[]): string {
  const more = bad.length > SHOWN_ERRORS ? [`and ${String(bad.length - SHOWN_ERRORS)} more`] : [];
  return [`${sheet.name}: ${String(bad.length)} of the rows cannot be read; --skip-bad-rows goes on without them`, ...bad.slice(0, SHOWN_ERRORS), ...more].join('\n  ');
}
