// What every part of the agent shares: handles and facts, no behaviour.
import type { Api } from './api.ts';
import type { Sources } from './env.ts';
import type { EventSink } from './events.ts';
import type { Image } from './images.ts';
import type { Log } from './log.ts';
import type { Service } from './objects.ts';

export interface Agent {
  readonly api: Api;
  readonly nodeName: string;
  /** The agent's own folder: pods, logs, hosts files, process records. */
  readonly dir: string;
  readonly hostIP: string;
  readonly allocatable: Readonly<Record<string, string>>;
  readonly image: (name: string) => Image;
  readonly events: EventSink;
  readonly log: Log;
  readonly sourcesOf: (namespace: string) => Sources;
  readonly servicesOf: (namespace: string) => readonly Service[];
  readonly addressOf: (service: Service) => string | undefined;
  readonly backOff: { readonly baseMs: number; readonly maxMs: number };
}
