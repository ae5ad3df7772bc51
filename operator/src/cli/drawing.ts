// A chart as a picture. What draws is loaded only here: it takes longer than a fit of a small table.
import type { Chart } from './chart.ts';

export async function draw(chart: Chart, format: 'svg' | 'png'): Promise<string | Uint8Array> {
  const { picture } = await import('./picture.ts');
  const svg = picture(chart);
  if (format === 'svg') return svg;
  const { png } = await import('./raster.ts');
  return png(svg);
}
