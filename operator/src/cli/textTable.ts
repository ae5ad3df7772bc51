// Tables in plain text: columns two spaces apart, numbers to the right.
import { stripVTControlCharacters } from 'node:util';

export interface Column {
  readonly title: string;
  readonly right?: boolean;
}

/** Without escape sequences and control characters, which text from a cluster or a file could smuggle into a terminal; `keep` stays. */
export function plainText(text: string, keep = ''): string {
  return stripVTControlCharacters(text).replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, (character) => (keep.includes(character) ? character : ' '));
}

const widthOf = (text: string): number => [...text].length;

function pad(text: string, width: number, right: boolean): string {
  const space = ' '.repeat(Math.max(0, width - widthOf(text)));
  return right ? space + text : text + space;
}

/** Lines of a table with its header; no line ends in spaces. */
export function textTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const lines = [columns.map(({ title }) => title), ...rows.map((row) => row.map((cell) => plainText(cell)))];
  const widths = columns.map((_, index) => Math.max(...lines.map((line) => widthOf(line[index] ?? ''))));
  return lines.map((line) => columns.map(({ right }, index) => pad(line[index] ?? '', widths[index] ?? 0, right === true)).join('  ').trimEnd()).join('\n');
}

/** Names and values, as `Points   240`. */
export function textFields(fields: readonly (readonly [string, string])[]): string {
  const width = Math.max(...fields.map(([name]) => widthOf(name))) + 2;
  return fields.map(([name, value]) => `${pad(name, width, false)}${plainText(value)}`).join('\n');
}
