// Startup, readiness and liveness probes of one running container.
import { connect } from 'node:net';
import { connect as connectHttp2 } from 'node:http2';
import { Agent, request } from 'undici';
import { sleep } from './clock.ts';
import type { Container, Probe } from './objects.ts';

export interface ProbeTarget {
  readonly container: Container;
  readonly podIP: string;
  /** Runs a command in the container; resolves with its exit code. */
  readonly exec: (argv: readonly string[], timeoutMs: number) => Promise<number>;
}

export interface ProbeSink {
  started(): void;
  ready(value: boolean): void;
  /** A startup or liveness probe failed for good: the container is to be killed. */
  unhealthy(message: string): void;
  failed(kind: string, message: string): void;
}

type Kind = 'Startup' | 'Readiness' | 'Liveness';

const anyCertificate = new Agent({ connect: { rejectUnauthorized: false } });

const portOf = (port: number | string, container: Container): number => {
  const named = container.ports?.find((one) => one.name === port)?.containerPort;
  return named ?? Number(port);
};

const probeHttp = async (get: NonNullable<Probe['httpGet']>, { container, podIP }: ProbeTarget, timeoutMs: number): Promise<string | undefined> => {
  const scheme = (get.scheme ?? 'HTTP').toLowerCase();
  const path = get.path ?? '/';
  const url = `${scheme}://${get.host ?? podIP}:${portOf(get.port, container)}${path.startsWith('/') ? path : `/${path}`}`;
  const headers = Object.fromEntries((get.httpHeaders ?? []).map(({ name, value }) => [name, value]));
  const response = await request(url, { dispatcher: anyCertificate, headers, signal: AbortSignal.timeout(timeoutMs) });
  await response.body.dump();
  return response.statusCode >= 200 && response.statusCode < 400 ? undefined : `HTTP probe failed with statuscode: ${response.statusCode}`;
};

const probeTcp = (host: string, port: number, timeoutMs: number): Promise<string | undefined> => new Promise((resolve) => {
  const socket = connect({ host, port, timeout: timeoutMs });
  const end = (problem: string | undefined): void => { socket.destroy(); resolve(problem); };
  socket.once('connect', () => { end(undefined); });
  socket.once('timeout', () => { end(`dial tcp ${host}:${port}: i/o timeout`); });
  socket.once('error', (error: Error) => { end(error.message); });
});

const SERVING = 1;

/** One grpc.health.v1.Health/Check call by hand: an empty or one-string request, a one-enum reply. */
const probeGrpc = (address: string, service: string, timeoutMs: number): Promise<string | undefined> => new Promise((resolve) => {
  const session = connectHttp2(`http://${address}`);
  const end = (problem: string | undefined): void => { session.destroy(); resolve(problem); };
  const timer = setTimeout(() => { end('timeout'); }, timeoutMs);
  session.once('close', () => { clearTimeout(timer); });
  session.once('error', (error: Error) => { end(error.message); });
  const call = session.request({ ':method': 'POST', ':path': '/grpc.health.v1.Health/Check', 'content-type': 'application/grpc', te: 'trailers' });
  const name = Buffer.from(service);
  const body = name.length > 0 ? Buffer.concat([Buffer.from([10, name.length]), name]) : Buffer.alloc(0);
  const chunks: Buffer[] = [];
  call.on('data', (chunk: Buffer) => { chunks.push(chunk); });
  call.once('end', () => { const reply = Buffer.concat(chunks); end(reply[5] === 8 && reply[6] === SERVING ? undefined : 'service unhealthy'); });
  call.once('error', (error: Error) => { end(error.message); });
  call.end(Buffer.concat([Buffer.from([0, 0, 0, 0, body.length]), body]));
});

const probeExec = async (command: readonly string[], target: ProbeTarget, timeoutMs: number): Promise<string | undefined> => {
  const code = await target.exec(command, timeoutMs);
  return code === 0 ? undefined : `command exited with ${code}`;
};

/** One attempt: undefined when it succeeded, else what went wrong. */
const attempt = async (probe: Probe, target: ProbeTarget): Promise<string | undefined> => {
  const timeoutMs = (probe.timeoutSeconds ?? 1) * 1000;
  try {
    const { exec, httpGet, tcpSocket, grpc } = probe;
    if (exec) return await probeExec(exec.command ?? [], target, timeoutMs);
    if (httpGet) return await probeHttp(httpGet, target, timeoutMs);
    if (tcpSocket) return await probeTcp(tcpSocket.host ?? target.podIP, portOf(tcpSocket.port, target.container), timeoutMs);
    return grpc && await probeGrpc(`${target.podIP}:${grpc.port}`, grpc.service ?? '', timeoutMs);
  } catch (error) {
    return (error as Error).message;
  }
};

interface Loop { readonly kind: Kind; readonly probe: Probe; readonly onVerdict: (ok: boolean, problem: string) => 'go on' | 'stop' }

const DEFAULTS = { initialDelaySeconds: 0, periodSeconds: 10, timeoutSeconds: 1, successThreshold: 1, failureThreshold: 3 } as const;

const runLoop = async ({ kind, probe, onVerdict }: Loop, target: ProbeTarget, sink: ProbeSink, signal: AbortSignal): Promise<void> => {
  const timing = { ...DEFAULTS, ...probe };
  let good = 0;
  let bad = 0;
  await sleep(timing.initialDelaySeconds * 1000, signal);
  while (!signal.aborted) {
    const problem = await attempt(probe, target);
    if (signal.aborted) return;
    const ok = problem === undefined;
    good = ok ? good + 1 : 0;
    bad = ok ? 0 : bad + 1;
    if (!ok) sink.failed(kind, problem);
    const decided = good >= timing.successThreshold || bad >= timing.failureThreshold;
    if (decided && onVerdict(ok, problem ?? '') === 'stop') return;
    await sleep(timing.periodSeconds * 1000, signal);
  }
};

/** Probes until `signal` aborts. Without a startup probe the container counts as started at once, without readiness as ready. */
export const runProbes = async (target: ProbeTarget, sink: ProbeSink, signal: AbortSignal): Promise<void> => {
  const { startupProbe, readinessProbe, livenessProbe } = target.container;
  let alive = true;
  const killOn = (ok: boolean, kind: Kind, problem: string): 'go on' | 'stop' => {
    if (ok) return kind === 'Startup' ? 'stop' : 'go on';
    alive = false;
    sink.unhealthy(`Container ${target.container.name} failed ${kind.toLowerCase()} probe: ${problem}`);
    return 'stop';
  };
  if (startupProbe) await runLoop({ kind: 'Startup', probe: startupProbe, onVerdict: (ok, problem) => killOn(ok, 'Startup', problem) }, target, sink, signal);
  if (signal.aborted || !alive) return;
  sink.started();
  if (!readinessProbe) sink.ready(true);
  await Promise.all([
    readinessProbe && runLoop({ kind: 'Readiness', probe: readinessProbe, onVerdict: (ok) => { sink.ready(ok); return 'go on'; } }, target, sink, signal),
    livenessProbe && runLoop({ kind: 'Liveness', probe: livenessProbe, onVerdict: (ok, problem) => killOn(ok, 'Liveness', problem) }, target, sink, signal),
  ]);
};
