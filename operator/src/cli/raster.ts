// SVG to PNG, with the font it needs: the same picture on every machine, whatever is installed there.
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { Resvg, initWasm } from '@resvg/resvg-wasm';

const SCALE = 2;
const RASTERISER = '@resvg/resvg-wasm/index_bg.wasm';
const FONTS = ['@fontsource/inter/files/inter-latin-400-normal.woff2', '@fontsource/inter/files/inter-latin-600-normal.woff2'];

let ready: Promise<void> | undefined;

/** A PNG of twice the size of the SVG document, for sharp screens. */
export async function png(svg: string): Promise<Uint8Array> {
  ready ??= asset(RASTERISER).then((wasm) => initWasm(wasm));
  await ready;
  const fontBuffers = await Promise.all(FONTS.map(asset));
  const rendered = new Resvg(svg, { fitTo: { mode: 'zoom', value: SCALE }, font: { fontBuffers, defaultFontFamily: 'Inter', sansSerifFamily: 'Inter' } }).render();
  return rendered.asPng();
}

/** A file of a package; in a bundle it lies beside the program. */
function asset(name: string): Promise<Buffer> {
  const beside = join(import.meta.dirname, basename(name));
  return readFile(existsSync(beside) ? beside : createRequire(import.meta.url).resolve(name));
}
