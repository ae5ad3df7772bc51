// The API server's clock, as its answers tell it: what it and its controllers wrote down is compared with no other one.

// Its Date header is told in whole seconds.
const WORTH_MOVING_MS = 1500;

/** Milliseconds since the epoch at which this process's monotonic clock began. */
let beganAt = Date.now() - performance.now();

/** Takes the Date header of an answer; anything that is no date is ignored. */
export function hearDate(header: unknown): void {
  const told = typeof header === 'string' ? Date.parse(header) : NaN;
  const found = told + 500 - performance.now();
  if (Math.abs(found - beganAt) > WORTH_MOVING_MS) beganAt = found;
}

/** Milliseconds since the epoch by the API server's clock to a second or two; by this machine's until the first answer. Goes on while nobody answers, and when this machine's clock is set. */
export function serverNow(): number {
  return Math.round(beganAt + performance.now());
}
