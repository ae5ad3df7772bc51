// Colours on a terminal. Node decides whether there are any, by NO_COLOR, TERM and what the stream is.
import type { Io } from './command.ts';

export type Paint = (code: 'bold' | 'dim' | 'red' | 'yellow' | 'cyan', text: string) => string;

const CODES = { bold: [1, 22], dim: [2, 22], red: [31, 39], yellow: [33, 39], cyan: [36, 39] } as const;

export const plain: Paint = (_, text) => text;

export function paintFor({ stdout, env }: Io): Paint {
  const coloured = stdout.isTTY === true && (env['NO_COLOR'] ?? '') === '' && stdout.hasColors?.(16) === true;
  return coloured ? (code, text) => `\u001b[${String(CODES[code][0])}m${text}\u001b[${String(CODES[code][1])}m` : plain;
}
