// Tells a person what is being waited for and for how long: a live line on a terminal, a line now and then in a log.
const terminalEveryMs = 1_000;
const logEveryMs = 10_000;

const seconds = (sinceMs: number): string => `${Math.round((Date.now() - sinceMs) / 1000)} s`;

/** Announces a wait; the returned function ends it. `detail` is asked again for every line. */
export const announce = (what: string, detail: () => string = () => ''): (() => void) => {
  const startedMs = Date.now();
  const live = process.stderr.isTTY;
  const line = (): string => `${what} ... ${seconds(startedMs)}${detail() === '' ? '' : `: ${detail()}`}`;
  const write = (): boolean => process.stderr.write(live ? `\r\x1b[K${line()}` : `${line()}\n`);
  if (live) write();
  else process.stderr.write(`${what}\n`);
  const timer = setInterval(write, live ? terminalEveryMs : logEveryMs);
  timer.unref();
  return () => {
    clearInterval(timer);
    process.stderr.write(live ? `\r\x1b[K${what}: ${seconds(startedMs)}\n` : `${what}: ${seconds(startedMs)}\n`);
  };
};
