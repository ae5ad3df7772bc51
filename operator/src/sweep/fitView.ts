// What status says of the laws. Plain data.
import type { SweepStatus } from '../api/sweepStatus.ts';

export interface FitView {
  readonly state: 'Fitted' | 'FitPending' | 'TooFewPoints';
  readonly message: string;
  readonly fields: Pick<SweepStatus, 'fits' | 'prediction' | 'summary' | 'fittedRecords'>;
}

export const NO_FIT: FitView = { state: 'TooFewPoints', message: 'no point has ended with a validation loss', fields: {} };
