// What status says of the laws, and what planning knows of them. Plain data.
import type { SweepStatus } from '../api/sweepStatus.ts';
import type { Fit } from './fit/types.ts';

export interface FitView {
  readonly state: 'Fitted' | 'FitPending' | 'TooFewPoints' | 'FitFailed';
  readonly message: string;
  readonly fields: Pick<SweepStatus, 'fits' | 'prediction' | 'optima' | 'hyperLaws' | 'summary' | 'fittedRecords'>;
  /** The law to plan with, of all points that have ended; pending while it is computed. */
  readonly design: Fit | 'none' | 'pending';
}

export const NO_FIT: FitView = { state: 'TooFewPoints', message: 'no point has ended with a validation loss', fields: {}, design: 'none' };
