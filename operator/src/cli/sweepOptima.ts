// The best learning rates and batches of a sweep, and their laws, for people to read. Numbers are the status's own text.
import type { HyperLawStatus, OptimumStatus } from '../api/sweepStatus.ts';
import { formatQuantity } from './quantities.ts';
import type { Quantity } from './quantities.ts';
import { textTable } from './textTable.ts';

const TITLES: Readonly<Record<OptimumStatus['of'], string>> = { learningRate: 'learning rate', batchTriplets: 'batch' };
const number = (title: string): { title: string; right: boolean } => ({ title, right: true });

export function optima(list: readonly OptimumStatus[]): string {
  if (list.length === 0) return '';
  return textTable([{ title: 'BEST' }, { title: 'SIZE' }, number('PARAMS'), number('TOKENS'), number('VALUE'), number('95 % FROM'), number('TO'), number('LOSS'), number('RUNS'), { title: 'NOTE' }], list.map((one) => [
    TITLES[one.of], one.size ?? '-', short('params', one.parameters), short('tokens', one.tokens), one.value, one.lower ?? '-', one.upper ?? '-', one.loss ?? '-', String(one.runs ?? '-'), one.message ?? '',
  ]));
}

/** One line for each coefficient; a law that could not be fitted has one line that says why. */
export function hyperLaws(list: readonly HyperLawStatus[]): string {
  if (list.length === 0) return '';
  const rows = list.flatMap(({ of, coefficients = [], r2 = '-', points, message = '' }) => {
    const head = [TITLES[of], r2, String(points ?? '-')];
    const parts = coefficients.length === 0 ? [['-', '-', '-', '-']] : coefficients.map(({ name, value, lower = '-', upper = '-' }) => [name === 'coefficient' ? name : `exponent of ${name}`, value, lower, upper]);
    return parts.map((part, index) => [...(index === 0 ? head : ['', '', '']), ...part, index === 0 ? message : '']);
  });
  return textTable([{ title: 'LAW OF' }, number('R2'), number('OPTIMA'), { title: 'PARAMETER' }, number('VALUE'), number('95 % FROM'), number('TO'), { title: 'NOTE' }], rows);
}

function short(quantity: Quantity, text: string | undefined): string {
  return text === undefined ? '-' : formatQuantity(quantity, Number(text));
}
