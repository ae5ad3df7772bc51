// A picture of the loss curves of runs, drawn from their status, as one SVG file.
import * as Plot from '@observablehq/plot';
import { JSDOM } from 'jsdom';
import type { CurvePoint } from '../operator/src/api/status.ts';

export interface Curve { readonly title: string; readonly points: readonly CurvePoint[] }

interface Sample { readonly step: number; readonly loss: number; readonly series: string }

const CHANCE_LOSS = Math.log(2);

function samplesOf(points: readonly CurvePoint[]): Sample[] {
  return points.flatMap((point) => [
    ...(point.trainLoss === undefined ? [] : [{ step: point.step, loss: Number(point.trainLoss), series: 'training' }]),
    ...(point.valLoss === undefined ? [] : [{ step: point.step, loss: Number(point.valLoss), series: 'validation' }]),
  ]);
}

function panel(curve: Curve, document: Document): string {
  const samples = samplesOf(curve.points);
  const plot = Plot.plot({
    document, title: curve.title, width: 560, height: 360, grid: true, marginLeft: 50,
    x: { label: 'step' }, y: { label: 'Bradley-Terry loss', nice: true },
    color: { domain: ['training', 'validation'], range: ['#9ab', '#c33'], legend: false },
    marks: [
      Plot.ruleY([CHANCE_LOSS], { stroke: '#888', strokeDasharray: '4 3' }),
      Plot.text([{ x: 0, y: CHANCE_LOSS }], { x: 'x', y: 'y', text: () => 'chance', dy: 10, dx: 22, fill: '#888' }),
      Plot.line(samples, { x: 'step', y: 'loss', stroke: 'series', strokeWidth: (sample: Sample) => (sample.series === 'validation' ? 2.5 : 1) }),
      Plot.dot(samples.filter(({ series }) => series === 'validation'), { x: 'step', y: 'loss', fill: '#c33', r: 3 }),
    ],
  });
  const svg = plot.querySelector('svg[viewBox]') ?? plot;
  svg.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
  return svg.outerHTML;
}

/** SVG text with one panel per curve, side by side: training loss thin and grey, validation loss thick and red. */
export function drawCurves(curves: readonly Curve[]): string {
  const { document } = new JSDOM('').window;
  const panels = curves.map((curve, index) => `<g transform="translate(${String(index * 580 + 10)}, 40)"><text x="280" y="-12" text-anchor="middle" font-size="15">${curve.title}</text>${panel(curve, document)}</g>`);
  const width = curves.length * 580 + 20;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${String(width)}" height="430" viewBox="0 0 ${String(width)} 430" font-family="system-ui, sans-serif">`
    + `<rect width="100%" height="100%" fill="white"/>${panels.join('')}`
    + '<text x="20" y="422" font-size="12" fill="#567">grey: training loss, red: validation loss on held-out prompts, dashed: chance (ln 2)</text></svg>\n';
}
