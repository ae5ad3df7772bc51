// From flags and environment to one frozen configuration. A flag wins over its environment variable.
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import type { ElectionTiming } from './runtime/election.ts';

const port = z.coerce.number().int().min(0).max(65535);
const seconds = z.coerce.number().positive().max(3600);
const flag = z.enum(['true', 'false']).transform((value) => value === 'true');

const OPTIONS = {
  'namespace': { env: 'POD_NAMESPACE', schema: z.string().min(1).default('polar-system'), help: 'namespace of the operator' },
  'bind-address': { env: 'POD_IP', schema: z.string().min(1).default('127.0.0.1'), help: 'address to listen on' },
  'ingest-port': { env: 'POLAR_INGEST_PORT', schema: port.default(9443), help: 'port of the gRPC endpoint trainers report to' },
  'ingest-address': { env: 'POLAR_INGEST_ADDRESS', schema: z.string().optional(), help: 'host:port trainers report to; polar-ingest.<namespace>.svc:9443 unless told, "none" turns reports off' },
  'report-interval': { env: 'POLAR_REPORT_INTERVAL', schema: z.coerce.number().int().min(1).max(3600).default(2), help: 'seconds between a trainer\'s reports' },
  'metrics-port': { env: 'POLAR_METRICS_PORT', schema: port.default(8080), help: 'port of /metrics' },
  'health-port': { env: 'POLAR_HEALTH_PORT', schema: port.default(8081), help: 'port of /healthz and /readyz' },
  'trainer-image': { env: 'POLAR_TRAINER_IMAGE', schema: z.string().min(1).default('polar.training/trainer:dev'), help: 'image of runs that name none' },
  'workers': { env: 'POLAR_WORKERS', schema: z.coerce.number().int().min(1).max(256).default(16), help: 'runs of a kind reconciled at once' },
  'max-run-series': { env: 'POLAR_MAX_RUN_SERIES', schema: z.coerce.number().int().min(0).max(100_000).default(1000), help: 'runs that have metrics of their own at most' },
  'leader-elect': { env: 'POLAR_LEADER_ELECT', schema: flag.default(true), help: 'true: of several replicas one reconciles; false: this one does, without a lease' },
  'leader-elect-lease-duration': { env: 'POLAR_LEASE_DURATION', schema: seconds.default(15), help: 'seconds the others wait after the last renewal they saw' },
  'leader-elect-renew-deadline': { env: 'POLAR_RENEW_DEADLINE', schema: seconds.default(10), help: 'seconds after its last renewal in which the leader still writes' },
  'leader-elect-retry-period': { env: 'POLAR_RETRY_PERIOD', schema: seconds.default(2), help: 'seconds between two renewals or looks at the lease' },
  'log-level': { env: 'POLAR_LOG_LEVEL', schema: z.enum(['debug', 'info', 'warn', 'error']).default('info'), help: 'least level that is logged' },
} as const;

type OptionName = keyof typeof OPTIONS;

const NAMES = Object.keys(OPTIONS) as OptionName[];
const schema = z.object(Object.fromEntries(NAMES.map((name) => [name, OPTIONS[name].schema])) as { [N in OptionName]: (typeof OPTIONS)[N]['schema'] });

type Parsed = z.infer<typeof schema>;

export interface Derived {
  readonly ingestAddress: string | undefined;
  /** Of this process among the replicas: a container that is restarted in its pod is the same one, and the old one is dead by then. */
  readonly identity: string;
  readonly election: ElectionTiming;
}

export type Config = Readonly<Parsed> & Derived;

/** The text of `--help`. */
export function usage(): string {
  const lines = NAMES.map((name) => `  --${name.padEnd(30)}${OPTIONS[name].help} (${OPTIONS[name].env})`);
  return ['Usage: main.ts [options]', '', 'Trains POLAR reward models: reconciles PolarPretrain and PolarFinetune.', '', ...lines, `  --${'help'.padEnd(30)}this text`, ''].join('\n');
}

/** Undefined when help was asked for. Throws an Error that names the option, what was expected and what was got. */
export function configFrom(args: readonly string[], env: NodeJS.ProcessEnv): Config | undefined {
  const options = Object.fromEntries(NAMES.map((name) => [name, { type: 'string' as const }]));
  const { values } = parseArgs({ args: [...args], options: { ...options, help: { type: 'boolean' } } });
  if (values.help === true) return undefined;
  const flags: Readonly<Record<string, unknown>> = values;
  const given = Object.fromEntries(NAMES.map((name) => [name, flags[name] ?? nonEmpty(env[OPTIONS[name].env])]));
  const result = schema.safeParse(given);
  if (!result.success) throw new Error(result.error.issues.map((issue) => `--${issue.path.join('.')}: ${issue.message}, got ${JSON.stringify(given[String(issue.path[0])])}`).join('; '));
  const config = result.data;
  return Object.freeze({ ...config, ingestAddress: ingestAddressOf(config), identity: identityOf(env), election: electionOf(config) });
}

function ingestAddressOf(config: Parsed): string | undefined {
  const address = config['ingest-address'] ?? `polar-ingest.${config.namespace}.svc:9443`;
  return address === 'none' ? undefined : address;
}

function identityOf(env: NodeJS.ProcessEnv): string {
  const [name, uid] = [nonEmpty(env['POD_NAME']), nonEmpty(env['POD_UID'])];
  return name !== undefined && uid !== undefined ? `${name}_${uid}` : `${name ?? hostname()}_${randomUUID()}`;
}

/** Others must wait longer than the leader writes, and the leader must have several tries to renew. */
function electionOf(config: Parsed): ElectionTiming {
  const [lease, renew, retry] = [config['leader-elect-lease-duration'], config['leader-elect-renew-deadline'], config['leader-elect-retry-period']];
  if (lease <= renew) throw new Error(`--leader-elect-lease-duration: expected more than --leader-elect-renew-deadline (${renew}), got ${lease}`);
  if (renew <= retry * 1.2) throw new Error(`--leader-elect-renew-deadline: expected more than 1.2 times --leader-elect-retry-period (${retry}), got ${renew}`);
  return { leaseDurationMs: lease * 1000, renewDeadlineMs: renew * 1000, retryPeriodMs: retry * 1000 };
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}
