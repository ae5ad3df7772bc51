// Who is calling: bearer token -> TokenReview -> pod -> Job -> run and attempt. Nothing a message says is believed here.
import { createHash } from 'node:crypto';
import { status as grpcStatus } from '@grpc/grpc-js';
import { TOKEN_AUDIENCE } from '../api/labels.ts';
import type { KubeClient } from '../runtime/client.ts';
import { pathOf } from '../runtime/object.ts';
import type { Resource } from '../runtime/object.ts';
import { get } from '../runtime/verbs.ts';
import { serverNow } from '../runtime/serverTime.ts';
import { membershipOf } from './chain.ts';
import type { Membership, Pod } from './chain.ts';
import { addressOf, lane, offenders } from './lanes.ts';
import type { Offenders, Run } from './lanes.ts';
import type { Limits } from './limits.ts';
import type { IngestMetrics } from './metrics.ts';
import { Refusal, failedPrecondition, notFound, permissionDenied, unauthenticated, unavailable } from './refusal.ts';
import type { Runs } from './runs.ts';
import { claimOf } from './token.ts';
import type { Claim } from './token.ts';

/** A caller whose pod, Job and run were seen. */
export interface Caller extends Membership {
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string };
}

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
const USERNAME = /^system:serviceaccount:([^:]+):[^:]+$/;
const RECHECK_MS = 60_000;
const MAX_CACHED = 16_384;

interface Known {
  readonly caller: Promise<Caller>;
  readonly until: number;
}

export interface IdentityOptions {
  readonly client: KubeClient;
  readonly runs: Runs;
  /** The pods of runs, as far as they are cached. */
  readonly podByUid: (uid: string) => Pod | undefined;
  readonly metrics: IngestMetrics;
  readonly limits: Limits;
}

/**
 * The identity check. What a token proves is kept for a while under its SHA-256; whether the attempt is still the
 * current one is looked at in every call. Tokens that name a pod of a run are checked apart from all others, and those
 * of an address that sends bad ones count among the others.
 */
export class Identities {
  readonly #options: IdentityOptions;
  readonly #accepted = new Map<string, Known>();
  readonly #refused = new Map<string, Known>();
  readonly #underReview = new Map<string, Promise<Caller>>();
  readonly #knownLane: Run;
  readonly #unknownLane: Run;
  readonly #offenders: Offenders;
  readonly #checkedAt = new WeakMap<Caller, number>();

  constructor(options: IdentityOptions) {
    this.#options = options;
    this.#knownLane = lane(options.limits.knownReviews);
    this.#unknownLane = lane(options.limits.unknownReviews);
    this.#offenders = offenders(options.limits);
  }

  /** The caller behind an authorization header. Throws Refusal. */
  async identify(authorization: string | undefined, peer: string): Promise<Caller> {
    const address = addressOf(peer);
    const caller = await this.#lookUp(this.#claimOf(authorization, address), address);
    await requireCurrent(this.#options.runs, caller);
    this.#checkedAt.set(caller, performance.now());
    return caller;
  }

  /** Whether a caller known before may go on: looked up in caches, and once a minute at the API server when they do not know its pod. Throws Refusal. */
  async confirm(caller: Caller, authorization: string | undefined): Promise<void> {
    await requireCurrent(this.#options.runs, caller);
    const sinceMs = performance.now() - (this.#checkedAt.get(caller) ?? 0);
    if (sinceMs < RECHECK_MS || this.#options.podByUid(caller.pod.uid) !== undefined) return;
    this.#checkedAt.set(caller, performance.now());
    await this.identify(authorization, '');
  }

  #claimOf(authorization: string | undefined, address: string): Claim {
    try {
      return claimOf(authorization, new Date(serverNow()));
    } catch (error) {
      this.#options.metrics.reviews.inc({ result: 'unread' });
      this.#offenders.blame(address);
      throw error;
    }
  }

  #lookUp(claim: Claim, address: string): Promise<Caller> {
    const key = createHash('sha256').update(claim.token).digest('base64');
    const known = [this.#accepted.get(key), this.#refused.get(key)].find((one) => one !== undefined && one.until > performance.now());
    const found = known?.caller ?? this.#underReview.get(key);
    if (found !== undefined) return found;
    const caller = this.#review(claim, address, key).finally(() => this.#underReview.delete(key));
    this.#underReview.set(key, caller);
    return caller;
  }

  async #review(claim: Claim, address: string, key: string): Promise<Caller> {
    const { limits, metrics } = this.#options;
    try {
      const caller = await this.#laneOf(claim, address)(() => callerOf(this.#options, claim.token));
      metrics.reviews.inc({ result: 'accepted' });
      remember(this.#accepted, key, { caller: Promise.resolve(caller), until: performance.now() + limits.acceptedMs });
      return caller;
    } catch (error) {
      const isFinal = error instanceof Refusal && error.code !== grpcStatus.UNAVAILABLE;
      metrics.reviews.inc({ result: isFinal ? 'refused' : 'error' });
      if (!isFinal) throw error instanceof Refusal ? error : unavailable(`identity not checked: ${error instanceof Error ? error.message : String(error)}`);
      this.#offenders.blame(address);
      const caller = Promise.reject(error);
      caller.catch(() => undefined);
      remember(this.#refused, key, { caller, until: performance.now() + limits.refusedMs });
      throw error;
    }
  }

  #laneOf({ podUid }: Claim, address: string): Run {
    const isOfKnownPod = podUid !== undefined && this.#options.podByUid(podUid) !== undefined;
    if (this.#offenders.isBlocked(address) && !isOfKnownPod) throw unavailable('too many refused tokens from this address, try again');
    return isOfKnownPod && !this.#offenders.isSuspect(address) ? this.#knownLane : this.#unknownLane;
  }
}

/** Keeps the newest; what is old goes first. */
function remember(cache: Map<string, Known>, key: string, known: Known): void {
  cache.delete(key);
  cache.set(key, known);
  for (const [oldest, { until }] of cache) {
    if (cache.size <= MAX_CACHED && until > performance.now()) return;
    cache.delete(oldest);
  }
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

async function callerOf({ client, runs }: IdentityOptions, token: string): Promise<Caller> {
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
