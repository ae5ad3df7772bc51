import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseHTML } from 'linkedom';
import { chartOf } from './chart.ts';
import type { ChartSource } from './chart.ts';
import { picture } from './picture.ts';
import { png } from './raster.ts';

const source: ChartSource = {
  title: 'a < b & "c"', law: { form: 'power', axis: 'parameters', values: { b: 0.9, a: -0.0425 } }, note: '3 runs',
  fitted: [5e7, 1e8, 2e8].map((parameters) => ({ parameters, loss: 0.9 * parameters ** -0.0425 })), heldOut: [{ parameters: 1e9, loss: 0.376 }],
  targets: [{ name: '7b', parameters: 7e9, loss: 0.3434, lower: 0.335, upper: 0.352 }],
};

test('draws one dot per run and target, the formula with its exponent raised, and text that cannot break the file', () => {
  const svg = picture(chartOf(source));
  const { document } = parseHTML(svg);
  assert.equal(document.querySelectorAll('[aria-label="dot"] circle').length, 4);
  assert.equal(document.querySelectorAll('[aria-label="dot"] path').length, 1);
  assert.match(svg, /L\(N\) = 0\.9 N<\/tspan><tspan dy="-5" font-size="11">-0\.0425</);
  assert.match(svg, /a &lt; b &amp; &quot;c&quot;/);
  assert.match(svg, /7b: 0\.3434/);
  assert.doesNotMatch(svg, /NaN|undefined|<script|href=/);
});

test('is the same picture every time', () => {
  assert.ok(picture(chartOf(source)) === picture(chartOf(source)));
});

test('draws the interval of the law where one is known', () => {
  const band = (interval: ChartSource['interval']): number => {
    const chart = chartOf({ ...source, ...(interval === undefined ? {} : { interval }) });
    return parseHTML(picture(chart)).document.querySelectorAll('[aria-label="area"] path').length;
  };
  assert.deepEqual([band(undefined), band(() => ({ lower: 0.3, upper: 0.5 }))], [0, 1]);
});

test('makes a PNG of twice the size whose text is drawn with the font it brings', async () => {
  const svg = picture(chartOf(source));
  const image = Buffer.from(await png(svg));
  assert.equal(image.subarray(1, 4).toString(), 'PNG');
  assert.deepEqual([image.readUInt32BE(16), image.readUInt32BE(20)], [1640, 1092]);
  const empty = Buffer.from(await png(svg.replaceAll(/<text.*?<\/text>/gs, '')));
  assert.ok(image.length > empty.length + 5000, 'text takes place in the file');
});
