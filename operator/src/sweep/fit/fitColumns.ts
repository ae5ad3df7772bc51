import { fitLine } from './line.ts';
import { fitOffsetOrJoint } from './sumFit.ts';
import type { Bare } from './bare.ts';
import type { Columns } from './columns.ts';
import type { Settings } from './settings.ts';

/** The fit alone. `others` are objectives of other minima, for the sum laws. */
export function fitColumns(columns: Columns, settings: Settings): { bare: Bare; others: readonly number[] } {
  return settings.form === 'power' ? { bare: fitLine(columns, settings), others: [] } : fitOffsetOrJoint(columns, settings);
}
