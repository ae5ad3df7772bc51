// Events about pods, for `kubectl describe`. A repeat raises the count of the first one; a lost event is only logged.
import type { Api } from './api.ts';
import { rfc3339 } from './clock.ts';
import { reasonOf } from './log.ts';
import type { Log } from './log.ts';
import type { Pod } from './objects.ts';

export type EventSink = (pod: Pod, type: 'Normal' | 'Warning', reason: string, message: string) => void;

const MESSAGE_CHARS = 1024;
const MAX_REMEMBERED = 1000;

interface Seen { readonly path: string; count: number }

export const eventSink = (api: Api, nodeName: string, log: Log): EventSink => {
  const seen = new Map<string, Seen>();
  let serial = 0;
  const create = async (pod: Pod, type: string, reason: string, message: string): Promise<string> => {
    const { name, namespace, uid, resourceVersion } = pod.metadata;
    const now = rfc3339(new Date());
    const eventName = `${name}.${Date.now().toString(16)}${(serial++).toString(16)}`;
    await api.post(`/api/v1/namespaces/${namespace}/events`, {
      apiVersion: 'v1', kind: 'Event', metadata: { name: eventName, namespace },
      involvedObject: { apiVersion: 'v1', kind: 'Pod', name, namespace, uid, resourceVersion },
      type, reason, message, count: 1, firstTimestamp: now, lastTimestamp: now,
      source: { component: 'kubelet', host: nodeName }, reportingComponent: 'kubelet', reportingInstance: nodeName,
    });
    return `/api/v1/namespaces/${namespace}/events/${eventName}`;
  };
  const emit = async (pod: Pod, type: string, reason: string, message: string): Promise<void> => {
    const key = `${pod.metadata.uid}/${reason}/${message}`;
    const before = seen.get(key);
    if (before) {
      before.count += 1;
      await api.patch(before.path, { count: before.count, lastTimestamp: rfc3339(new Date()) });
      return;
    }
    const path = await create(pod, type, reason, message);
    if (seen.size >= MAX_REMEMBERED) seen.clear();
    seen.set(key, { path, count: 1 });
  };
  return (pod, type, reason, message) => {
    emit(pod, type, reason, message.slice(0, MESSAGE_CHARS))
      .catch((error: unknown) => { log('warn', 'event not recorded', { reason, why: reasonOf(error) }); });
  };
};
