// A law and its points in characters, both axes logarithmic.
import type { Chart, CurvePoint } from './chart.ts';
import { domains, ticks } from './chart.ts';
import type { Paint } from './style.ts';

const MIN_WIDTH = 40;
const MAX_WIDTH = 110;
const GUTTER = 9;
const MARKS = { band: ':', line: '-', beyond: '.', point: 'o', heldOut: 'x', bar: '|', target: '+' } as const;
type Mark = keyof typeof MARKS;

type Grid = (Mark | undefined)[][];

interface Canvas {
  readonly grid: Grid;
  readonly width: number;
  readonly height: number;
  readonly column: (x: number) => number;
  readonly row: (y: number) => number;
}

/** Lines for a terminal of `columns` characters. Later marks cover earlier ones: band, line, points, targets. */
export function textPlot(chart: Chart, columns: number, paint: Paint): string {
  const width = Math.min(MAX_WIDTH, Math.max(MIN_WIDTH, columns - 1)) - GUTTER;
  const height = Math.max(12, Math.min(20, Math.round(width / 4.5)));
  const { x, y } = domains(chart);
  const scale = ([low, high]: readonly [number, number], cells: number) => (value: number): number => Math.round(Math.log(value / low) / Math.log(high / low) * (cells - 1));
  const row = scale(y, height);
  const canvas: Canvas = { grid: Array.from({ length: height }, () => Array<Mark | undefined>(width).fill(undefined)), width, height, column: scale(x, width), row: (value) => height - 1 - row(value) };
  drawCurve(canvas, chart);
  for (const point of chart.points) set(canvas, point.x, point.y, point.heldOut ? 'heldOut' : 'point');
  for (const target of chart.targets) drawTarget(canvas, target);
  const labels = rowLabels(canvas, y);
  const lines = canvas.grid.map((cells, index) => `${(labels.get(index) ?? '').padStart(GUTTER - 2)} ${labels.has(index) ? '+' : '|'}${painted(cells, paint)}`.trimEnd());
  return ['loss'.padStart(GUTTER - 2), ...lines, ...xAxis(canvas, chart, x), paint('dim', `${' '.repeat(GUTTER)}${legend(chart)}`)].join('\n');
}

function set({ grid, column, row }: Canvas, x: number, y: number, mark: Mark): void {
  const cells = grid[row(y)];
  const at = column(x);
  if (cells !== undefined && at >= 0 && at < cells.length) cells[at] = mark;
}

function fill({ grid, height }: Canvas, column: number, rows: readonly [number, number], mark: Mark): void {
  const [from, to] = [Math.max(0, Math.min(...rows)), Math.min(height - 1, Math.max(...rows))];
  for (let index = from; index <= to; index++) {
    const cells = grid[index];
    if (cells !== undefined && column < cells.length) cells[column] = mark;
  }
}

/** One cell of the line per column, with steep parts joined. */
function drawCurve(canvas: Canvas, { curve, fittedTo }: Chart): void {
  const byColumn = new Map(curve.map((point) => [canvas.column(point.x), point]));
  let before: number | undefined;
  for (const [column, { lower, upper }] of byColumn) {
    if (lower !== undefined && upper !== undefined) fill(canvas, column, [canvas.row(lower), canvas.row(upper)], 'band');
  }
  for (const [column, { x, y }] of byColumn) {
    const row = canvas.row(y);
    const joined = before === undefined || Math.abs(before - row) <= 1 ? row : before + Math.sign(row - before);
    fill(canvas, column, [row, joined], x > fittedTo * 1.001 ? 'beyond' : 'line');
    before = row;
  }
}

function drawTarget(canvas: Canvas, { x, y, lower, upper }: CurvePoint): void {
  if (lower !== undefined && upper !== undefined) fill(canvas, canvas.column(x), [canvas.row(lower), canvas.row(upper)], 'bar');
  set(canvas, x, y, 'target');
}

function painted(cells: readonly (Mark | undefined)[], paint: Paint): string {
  return cells.map((mark) => {
    if (mark === undefined) return ' ';
    if (mark === 'band') return paint('dim', MARKS.band);
    if (mark === 'line' || mark === 'beyond') return paint('red', MARKS[mark]);
    return paint(mark === 'point' ? 'cyan' : 'yellow', MARKS[mark]);
  }).join('');
}

/** Round losses, a row each. */
function rowLabels({ row }: Canvas, domain: readonly [number, number]): ReadonlyMap<number, string> {
  const values = ticks(domain, 6);
  const smallest = Math.min(...values.map((value, index) => Math.abs(value - (values[index - 1] ?? 0))));
  const decimals = Math.min(6, Math.max(0, -Math.floor(Math.log10(smallest) + 1e-9)));
  return new Map(values.map((value) => [row(value), value < 1e-4 || value >= 1e5 ? value.toExponential(1) : value.toFixed(decimals)]));
}

function xAxis({ column, width }: Canvas, { formatX, xTitle }: Chart, domain: readonly [number, number]): readonly string[] {
  const rule = Array<string>(width).fill('-');
  const labels = Array<string>(width + 8).fill(' ');
  let free = -2;
  for (const value of ticks(domain, Math.floor(width / 9))) {
    const text = formatX(value);
    const at = column(value);
    const from = Math.max(0, at - Math.floor(text.length / 2));
    if (from <= free) continue;
    rule[at] = '+';
    labels.splice(from, text.length, ...text);
    free = from + text.length;
  }
  return [`${' '.repeat(GUTTER - 1)}+${rule.join('')}`, `${' '.repeat(GUTTER)}${labels.join('').trimEnd()}`, `${' '.repeat(GUTTER)}${xTitle.padStart(width)}`];
}

function legend({ points, curve, targets, fittedTo }: Chart): string {
  const has = (mark: Mark, text: string, shown: boolean): string[] => (shown ? [`${MARKS[mark]} ${text}`] : []);
  return [
    ...has('point', 'run', points.some(({ heldOut }) => !heldOut)), ...has('heldOut', 'held out', points.some(({ heldOut }) => heldOut)),
    ...has('line', 'law', curve.length > 0), ...has('beyond', 'extrapolated', curve.some(({ x }) => x > fittedTo * 1.001)),
    ...has('band', '95 % interval', curve.some(({ lower }) => lower !== undefined)), ...has('target', 'prediction', targets.length > 0),
  ].join('   ');
}
