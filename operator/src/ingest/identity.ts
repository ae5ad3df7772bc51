// Who is calling: bearer token -> TokenReview -> pod -> Job -> run and attempt. Nothing a message says is believed here.
import { createHash } from 'node:crypto';
import { TOKEN_AUDIENCE } from '../api/labels.ts';
import type { KubeClient } from '../runtime/client.ts';
import { pathOf } from '../runtime/object.ts';
import type { Resource } from '../runtime/object.ts';
import { get } from '../runtime/verbs.ts';
import { membershipOf } from './chain.ts';
import type { Membership, Pod } from './chain.ts';
import { Refusal, failedPrecondition, notFound, permissionDenied, unauthenticated, unavailable } from './refusal.ts';
import type { Runs } from './runs.ts';

/** A caller whose pod, Job and run were seen. */
export interface Caller extends Membership {
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string };
}

/** The caller behind an authorization header. Throws Refusal. */
export type Identify = (authorization: string | undefined) => Promise<Caller>;

interface ReviewedUser {
  readonly username?: string;
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

interface TokenReview {
  readonly status?: {
    readonly authenticated?: boolean;
    readonly error?: string;
    readonly audiences?: readonly string[];
    readonly user?: ReviewedUser;
  };
}

const TOKEN_REVIEWS: Resource = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', plural: 'tokenreviews', namespaced: false };
const PODS: Resource = { apiVersion: 'v1', kind: 'Pod', plural: 'pods', namespaced: true };
const BEARER = /^Bearer ([A-Za-z0-9._~+/=-]{1,8192})$/i;
const USERNAME = /^system:serviceaccount:([^:]+):[^:]+$/;

interface CacheTimes {
  readonly acceptedMs: number;
  readonly refusedMs: number;
}

const DEFAULT_TIMES: CacheTimes = { acceptedMs: 20_000, refusedMs: 5_000 };
const MAX_CACHED = 10_000;
const PRUNE_FROM = 256;
const MAX_REVIEWS = 32;

interface Cached {
  readonly caller: Promise<Caller>;
  readonly until: number;
}

/**
 * Makes the identity check. What a token proves is kept for 20 s (5 s for a refusal) under its SHA-256; whether the
 * attempt is still the current one is looked at in every call.
 */
export function identifier(client: KubeClient, runs: Runs, times: CacheTimes = DEFAULT_TIMES): Identify {
  const cache = new Map<string, Cached>();
  let reviews = 0;

  const review = async (token: string): Promise<Caller> => {
    if (reviews >= MAX_REVIEWS) throw unavailable('too many tokens under review, try again');
    reviews += 1;
    try {
      return await callerOf(client, runs, token);
    } catch (error) {
      if (error instanceof Refusal) throw error;
      throw unavailable(`identity not checked: ${error instanceof Error ? error.message : String(error)}`);
    } finally {
      reviews -= 1;
    }
  };

  const lookUp = (token: string): Promise<Caller> => {
    const key = createHash('sha256').update(token).digest('base64');
    const known = cache.get(key);
    if (known !== undefined && known.until > Date.now()) return known.caller;
    const caller = review(token);
    prune(cache);
    cache.set(key, { caller, until: Date.now() + times.acceptedMs });
    caller.catch((error: unknown) => {
      const isFinal = error instanceof Refusal && error.code !== unavailable('').code;
      if (isFinal) cache.set(key, { caller, until: Date.now() + times.refusedMs });
      else cache.delete(key);
    });
    return caller;
  };

  return async (authorization) => {
    const token = BEARER.exec(authorization ?? '')?.[1];
    if (token === undefined) throw unauthenticated('expected "authorization: Bearer <token>" in the metadata');
    const caller = await lookUp(token);
    await requireCurrent(runs, caller);
    return caller;
  };
}

/** Throws Refusal unless the caller's attempt is the run's current one: FAILED_PRECONDITION when superseded, NOT_FOUND when the run is gone. */
export async function requireCurrent(runs: Runs, { run, attempt }: Membership): Promise<void> {
  if (runs.cached(run)?.status?.attempt === attempt) return;
  const current = await runs.live(run).catch((error: unknown) => {
    throw unavailable(`run not read: ${error instanceof Error ? error.message : String(error)}`);
  });
  if (current === undefined) throw notFound(`${run.kind} ${run.namespace}/${run.name} (${run.uid}) is gone`);
  const held = current.status?.attempt ?? 0;
  if (held > attempt) throw failedPrecondition(`attempt ${attempt} is superseded by attempt ${held}`);
  if (held < attempt) throw unavailable(`attempt ${attempt} is not in the status yet (attempt ${held}), try again`);
}

async function callerOf(client: KubeClient, runs: Runs, token: string): Promise<Caller> {
  const claims = boundPod(await reviewedUser(client, token));
  const pod = await get<Pod>(client, PODS, claims);
  if (pod?.metadata.uid !== claims.uid) throw permissionDenied(`pod ${claims.namespace}/${claims.name} (${claims.uid}) is gone`);
  const phase = pod.status?.phase;
  if (phase === 'Succeeded' || phase === 'Failed') throw permissionDenied(`pod ${claims.namespace}/${claims.name} has ended`);
  return { pod: claims, ...(await membershipOf(client, runs, pod)) };
}

async function reviewedUser(client: KubeClient, token: string): Promise<ReviewedUser> {
  const body = { apiVersion: TOKEN_REVIEWS.apiVersion, kind: TOKEN_REVIEWS.kind, spec: { token, audiences: [TOKEN_AUDIENCE] } };
  const { status = {} } = await client.request<TokenReview>('POST', pathOf(TOKEN_REVIEWS), { body });
  // An authenticator that does not know audiences leaves them out, and then the token may be meant for anyone.
  if (status.authenticated !== true || status.audiences?.includes(TOKEN_AUDIENCE) !== true) {
    throw unauthenticated(`token refused for audience ${TOKEN_AUDIENCE}: ${status.error?.slice(0, 200) ?? 'not authenticated'}`);
  }
  return status.user ?? {};
}

function boundPod({ username = '', extra = {} }: ReviewedUser): Caller['pod'] {
  const namespace = USERNAME.exec(username)?.[1];
  const name = extra['authentication.kubernetes.io/pod-name']?.[0];
  const uid = extra['authentication.kubernetes.io/pod-uid']?.[0];
  if (namespace === undefined || name === undefined || uid === undefined) throw permissionDenied('token is not bound to a pod');
  return { namespace, name, uid };
}

function prune(cache: Map<string, Cached>): void {
  if (cache.size < PRUNE_FROM) return;
  const now = Date.now();
  for (const [key, { until }] of cache) if (until <= now) cache.delete(key);
  if (cache.size >= MAX_CACHED) cache.clear();
}
