const DIGITS = 6;

/** A decimal string of six digits, as status has numbers. */
export function decimal(value: number): string {
  return String(Number(value.toPrecision(DIGITS)));
}
