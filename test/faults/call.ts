// What a request to the API server is about, from its method, path and body.
import type { Method } from '../../operator/src/runtime/client.ts';

export interface Call {
  /** 1 and up in the order in which the proxy saw them. */
  readonly number: number;
  readonly at: number;
  readonly method: Method;
  /** As sent on to the API server. */
  readonly url: string;
  /** Plural of the resource, with "/subresource" when there is one. */
  readonly resource: string;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly isWatch: boolean;
  readonly isWrite: boolean;
  readonly body: string;
  /** `METHOD resource name`: what plans name writes by; equal for the same write of another run of the plan. */
  readonly key: string;
  /** HTTP status of the answer; 0 when none was given. */
  status: number;
}

const CLUSTER_SCOPED = new Set(['tokenreviews', 'nodes', 'namespaces', 'customresourcedefinitions', 'subjectaccessreviews']);

interface Target {
  readonly url: string;
  readonly namespace: string | undefined;
  readonly resource: string;
  readonly name: string;
}

interface Parts {
  /** "/api/v1" or "/apis/GROUP/VERSION". */
  readonly root: readonly string[];
  readonly namespace: string | undefined;
  /** Plural, name and subresource, as far as given. */
  readonly rest: readonly string[];
}

function partsOf(path: string): Parts {
  const parts = path.split('/').filter((part) => part !== '');
  const head = parts[0] === 'api' ? 2 : 3;
  const [root, rest] = [parts.slice(0, head), parts.slice(head)];
  const isNamespaced = rest[0] === 'namespaces' && rest.length > 2;
  return isNamespaced ? { root, namespace: rest[1], rest: rest.slice(2) } : { root, namespace: undefined, rest };
}

/** Reads /api/v1/... and /apis/GROUP/VERSION/...; a look over all namespaces becomes one over `scope`. */
export function targetOf(url: string, scope: string): Target {
  const [path = '', query] = url.split('?');
  const { root, namespace, rest: [plural, name = '', sub] } = partsOf(path);
  if (plural === undefined) return { url, namespace, resource: path, name };
  const isOverAll = namespace === undefined && name === '' && !CLUSTER_SCOPED.has(plural);
  if (!isOverAll) return { url, namespace, resource: sub === undefined ? plural : `${plural}/${sub}`, name: decodeURIComponent(name) };
  const scoped = `/${[...root, 'namespaces', scope, plural].join('/')}`;
  return { url: query === undefined ? scoped : `${scoped}?${query}`, namespace: scope, resource: plural, name };
}

function nameInBody(body: string): string {
  try {
    return (JSON.parse(body) as { metadata?: { name?: string } }).metadata?.name ?? '';
  } catch {
    return '';
  }
}

export function callOf(request: { number: number; method: string; url: string; body: string }, scope: string): Call {
  const { number, body } = request;
  const method = request.method as Method;
  const target = targetOf(request.url, scope);
  const isWatch = method === 'GET' && /[?&]watch=(true|1)/.test(target.url);
  const name = target.name === '' && method === 'POST' ? nameInBody(body) : target.name;
  const read = name === '' ? 'LIST' : 'GET';
  const verb = isWatch ? 'WATCH' : method === 'GET' ? read : method;
  return { number, at: Date.now(), method, ...target, name, isWatch, isWrite: method !== 'GET', body, key: `${verb} ${target.resource}${name === '' ? '' : ` ${name}`}`, status: 0 };
}

/** Writes that change what a run is: Events, reviews of tokens, leases and the operator's own Secret are not. */
export function isStateWrite(call: Call): boolean {
  return call.isWrite && !['events', 'tokenreviews', 'leases', 'secrets'].includes(call.resource.split('/')[0] ?? '');
}
