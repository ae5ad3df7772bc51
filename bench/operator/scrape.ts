// Counters of a Prometheus endpoint.

export type Samples = readonly Sample[];

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ([^ ]+)/;

/** The samples of a page in the Prometheus text format. */
export const parseSamples = (text: string): Samples => text.split('\n').flatMap((line) => {
  const match = LINE.exec(line);
  if (match === null) return [];
  const labels = Object.fromEntries([...(match[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key = '', value = '']) => [key, value]));
  return [{ name: match[1] ?? '', labels, value: Number(match[3]) }];
});

/** Sum of the samples of that name whose labels pass. */
export const sumOf = (samples: Samples, name: string, passes: (labels: Sample['labels']) => boolean = () => true): number =>
  samples.filter((sample) => sample.name === name && passes(sample.labels)).reduce((sum, { value }) => sum + value, 0);

const WRITES = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);

/** Requests that change something, as counted by a client under the names of client-go. */
export const writesOf = (samples: Samples): number => sumOf(samples, 'rest_client_requests_total', ({ method = '' }) => WRITES.has(method));

/** All requests of a client. */
export const requestsOf = (samples: Samples): number => sumOf(samples, 'rest_client_requests_total');
