import { different } from './columns.ts';
import { fitColumns } from './fitColumns.ts';
import { lawAt } from './lawAt.ts';
import type { Columns } from './columns.ts';
import type { Settings } from './settings.ts';
import type { Extrapolation } from './types.ts';

/** Sizes this close to the largest are held out with it. */
const SAME_SIZE = 1.1;

/** Leave-largest-out: fits without the largest size (or X) and compares what it says of it; undefined when too little is left for a fit. */
export function extrapolationOf(columns: Columns, settings: Settings): Extrapolation | undefined {
  const size = columns.x[0]!;
  const largest = size.reduce((a, b) => Math.max(a, b));
  return heldOutError(columns, settings, (i) => size[i]! * SAME_SIZE < largest);
}

/** Fits the points that `keep` names and compares with the others; undefined when the rest is too little for a fit. */
export function heldOutError(columns: Columns, settings: Settings, keep: (i: number) => boolean): Extrapolation | undefined {
  const inside = pick(columns, keep);
  const outside = pick(columns, (i) => !keep(i));
  if (outside.loss.length === 0 || !enough(inside, settings)) return undefined;
  const { bare } = fitColumns(inside, { ...settings, bootstrap: 0 });
  const values = bare.estimates.map((estimate) => estimate.value);
  const errors = outside.loss.map((loss, i) => lawAt(bare.form, values, outside.x.map((column) => column[i]!)) / loss - 1);
  const total = errors.reduce((sum, error) => sum + error, 0);
  return { heldOut: errors.length, error: errors.reduce((sum, error) => sum + Math.abs(error), 0) / errors.length, bias: total / errors.length };
}

export function pick(columns: Columns, keep: (i: number) => boolean): Columns {
  const only = (values: readonly number[]): number[] => values.filter((_, i) => keep(i));
  return { axes: columns.axes, x: columns.x.map(only), loss: only(columns.loss) };
}

/** Whether a form can be fitted to the columns. */
export function enough(columns: Columns, settings: Pick<Settings, 'form'>): boolean {
  const [points, values] = { power: [3, 2], offset: [4, 3], joint: [6, 2] }[settings.form] as [number, number];
  return columns.loss.length >= points && columns.x.every((column) => different(column).length >= values);
}
