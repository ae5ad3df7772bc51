// Puts a plan's faults into a session: hooks of the proxy, deaths of the operator, deeds of others.
import { setTimeout as sleep } from 'node:timers/promises';
import { ACTS } from './acts.ts';
import { isStateWrite } from './call.ts';
import type { Call } from './call.ts';
import type { Fault, Plan } from './plan.ts';
import { PAST } from './past.ts';
import type { Fate } from './proxy.ts';
import { GONE, relists } from './relists.ts';
import type { Session } from './session.ts';
import { statusBody } from './statusBody.ts';
import type { LineVerdict, WatchLine } from './watchPipe.ts';

interface Armed {
  readonly fault: Fault;
  left: number;
  count: number;
}

/** Names a line as plans do: its type, resource and object, without what the server drew. */
export function lineKey({ type, resource, name }: Pick<WatchLine, 'type' | 'resource' | 'name'>): string {
  return `${type} ${resource} ${name.replace(/((?:pretrain|finetune)-\d+-\d+)-[a-z0-9]{5}$/, '$1-*')}`;
}

export class Injector {
  readonly plan: Plan;
  /** Faults whose moment came. */
  fired = 0;
  readonly #session: Session;
  readonly #armed: Armed[];
  readonly #running = new Set<Promise<unknown>>();
  readonly #blind = new Map<string, number>();
  readonly #held = new Map<string, Promise<void>>();
  readonly #past = new Map<string, string>();
  readonly #expiring = new Set<string>();
  readonly #listExpired = new Set<string>();
  #pastUntil: Promise<void> = Promise.resolve();

  constructor(plan: Plan, session: Session) {
    this.plan = plan;
    this.#session = session;
    this.#armed = plan.faults.map((fault) => ({ fault, left: fault.do === 'answer' ? (fault.times ?? 1) : 1, count: 0 }));
    session.proxy.hooks = { fate: (call) => this.#fate(call), line: (line) => this.#line(line) };
  }

  /** The workload passes a mark. Deeds at a mark are over when this resolves; longer faults go on beside it. */
  async mark(name: string): Promise<void> {
    for (const armed of this.#armed) {
      if (!('mark' in armed.fault.at) || armed.fault.at.mark !== name || !this.#isReady(armed)) continue;
      this.#fire(armed);
      await this.#begin(armed.fault);
    }
  }

  /** Resolves when every fault that has begun is over. */
  async over(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  /** Nothing is to happen any more. */
  disarm(): void {
    for (const armed of this.#armed) armed.left = 0;
  }

  #isReady(armed: Armed): boolean {
    const before = this.#armed[this.#armed.indexOf(armed) - 1];
    return armed.left > 0 && (armed.fault.next !== true || before?.left === 0);
  }

  #fire(armed: Armed): void {
    armed.left -= 1;
    this.fired += 1;
  }

  #track(work: Promise<unknown>): void {
    const tracked: Promise<unknown> = work.finally(() => this.#running.delete(tracked));
    this.#running.add(tracked);
  }

  #fate(call: Call): Fate {
    const resource = call.resource.split('/')[0] ?? '';
    if (!call.isWrite && call.name === '') {
      if ((this.#blind.get(resource) ?? 0) > Date.now()) return { do: 'answer', status: 503, body: statusBody(503, 'ServiceUnavailable'), commit: false };
      const past = this.#expiredAnswer(call, resource) ?? this.#pastOf(call, resource);
      if (past !== undefined) return past;
    }
    const armed = this.#armed.find((one) => this.#isTriggered(one, call));
    if (armed === undefined) return { do: 'pass' };
    this.#fire(armed);
    return this.#fateOf(armed.fault);
  }

  #isTriggered(armed: Armed, call: Call): boolean {
    const { at } = armed.fault;
    const key = 'write' in at ? (isStateWrite(call) || at.write.includes('events') ? at.write : undefined) : 'request' in at ? at.request : undefined;
    if (key === undefined || !this.#isReady(armed) || !matches(key, call.key)) return false;
    armed.count += 1;
    return armed.count >= (('nth' in at ? at.nth : undefined) ?? 1);
  }

  #fateOf(fault: Fault): Fate {
    switch (fault.do) {
      case 'kill': return { do: 'interrupt', when: fault.when, then: () => this.#kill() };
      case 'answer': {
        const headers = fault.retryAfter === undefined ? {} : { 'retry-after': String(fault.retryAfter) };
        return { do: 'answer', status: fault.code, body: statusBody(fault.code, fault.reason), headers, commit: fault.commit ?? false };
      }
      case 'cut': return { do: 'cut', commit: fault.commit ?? false };
      case 'hang': return { do: 'hang', ms: fault.ms, commit: fault.commit ?? false };
      case 'delay': return { do: 'delay', ms: fault.ms };
      default: return this.#beside(fault);
    }
  }

  /** A fault that is not about the request itself begins around it. */
  #beside(fault: Fault): Fate {
    const when = fault.do === 'act' ? (fault.when ?? 'after') : 'after';
    return { do: 'interrupt', when, then: () => this.#begin(fault).then(() => 'goes on') };
  }

  async #kill(): Promise<'lost'> {
    const restart = (async () => {
      await this.#session.operator.kill();
      await this.#session.startOperator();
    })();
    this.#track(restart);
    await restart;
    return 'lost';
  }

  #line(line: WatchLine): LineVerdict {
    const past = this.#past.has(line.resource) ? this.#pastUntil : undefined;
    if (past !== undefined) return { do: 'hold', until: past };
    const armed = this.#armed.find((one) => {
      if (!this.#isReady(one) || !('line' in one.fault.at) || !matches(one.fault.at.line, lineKey(line))) return false;
      one.count += 1;
      return one.count >= (one.fault.at.nth ?? 1);
    });
    const held = this.#held.get(line.resource);
    if (armed === undefined) return held === undefined ? { do: 'pass' } : { do: 'hold', until: held };
    this.#fire(armed);
    return this.#lineVerdict(armed.fault, line.resource);
  }

  #lineVerdict(fault: Fault, resource: string): LineVerdict {
    if (fault.do === 'drop' || fault.do === 'twice') return { do: fault.do };
    if (fault.do === 'cutWatch') return { do: 'cut' };
    if (fault.do === 'kill') {
      this.#track(this.#kill());
      return { do: 'pass' };
    }
    const begun = this.#begin(fault);
    this.#track(begun);
    const until = fault.do === 'act' ? begun : this.#held.get(resource);
    return until === undefined ? { do: 'pass' } : { do: 'hold', until };
  }

  /** Begins a fault that is not about one request. Resolves when the workload may go on. */
  async #begin(fault: Fault): Promise<void> {
    const { proxy, operator } = this.#session;
    switch (fault.do) {
      case 'kill':
        await this.#kill();
        return;
      case 'hold': return this.#hold(fault.resources, fault.ms);
      case 'blind': return this.#blinded(fault.resources, fault.ms);
      case 'expire': return this.#expire(fault.resources);
      case 'travel': return this.#travel(fault.to, fault.ms);
      case 'freeze':
        proxy.freeze();
        this.#track(sleep(fault.ms).then(() => (fault.cut === true ? proxy.cutAll() : undefined)).then(() => proxy.thaw()));
        return;
      case 'pause':
        operator.signal('SIGSTOP');
        this.#track(sleep(fault.ms).then(() => operator.signal('SIGCONT')));
        return;
      default: return this.#surround(fault);
    }
  }

  /** Faults that are not between the operator and its answers. */
  async #surround(fault: Fault): Promise<void> {
    switch (fault.do) {
      case 'clock':
        this.#track(sleep(fault.afterMs ?? 0).then(() => this.#session.operator.jump(fault.ms)));
        return;
      case 'forbid': return this.#forbid(fault);
      case 'rotate':
        this.#track((await this.#session.rotateToken(fault.lateMs)).renewed);
        return;
      case 'relists': return relists(this.#session, fault.times);
      case 'apiserver': return this.#disturbServer(fault);
      case 'act': return this.#act(fault.name);
      default: throw new Error(`a fault "${fault.do}" cannot begin at ${JSON.stringify(fault.at)}`);
    }
  }

  #act(name: string): Promise<void> {
    const act = ACTS[name];
    if (act === undefined) throw new Error(`no act "${name}": expected one of ${Object.keys(ACTS).join(', ')}`);
    return act(this.#session);
  }

  async #forbid({ resource, ms }: Extract<Fault, { do: 'forbid' }>): Promise<void> {
    const putBack = await this.#session.account.forbid(resource);
    this.#session.proxy.cutWatches([resource]);
    this.#track(sleep(ms).then(putBack));
  }

  async #disturbServer({ how, ms }: Extract<Fault, { do: 'apiserver' }>): Promise<void> {
    const { plane } = this.#session.cluster;
    plane.signal('kube-apiserver', how === 'kill' ? 'SIGKILL' : 'SIGSTOP');
    await sleep(ms);
    if (how === 'stop') plane.signal('kube-apiserver', 'SIGCONT');
    await this.#session.untilServerReady();
  }

  #hold(resources: readonly string[], ms: number): Promise<void> {
    const until = sleep(ms);
    for (const resource of resources) this.#held.set(resource, until);
    this.#track(until.then(() => resources.forEach((resource) => this.#held.delete(resource))));
    return Promise.resolve();
  }

  #blinded(resources: readonly string[], ms: number): Promise<void> {
    for (const resource of resources) this.#blind.set(resource, Date.now() + ms);
    this.#session.proxy.cutWatches(resources);
    this.#track(sleep(ms));
    return Promise.resolve();
  }

  /** Until it is listed anew, every watch of the resource is told that its version is too old. */
  #expire(resources: readonly string[]): Promise<void> {
    for (const resource of resources) this.#expiring.add(resource);
    for (const watch of this.#session.proxy.watches) {
      if (!resources.includes(watch.resource)) continue;
      watch.inject(GONE);
      watch.end();
    }
    return Promise.resolve();
  }

  async #travel(to: string, ms: number): Promise<void> {
    const revision = this.#session.revisionAt(to);
    await this.#session.operator.kill();
    const until = sleep(ms);
    this.#pastUntil = until;
    for (const resource of PAST.keys()) this.#past.set(resource, String(revision));
    this.#track(until.then(() => this.#past.clear()));
    await this.#session.startOperator();
  }

  /** Lists expire once, watches until a list came through. */
  #expiredAnswer(call: Call, resource: string): Fate | undefined {
    if (!this.#expiring.has(resource)) return undefined;
    if (call.isWatch) return { do: 'answer', status: 200, body: `${GONE}\n`, commit: false };
    if (!this.#listExpired.has(resource)) {
      this.#listExpired.add(resource);
      return { do: 'answer', status: 410, body: statusBody(410, 'Expired'), commit: false };
    }
    this.#expiring.delete(resource);
    return undefined;
  }

  /** While in the past, lists are made from what the observer saw, and watches begin there and bring nothing yet. */
  #pastOf(call: Call, resource: string): Fate | undefined {
    const revision = this.#past.get(resource);
    const list = PAST.get(resource);
    if (revision === undefined || list === undefined || call.isWatch) return undefined;
    const { observer, namespace } = this.#session;
    return { do: 'answer', status: 200, body: list(observer.history(namespace), Number(revision)), commit: false };
  }
}

/** A star stands for anything. */
function matches(pattern: string, key: string): boolean {
  if (!pattern.includes('*')) return pattern === key;
  if (pattern.replaceAll('-*', '') === key.replaceAll('-*', '') ) return true;
  return new RegExp(`^${pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&')).join('.*')}$`).test(key);
}
