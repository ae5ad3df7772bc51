// Numbers from a trainer on their way into a status: checked one by one, so that one bad field costs that field only.

const MAX_COUNT = 1e15;
const MAX_LOSS = 1e6;
const MAX_RATE = 1e30;
const MAX_SECONDS = 1e12;

/** Checks with a common count of what they refused; each returns undefined for a value that is absent or refused. */
export interface NumberChecks {
  /** A count of steps, tokens, pairs or seconds, at most 1e15. */
  readonly whole: (value: bigint | number | undefined) => number | undefined;
  /** A loss or its standard error in [0, 1e6], as a decimal string of six significant digits. */
  readonly loss: (value: number | undefined) => string | undefined;
  /** An accuracy in [0, 1], as a decimal string of at most four digits. */
  readonly share: (value: number | undefined) => string | undefined;
  /** A rate or an amount of work in [0, 1e30], as a decimal string of four significant digits. */
  readonly rate: (value: number | undefined) => string | undefined;
  /** A length of time in [0, 1e12] seconds, as a decimal string of at most three digits after the point. */
  readonly seconds: (value: number | undefined) => string | undefined;
  /** Counts one more refused field. */
  readonly refuse: () => undefined;
  readonly refused: () => number;
}

/** Checks for one message. */
export function numberChecks(): NumberChecks {
  let count = 0;
  const refuse = (): undefined => {
    count += 1;
    return undefined;
  };
  const within = (value: number | undefined, max: number): number | undefined => {
    if (value === undefined) return undefined;
    return Number.isFinite(value) && value >= 0 && value <= max ? value : refuse();
  };
  const as = (digits: (value: number) => number, max: number) => (value: number | undefined): string | undefined => {
    const checked = within(value, max);
    return checked === undefined ? undefined : plainDecimal(digits(checked));
  };
  return {
    whole: (value) => {
      const checked = within(value === undefined ? undefined : Number(value), MAX_COUNT);
      return checked === undefined || Number.isInteger(checked) ? checked : refuse();
    },
    loss: as((value) => Number(value.toPrecision(6)), MAX_LOSS),
    share: as((value) => Number(value.toFixed(4)), 1),
    rate: as((value) => Number(value.toPrecision(4)), MAX_RATE),
    seconds: as((value) => Number(value.toFixed(3)), MAX_SECONDS),
    refuse,
    refused: () => count,
  };
}

/** The number without an exponent: 1e24 becomes "1000000000000000000000000", 1e-13 becomes "0". */
function plainDecimal(value: number): string {
  if (value >= 1e21) {
    const [mantissa = '', exponent = ''] = value.toExponential().split('e+');
    return mantissa.replace('.', '').padEnd(Number(exponent) + 1, '0');
  }
  if (value < 1e-6) return value.toFixed(12).replace(/\.?0+$/, '');
  return String(value);
}
