// Choosing rows: `loss<3.4`, `Model Size>=1e8`, `dataset=c4`.
import { UsageError } from './command.ts';
import type { Columns } from './columns.ts';
import { columnNamed } from './columns.ts';
import type { Row, Sheet } from './csv.ts';
import { QUANTITIES, parseAmount } from './quantities.ts';

export interface Filter {
  readonly text: string;
  readonly column: string;
  readonly comparison: Comparison;
  readonly value: string;
}

const COMPARISONS = {
  '<=': (a: number, b: number) => a <= b,
  '>=': (a: number, b: number) => a >= b,
  '!=': (a: number, b: number) => a !== b,
  '<': (a: number, b: number) => a < b,
  '>': (a: number, b: number) => a > b,
  '=': (a: number, b: number) => a === b,
} as const;
type Comparison = keyof typeof COMPARISONS;

/** Throws UsageError when the text is no COLUMN, comparison, VALUE. */
export function parseFilter(option: string, text: string): Filter {
  const [, column = '', comparison = '', value = ''] = /^(.+?)\s*(<=|>=|!=|==|<|>|=)\s*(.+)$/s.exec(text.trim()) ?? [];
  if (column === '') throw new UsageError(`${option}: expected COLUMN<VALUE with <, <=, >, >=, = or !=, got ${JSON.stringify(text)}`);
  const known = (comparison === '==' ? '=' : comparison) as Comparison;
  if (/[<>]/.test(known) && Number.isNaN(numberOf(value))) throw new UsageError(`${option}: expected a number after ${known}, got ${JSON.stringify(value)}`);
  return { text: text.trim(), column, comparison: known, value };
}

/** A test of rows. A row whose field is no number never passes <, <=, > and >=. Throws Failure when there is no such column. */
export function matcher(sheet: Sheet, columns: Columns, { column, comparison, value, text }: Filter): (row: Row) => boolean {
  const quantity = QUANTITIES.find((each) => each === column);
  const index = (quantity === undefined ? undefined : columns[quantity]) ?? columnNamed(sheet, column, text);
  const wanted = numberOf(value);
  return ({ fields }) => {
    const field = fields[index] ?? '';
    const number = numberOf(field);
    const bothNumbers = !Number.isNaN(wanted) && !Number.isNaN(number);
    if (bothNumbers) return COMPARISONS[comparison](number, wanted);
    return comparison === '=' ? field === value : comparison === '!=' && field !== value;
  };
}

function numberOf(text: string): number {
  const amount = parseAmount(text);
  return Number.isNaN(amount) && text.trim() !== '' ? Number(text) : amount;
}
