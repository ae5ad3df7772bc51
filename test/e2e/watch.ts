// What happened to one kind of object, in order, as `kubectl get --watch` tells it.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Thing } from './objects.ts';

export interface Happening<T extends Thing> { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }

/** Invariant: `now` holds the objects that exist by the last happening, by name. */
export class Watch<T extends Thing> {
  readonly history: Happening<T>[] = [];
  readonly now = new Map<string, T>();
  readonly #changed: () => void;
  #child: ChildProcess | undefined;
  #closed = false;

  /** `command` is kubectl with its arguments; `changed` is called after each happening. */
  constructor(command: readonly string[], changed: () => void) {
    this.#changed = changed;
    this.#start(command);
  }

  close(): void {
    this.#closed = true;
    this.#child?.kill();
  }

  #start(command: readonly string[]): void {
    // Tied to this process: a suite that is killed leaves no kubectl behind.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...command], { stdio: ['ignore', 'pipe', 'ignore'] });
    this.#child = child;
    createInterface({ input: child.stdout }).on('line', (line) => { this.#take(JSON.parse(line) as Happening<T>); });
    // The API server ends a watch now and then; the next one begins with everything that exists.
    child.on('close', () => { if (!this.#closed) setTimeout(() => { this.#start(command); }, 500); });
  }

  #take(happening: Happening<T>): void {
    this.history.push(happening);
    const { name } = happening.object.metadata;
    if (happening.type === 'DELETED') this.now.delete(name);
    else this.now.set(name, happening.object);
    this.#changed();
  }
}
