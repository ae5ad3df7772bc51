// Kubernetes Events about an object. Repeats raise a counter, floods are dropped, and no failure here reaches a reconcile.
import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import { isAlreadyExists, isNotFound } from './apiError.ts';
import { sleep } from './clock.ts';
import type { KubeClient } from './client.ts';
import type { Log } from './log.ts';
import { microTime } from './microTime.ts';
import { pathOf } from './object.ts';
import type { KubeObject, Resource } from './object.ts';
import { get } from './verbs.ts';

export interface EventNote {
  readonly type: 'Normal' | 'Warning';
  /** CamelCase, stable. */
  readonly reason: string;
  readonly message: string;
}

export interface EventRecorder {
  /** Writes the notes as Events of the object. Never throws, and comes back after a quarter of a second at the latest, whether or not they are written by then. */
  record(about: KubeObject, notes: readonly EventNote[]): Promise<void>;
}

const EVENTS: Resource = { apiVersion: 'events.k8s.io/v1', kind: 'Event', plural: 'events', namespaced: true };
const MAX_MESSAGE = 1024;
// As client-go's spam filter: 25 at once per object, then one in five minutes.
const BURST = 25;
const REFILL_MS = 300_000;
const MAX_REMEMBERED = 4096;

interface Seen {
  count: number;
}

// Of objects whose events are on their way; beyond that they are dropped, since an API server that does not take them would fill the memory.
const MAX_PENDING = 100;
const PATIENCE_MS = 250;
const TIMEOUT_MS = 10_000;

/** A recorder that writes events.k8s.io/v1 Events as the given component. */
export function eventRecorder(client: KubeClient, component: string, log: Log): EventRecorder {
  const seen = new Map<string, Seen>();
  const paidUntil = new Map<string, number>();
  let pending = 0;
  const writeAll = async (about: KubeObject, notes: readonly EventNote[]): Promise<void> => {
    pending += 1;
    for (const note of notes) {
      if (!mayWrite(paidUntil, about.metadata.uid ?? '')) continue;
      try {
        await write(client, seen, eventOf(about, note, component));
      } catch (error) {
        log.warn({ err: error, reason: note.reason }, 'event not recorded');
      }
    }
    pending -= 1;
  };
  return {
    async record(about, notes) {
      if (notes.length === 0) return;
      if (pending >= MAX_PENDING) {
        log.warn({ pending, reasons: notes.map(({ reason }) => reason) }, 'events dropped');
        return;
      }
      const patience = new AbortController();
      await Promise.race([writeAll(about, notes), sleep(PATIENCE_MS, patience.signal)]);
      patience.abort();
    },
  };
}

function mayWrite(paidUntil: Map<string, number>, uid: string): boolean {
  const now = Date.now();
  const next = Math.max(paidUntil.get(uid) ?? 0, now - BURST * REFILL_MS) + REFILL_MS;
  if (next > now) return false;
  remember(paidUntil, uid, next);
  return true;
}

interface Series {
  readonly count: number;
  readonly lastObservedTime: string;
}

interface StoredEvent extends KubeObject {
  readonly eventTime: string;
  readonly series?: Series | undefined;
}

function eventOf(about: KubeObject, note: EventNote, component: string): StoredEvent {
  const { name, namespace = 'default', uid = '', resourceVersion } = about.metadata;
  const text = note.message.length > MAX_MESSAGE ? `${note.message.slice(0, MAX_MESSAGE - 3)}...` : note.message;
  const hash = createHash('sha256').update([uid, note.type, note.reason, text].join('\n')).digest('hex').slice(0, 16);
  const fields = { type: note.type, reason: note.reason, note: text, action: 'Reconcile', reportingController: component, reportingInstance: hostname() };
  return {
    apiVersion: EVENTS.apiVersion, kind: EVENTS.kind, metadata: { name: `${name}.${hash}`, namespace }, eventTime: microTime(), ...fields,
    ...{ regarding: { apiVersion: about.apiVersion, kind: about.kind, name, namespace, uid, resourceVersion } },
  };
}

/** Creates the event, or raises the count of the same event; its name is a hash, so a restarted operator finds it again. */
async function write(client: KubeClient, seen: Map<string, Seen>, event: StoredEvent): Promise<void> {
  const { name, namespace } = event.metadata;
  const known = seen.get(name);
  if (known !== undefined && (await raise(client, event, known.count + 1))) {
    known.count += 1;
    return;
  }
  try {
    await client.request('POST', pathOf(EVENTS, { namespace }), { body: event, timeoutMs: TIMEOUT_MS });
    remember(seen, name, { count: 1 });
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    const found = await get<StoredEvent>(client, EVENTS, event.metadata);
    const count = (found?.series?.count ?? 1) + 1;
    await raise(client, event, count);
    remember(seen, name, { count });
  }
}

/** False when the event is there no more (the API server drops events after an hour). */
async function raise(client: KubeClient, event: StoredEvent, count: number): Promise<boolean> {
  const { name, namespace } = event.metadata;
  const series: Series = { count, lastObservedTime: event.eventTime };
  try {
    await client.request('PATCH', pathOf(EVENTS, { namespace, name }), { body: { series }, contentType: 'application/merge-patch+json', timeoutMs: TIMEOUT_MS });
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  const oldest = map.keys().next();
  if (map.size > MAX_REMEMBERED && oldest.done !== true) map.delete(oldest.value);
}
