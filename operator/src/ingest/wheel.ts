// One timer for everything that waits: thousands of streams cost a tick, not a timer each.

export interface Wheel {
  /** Calls `action` once, `ms` or up to one tick more from now. Returns what cancels it. */
  after(ms: number, action: () => void): () => void;
  /** Forgets everything and stops. */
  close(): void;
}

/** A wheel whose tick is `tickMs`; it only turns while something waits. */
export function timerWheel(tickMs = 10, now: () => number = () => performance.now()): Wheel {
  const slots = new Map<number, Set<() => void>>();
  let timer: NodeJS.Timeout | undefined;
  let turned = 0;

  const turn = (): void => {
    const current = Math.floor(now() / tickMs);
    // A slept process skips ticks; what waited in them is due.
    for (; turned <= current && slots.size > 0; turned++) {
      const due = slots.get(turned) ?? [];
      slots.delete(turned);
      for (const action of due) action();
    }
    if (slots.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };

  return {
    after: (ms, action) => {
      if (timer === undefined) {
        turned = Math.floor(now() / tickMs);
        timer = setInterval(turn, tickMs).unref();
      }
      const slot = Math.max(turned, Math.floor((now() + ms) / tickMs)) + 1;
      const waiting = slots.get(slot) ?? new Set();
      slots.set(slot, waiting);
      const entry = (): void => action();
      waiting.add(entry);
      return () => {
        waiting.delete(entry);
      };
    },
    close: () => {
      clearInterval(timer);
      timer = undefined;
      slots.clear();
    },
  };
}
