// A wait that somebody else can end; a wake-up that comes while nobody waits ends the next wait.

export class Wake {
  #isDue = false;
  #end: (() => void) | undefined;

  /** Waits `ms`, or until `now` is called. One waiter at a time. */
  async wait(ms: number): Promise<void> {
    if (!this.#isDue) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        this.#end = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#end = undefined;
    this.#isDue = false;
  }

  now(): void {
    this.#isDue = true;
    this.#end?.();
  }
}
