// The table at the end of a campaign.
import type { Outcome } from './execute.ts';
import type { Candidate } from './rows.ts';

export const ROW_NAMES: Readonly<Record<string, string>> = {
  '1': 'killed around a write', '2': 'killed twice', '4': 'stale reads', '5': 'unobserved changes', '6': 'late and repeated news', '8': 'expired versions', '9': 'network and pauses',
  '9s': 'API server down', '10': 'conflicts', '11': 'overload', '12': 'refusals', '17': 'drift of children', '20': 'foreign objects', '21': 'telemetry that lies', '22': 'checkpoint claims that lie',
  '24': 'disruption', '25': 'deletion while creating', '28': 'status growth', 'hostile': 'values nobody meant', '29': 'no Events', 'kept': 'regressions kept',
};

export function table(candidates: readonly Candidate[], outcomes: readonly Outcome[]): string {
  const rows = Object.keys(ROW_NAMES).filter((row) => candidates.some(({ plan }) => plan.row === row) || outcomes.some(({ plan }) => plan.row === row));
  const lines = rows.map((row) => {
    const made = candidates.filter(({ plan }) => plan.row === row);
    const run = outcomes.filter(({ plan }) => plan.row === row);
    const seconds = run.reduce((sum, outcome) => sum + outcome.seconds, 0);
    return [row, ROW_NAMES[row] ?? '', made.length, made.filter(({ pruned }) => pruned !== undefined).length, run.length, run.filter(({ fired }) => fired > 0).length, run.filter(({ alarms }) => alarms.length > 0).length, seconds.toFixed(0)].map(String);
  });
  const sum = (column: number): string => String(lines.reduce((total, line) => total + Number(line[column]), 0));
  const all = [['row', 'what', 'generated', 'pruned', 'run', 'came to pass', 'alarms', 'plan-seconds'], ...lines, ['', 'all', ...[2, 3, 4, 5, 6, 7].map(sum)]];
  return all.map((line) => `| ${line.map((cell, column) => (column === 1 ? cell.padEnd(28) : cell.padStart(column === 0 ? 4 : 12))).join(' | ')} |`).join('\n');
}
