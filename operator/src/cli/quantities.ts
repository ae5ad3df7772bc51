// Numbers as people write them: 7B parameters, 3.6T tokens, 1.2e21 FLOPs.

/** What a table of runs can hold of a run. */
export const QUANTITIES = ['params', 'tokens', 'flops', 'loss', 'lr', 'batch'] as const;
export type Quantity = (typeof QUANTITIES)[number];

const SCALES: Readonly<Record<string, number>> = { '': 1, K: 1e3, M: 1e6, B: 1e9, G: 1e9, T: 1e12 };
const NUMBER = /^\+?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const COUNT = /^(.*?) *([KMBGT]?)$/i;
const THOUSANDS = /^\d{1,3}([,_]\d{3})+(\.\d+)?$/;

/** A positive number such as 350000, 3.5e5, 350,000 or 350_000; NaN when the text is none. */
export function parseNumber(text: string): number {
  const plain = THOUSANDS.test(text) ? text.replaceAll(/[,_]/g, '') : text;
  const value = NUMBER.test(plain) ? Number(plain) : Number.NaN;
  return value > 0 && Number.isFinite(value) ? value : Number.NaN;
}

/** A number as above, or one with K, M, B (also G) or T behind it: 7B, 3.6T, 512 k. NaN when the text is none. */
export function parseAmount(text: string): number {
  const [, digits = '', suffix = ''] = COUNT.exec(text.trim()) ?? [];
  return parseNumber(digits) * (SCALES[suffix.toUpperCase()] ?? Number.NaN);
}

/** Four digits and a suffix, as 6.741B; powers of ten beyond 1000 T. */
export function formatCount(value: number): string {
  const scale = [1e12, 1e9, 1e6, 1e3].find((each) => value >= each * 0.99995) ?? 1;
  if (value >= 1e15 || value < 1e-3) return formatNumber(value, 4);
  return `${String(Number((value / scale).toPrecision(4)))}${{ 1e3: 'K', 1e6: 'M', 1e9: 'B', 1e12: 'T' }[scale] ?? ''}`;
}

/** So many significant digits, in scientific notation when very large or small. */
export function formatNumber(value: number, digits: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? '-' : 'inf';
  if (value === 0) return '0';
  const magnitude = Math.abs(value);
  if (magnitude < 1e6 && magnitude >= 1e-4) return trimmed(Number(value.toPrecision(digits)), digits);
  return value.toExponential(digits - 1).replace('e+', 'e');
}

/** Zeros that were measured stay: 2.500 with four digits. */
function trimmed(value: number, digits: number): string {
  const decimals = digits - 1 - Math.floor(Math.log10(Math.abs(value)));
  return value.toFixed(Math.min(20, Math.max(0, decimals)));
}

/** A count of parameters or tokens with a suffix, FLOPs as a power of ten, a loss with four digits. */
export function formatQuantity(quantity: Quantity, value: number): string {
  if (quantity === 'loss') return formatNumber(value, 4);
  return quantity === 'flops' ? value.toExponential(2).replace('e+', 'e') : formatCount(value);
}
