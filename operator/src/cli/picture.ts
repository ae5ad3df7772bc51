// A law and its points as SVG, drawn with Observable Plot on a document that needs no browser.
import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import type { Chart, ChartPoint, CurvePoint } from './chart.ts';
import { domains, ticks } from './chart.ts';
import { formatNumber } from './quantities.ts';

const WIDTH = 820;
const PLOT_TOP = 72;
const PLOT_HEIGHT = 440;
const HEIGHT = PLOT_TOP + PLOT_HEIGHT + 34;
const INK = { text: '#1f2933', soft: '#616e7c', run: '#1864ab', law: '#c92a2a', target: '#e67700' } as const;
const FONT = 'Inter, system-ui, sans-serif';

/** One SVG document on a white ground. */
export function picture(chart: Chart): string {
  const { document } = parseHTML('<!doctype html><html><body></body></html>');
  const plot = Plot.plot({ ...frame(chart), document, marks: marks(chart) });
  plot.setAttribute('y', String(PLOT_TOP));
  // Its own sheet is for web pages; a file needs none.
  for (const sheet of plot.querySelectorAll('style')) sheet.remove();
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${String(WIDTH)}" height="${String(HEIGHT)}" viewBox="0 0 ${String(WIDTH)} ${String(HEIGHT)}" font-family="${FONT}" fill="${INK.text}" color="${INK.text}">\n`
    + `<title>${escaped(chart.title)}</title>\n<rect width="100%" height="100%" fill="white"/>\n${heading(chart)}\n${clipsRenamed(plot.outerHTML)}\n${legend(chart)}\n</svg>\n`;
}

/** Plot numbers its clips over the life of the process; a picture is the same every time. */
function clipsRenamed(svg: string): string {
  const names = [...new Set(svg.match(/plot-clip-\d+/g) ?? [])];
  return svg.replaceAll(/plot-clip-\d+/g, (name) => `law-clip-${String(names.indexOf(name))}`);
}

function frame(chart: Chart): Plot.PlotOptions {
  const { x, y } = domains(chart);
  return {
    width: WIDTH, height: PLOT_HEIGHT, marginLeft: 62, marginRight: 28, marginBottom: 46, marginTop: 22, grid: true, style: { fontFamily: FONT, fontSize: '12px', background: 'none' },
    x: { type: 'log', domain: [...x], ticks: [...ticks(x, 9)], tickFormat: chart.formatX, label: chart.xTitle, labelArrow: 'none', labelAnchor: 'center' },
    y: { type: 'log', domain: [...y], ticks: [...ticks(y, 8)], tickFormat: (value: number) => String(value), label: null },
    // Small models light, large ones dark.
    color: { type: 'log', range: ['#74c0fc', '#10345c'] },
  };
}

function marks(chart: Chart): Plot.Markish[] {
  const { points, curve, fittedTo, targets } = chart;
  const inside = curve.filter(({ x }) => x <= fittedTo);
  const beyond = curve.filter(({ x }, index) => x > fittedTo || (curve[index + 1]?.x ?? 0) > fittedTo);
  const banded = curve.filter(({ lower }) => lower !== undefined);
  const sized = points.some(({ size }) => size !== undefined);
  const barred = targets.filter(({ lower }) => lower !== undefined);
  const at = { x: 'x', y: 'y' };
  const colour = (point: ChartPoint): number | undefined => point.size;
  return [
    Plot.areaY(banded, { x: 'x', y1: 'lower', y2: 'upper', fill: INK.law, fillOpacity: 0.13, clip: true }),
    Plot.line(inside, { ...at, stroke: INK.law, strokeWidth: 2, clip: true }),
    Plot.line(beyond, { ...at, stroke: INK.law, strokeWidth: 2, strokeDasharray: '5 4', clip: true }),
    Plot.dot(points.filter(({ heldOut }) => !heldOut), { ...at, r: radius(points), fillOpacity: 0.85, fill: sized ? colour : INK.run }),
    Plot.dot(points.filter(({ heldOut }) => heldOut), { ...at, r: radius(points) + 1, stroke: INK.run, strokeWidth: 1.8, fill: 'white' }),
    Plot.ruleX(barred, { x: 'x', y1: 'lower', y2: 'upper', stroke: INK.target, strokeWidth: 2, clip: true }),
    Plot.dot(targets, { ...at, r: 6, symbol: 'diamond', fill: INK.target, stroke: 'white' }),
    // Below a falling curve there is room for names.
    Plot.text(targets, { x: 'x', y: (target: CurvePoint) => target.lower ?? target.y, text: (target: CurvePoint & { name: string }) => `${target.name}: ${formatNumber(target.y, 4)}`, dy: 15, dx: 6, textAnchor: 'end', fill: '#a34f00', stroke: 'white', strokeWidth: 4, fontWeight: 600 }),
  ];
}

function radius({ length }: readonly unknown[]): number {
  return length > 200 ? 2.4 : length > 60 ? 3 : 4;
}

function heading({ title, formula, note }: Chart): string {
  const pieces = formula.map(({ text, raised }, index) => {
    const back = formula[index - 1]?.raised === true ? ' dy="5"' : '';
    return raised === true ? `<tspan dy="-5" font-size="11">${escaped(text)}</tspan>` : `<tspan${back}>${escaped(text)}</tspan>`;
  });
  return `<text x="24" y="32" font-size="18" font-weight="600">${escaped(title)}</text>\n<text x="24" y="57" font-size="14" xml:space="preserve">${pieces.join('')}</text>\n`
    + `<text x="${String(WIDTH - 28)}" y="57" font-size="12" text-anchor="end" fill="${INK.soft}">${escaped(note)}</text>\n`
    + `<text x="24" y="${String(PLOT_TOP + 8)}" font-size="12">validation loss</text>`;
}

function legend({ points, curve, targets, fittedTo }: Chart): string {
  const sized = points.some(({ size }) => size !== undefined);
  const entries: (readonly [string, string] | undefined)[] = [
    [`<circle cx="8" cy="-4" r="4" fill="${INK.run}"/>`, sized ? 'run (darker: larger model)' : 'run'],
    points.some(({ heldOut }) => heldOut) ? [`<circle cx="8" cy="-4" r="4" fill="white" stroke="${INK.run}" stroke-width="1.8"/>`, 'held out'] : undefined,
    [`<path d="M0,-4h18" stroke="${INK.law}" stroke-width="2"/>`, 'law'],
    curve.some(({ x }) => x > fittedTo * 1.001) ? [`<path d="M0,-4h18" stroke="${INK.law}" stroke-width="2" stroke-dasharray="5 4"/>`, 'extrapolated'] : undefined,
    curve.some(({ lower }) => lower !== undefined) ? [`<rect width="18" height="12" y="-10" fill="${INK.law}" fill-opacity="0.13"/>`, '95 % interval of the law'] : undefined,
    targets.length > 0 ? [`<path d="M8,-10l5,6l-5,6l-5,-6z" fill="${INK.target}"/>`, 'prediction'] : undefined,
  ];
  let left = 24;
  const drawn = entries.flatMap((entry) => {
    if (entry === undefined) return [];
    const group = `<g transform="translate(${String(left)},0)">${entry[0]}<text x="24">${entry[1]}</text></g>`;
    left += 24 + entry[1].length * 6.2 + 18;
    return [group];
  });
  return `<g transform="translate(0,${String(HEIGHT - 14)})" font-size="12">${drawn.join('')}</g>`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
