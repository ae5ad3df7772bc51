// Preloaded into an operator whose clock is wrong: Date is so many milliseconds ahead as a file says, which is read at the start and at SIGUSR2.
// Timers and performance.now() go on as before, as a machine's monotonic clock does when its wall clock is set.
import { readFileSync } from 'node:fs';

export const CLOCK_FILE = 'POLAR_FAULT_CLOCK_FILE';

const file = process.env[CLOCK_FILE];

if (file !== undefined) {
  const Right = Date;
  let aheadMs = Number(readFileSync(file, 'utf8'));
  const now = (): number => Right.now() + aheadMs;
  process.on('SIGUSR2', () => {
    aheadMs = Number(readFileSync(file, 'utf8'));
  });
  globalThis.Date = new Proxy(Right, {
    construct: (target, given: unknown[], made) => Reflect.construct(target, given.length === 0 ? [now()] : given, made) as Date,
    get: (target, field) => (field === 'now' ? now : Reflect.get(target, field) as unknown),
  });
}
