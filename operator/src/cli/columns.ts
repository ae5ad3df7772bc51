// Which column of a table is what: named by the user, or known by its header.
import { Failure, UsageError } from './command.ts';
import type { Sheet } from './csv.ts';
import { QUANTITIES, parseAmount } from './quantities.ts';
import type { Quantity } from './quantities.ts';

/** Index of the column of each quantity that the table has. */
export type Columns = Readonly<Partial<Record<Quantity, number>>>;
export type Units = Readonly<Partial<Record<Quantity, number>>>;

/** Headers, in lower case and without anything but letters and digits. */
const KNOWN: Readonly<Record<Quantity, readonly string[]>> = {
  params: ['params', 'parameters', 'n', 'param', 'nparams', 'numparams', 'nparameters', 'numparameters', 'parametercount', 'paramcount', 'modelsize', 'modelparams', 'modelparameters', 'totalparams'],
  tokens: ['tokens', 'd', 'ntokens', 'numtokens', 'tokencount', 'trainingtokens', 'traintokens', 'datasetsize', 'datasize', 'datatokens'],
  flops: ['flops', 'flop', 'c', 'compute', 'trainingflops', 'trainingflop', 'trainflops', 'totalflops', 'computeflops', 'trainingcompute'],
  loss: ['loss', 'l', 'valloss', 'validationloss', 'evalloss', 'testloss', 'finalloss', 'finalvalloss', 'lossval', 'heldoutloss'],
  lr: ['lr', 'learningrate', 'peaklr', 'peaklearningrate', 'maxlr'],
  batch: ['batch', 'batchsize', 'batchtriplets', 'globalbatch', 'globalbatchsize', 'bs'],
};

const normal = (header: string): string => header.toLowerCase().replaceAll(/[^\p{L}\p{N}]/gu, '');

/** `--columns params=Model Size,loss=#4` as quantity to header; a comma inside a header is kept. Throws UsageError. */
export function parseColumnNames(given: readonly string[]): ReadonlyMap<Quantity, string> {
  const names = new Map<Quantity, string>();
  for (const part of given.flatMap(splitPairs)) {
    const [quantity, name] = pairOf('--columns', part);
    if (names.has(quantity)) throw new UsageError(`--columns: expected ${quantity} once, got it twice`);
    names.set(quantity, name);
  }
  return names;
}

/** `--units params=M,tokens=B` as factors. Throws UsageError. */
export function parseUnits(given: readonly string[]): Units {
  return Object.fromEntries(given.flatMap(splitPairs).map((part) => {
    const [quantity, text] = pairOf('--units', part);
    const factor = parseAmount(/^\d/.test(text) ? text : `1${text}`);
    if (Number.isNaN(factor)) throw new UsageError(`--units: expected K, M, B, T or a factor such as 1e18 for ${quantity}, got ${JSON.stringify(text)}`);
    return [quantity, factor];
  }));
}

/** At commas, but only before the next `name=`. */
function splitPairs(text: string): readonly string[] {
  return text.split(new RegExp(`,(?=\\s*(?:${QUANTITIES.join('|')})\\s*=)`));
}

function pairOf(option: string, part: string): readonly [Quantity, string] {
  const at = part.indexOf('=');
  const quantity = QUANTITIES.find((each) => each === part.slice(0, Math.max(0, at)).trim());
  const value = part.slice(at + 1).trim();
  if (quantity === undefined || value === '') throw new UsageError(`${option}: expected NAME=VALUE with a name of ${QUANTITIES.join(', ')}, got ${JSON.stringify(part)}`);
  return [quantity, value];
}

/** Index of the column with that header, exactly or but for case and punctuation; `#3` is the third. Throws Failure naming what there is. */
export function columnNamed(sheet: Sheet, name: string, where: string): number {
  const { fields } = sheet.header;
  const position = /^#(\d+)$/.exec(name)?.[1];
  if (position !== undefined) return columnAt(sheet, Number(position), where);
  for (const same of [(field: string) => field === name, (field: string) => normal(field) !== '' && normal(field) === normal(name)]) {
    const found = fields.flatMap((field, index) => (same(field) ? [index] : []));
    if (found.length === 1) return found[0] ?? 0;
    if (found.length > 1) throw new Failure(`${where}: expected one column ${JSON.stringify(name)} in ${sheet.name}, got ${String(found.length)}; name it by position, as #${String((found[0] ?? 0) + 1)}`);
  }
  throw new Failure(`${where}: no column ${JSON.stringify(name)} in ${sheet.name}: expected one of ${headers(sheet)}`);
}

function columnAt(sheet: Sheet, position: number, where: string): number {
  const { length } = sheet.header.fields;
  if (position < 1 || position > length) throw new Failure(`${where}: expected a position from #1 to #${String(length)} in ${sheet.name}, got #${String(position)}`);
  return position - 1;
}

export function headers(sheet: Sheet): string {
  const shown = sheet.header.fields.slice(0, 40).map((field) => JSON.stringify(field));
  return `${shown.join(', ')}${sheet.header.fields.length > 40 ? ', ...' : ''} (separated by ${sheet.separator})`;
}

const OF_LOSS_LAWS: readonly Quantity[] = ['params', 'tokens', 'flops', 'loss'];

/** The columns that were named, and those of `wanted` known by their header. Throws Failure when a header could be two things. */
export function findColumns(sheet: Sheet, named: ReadonlyMap<Quantity, string>, wanted: readonly Quantity[] = OF_LOSS_LAWS): Columns {
  const entries = QUANTITIES.flatMap((quantity) => {
    const name = named.get(quantity);
    if (name === undefined && !wanted.includes(quantity)) return [];
    const index = name === undefined ? known(sheet, quantity) : columnNamed(sheet, name, `--columns ${quantity}=${name}`);
    return index === undefined ? [] : [[quantity, index] as const];
  });
  return Object.fromEntries(entries);
}

function known(sheet: Sheet, quantity: Quantity): number | undefined {
  const found = sheet.header.fields.flatMap((field, index) => (KNOWN[quantity].includes(normal(field)) ? [index] : []));
  if (found.length > 1) {
    const names = found.map((index) => JSON.stringify(sheet.header.fields[index])).join(' and ');
    throw new Failure(`${sheet.name}: line ${String(sheet.header.line)}: ${names} could each be ${quantity}: say which with --columns ${quantity}=NAME`);
  }
  return found[0];
}

/** True when every column in use was named by position and the first line holds numbers there: it is no header. */
export function isHeaderless(sheet: Sheet, columns: Columns, named: ReadonlyMap<Quantity, string>): boolean {
  const used = Object.entries(columns) as [Quantity, number][];
  return used.length > 0 && used.every(([quantity, index]) => named.get(quantity)?.startsWith('#') === true && !Number.isNaN(parseAmount(sheet.header.fields[index] ?? '')));
}
