// What the demo shows at its end: a table of both runs, the checks with their verdicts, and scored triples.
import type { Score } from '../operator/src/api/status.ts';
import type { Run } from './run.ts';
import type { Scored } from './scores.ts';

export interface Check { readonly name: string; readonly want: string; readonly got: string; readonly ok: boolean }

/** Seconds between a run's first attempt and its end, by the API server's clock. */
export function durationSeconds(run: Run): number {
  const { startTime, completionTime } = run.status ?? {};
  return startTime === undefined || completionTime === undefined ? NaN : (Date.parse(completionTime) - Date.parse(startTime)) / 1000;
}

/** The demo's promises about the pre-train run: it learned, and not by surface style. */
export function checksOf(pretrain: Run): Check[] {
  const accuracy = Number(pretrain.status?.validation?.seenPolicies?.accuracy);
  const baseline = Number(pretrain.status?.validation?.styleBaseline?.seenAccuracy);
  const percent = (value: number): string => `${(100 * value).toFixed(1)} %`;
  return [
    { name: 'pair accuracy on unseen prompts', want: 'at least 80 %', got: percent(accuracy), ok: accuracy >= 0.8 },
    { name: 'style, length and unigram baseline on the same pairs', want: 'at most 65 %', got: percent(baseline), ok: baseline <= 0.65 },
    { name: 'accuracy above that baseline', want: 'at least 10 points', got: `${(100 * (accuracy - baseline)).toFixed(1)} points`, ok: accuracy - baseline >= 0.1 },
  ];
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows.map((row) => '  ' + row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd()).join('\n');
}

const shown = (value: string | number | undefined): string => String(value ?? '-');

function accuracyText(run: Run): string {
  const seen: Score = run.status?.validation?.seenPolicies ?? {};
  return `${shown(seen.accuracy)} [${shown(seen.accuracyLower)}, ${shown(seen.accuracyUpper)}] n=${shown(seen.pairs)}`;
}

function rowOf(run: Run): string[] {
  const { progress = {}, checkpoints = {}, restarts = 0 } = run.status ?? {};
  return [run.metadata.name, run.kind, shown(progress.step), shown(progress.trainLoss), shown(progress.valLoss), accuracyText(run),
    `step ${shown(checkpoints.best?.step)}`, String(restarts), durationSeconds(run).toFixed(0)];
}

/** One row per run: steps, losses, accuracy with its interval, best checkpoint, restarts, seconds. */
export function runsTable(runs: readonly Run[]): string {
  return table([['run', 'kind', 'steps', 'train loss', 'val loss', 'val accuracy [95 %]', 'best', 'restarts', 'seconds'], ...runs.map(rowOf)]);
}

export function checksTable(checks: readonly Check[]): string {
  return table([['check', 'want', 'got', ''], ...checks.map(({ name, want, got, ok }) => [name, want, got, ok ? 'ok' : 'MISSED'])]);
}

const short = (text: string): string => { const flat = text.replace(/\s+/g, ' '); return flat.length > 60 ? `${flat.slice(0, 57)}...` : flat; };

/** Scored triples: the prompt, the reference and each candidate with its reward. */
export function scoresText(scored: readonly Scored[]): string {
  return scored.map((row) => [
    `  prompt     ${short(row.prompt)}`, `  reference  ${short(row.reference)}`,
    ...row.candidates.map(({ text, score }, index) => `  ${(index === 0 ? 'chosen' : 'rejected').padEnd(9)}  ${score.toFixed(3).padStart(8)}  ${short(text)}`),
  ].join('\n')).join('\n\n');
}
