// Where spans are made, when somebody wants them. Knows no tracing library: without one installed nothing is done or kept.

export type Attributes = Readonly<Record<string, string | number | boolean>>;

export interface Span {
  set(attributes: Attributes): void;
  fail(error: Error): void;
}

/** A span that whoever began it must end. */
export interface OpenSpan extends Span {
  end(): void;
}

export interface Tracer {
  /** Runs `work` inside a span, so that spans begun there are its children. */
  inSpan<T>(name: string, attributes: Attributes, work: (span: Span) => Promise<T>): Promise<T>;
  /** A span below the current one; undefined when there is none, since a request alone is not worth a trace. */
  startChild(name: string, attributes: Attributes): OpenSpan | undefined;
}

let tracer: Tracer | undefined;

const IGNORED: Span = { set: () => undefined, fail: () => undefined };

/** Uses this tracer from now on; undefined turns tracing off. */
export function installTracer(installed: Tracer | undefined): void {
  tracer = installed;
}

export function inSpan<T>(name: string, attributes: Attributes, work: (span: Span) => Promise<T>): Promise<T> {
  return tracer === undefined ? work(IGNORED) : tracer.inSpan(name, attributes, work);
}

/** A span of a request to the API server, named and described as OpenTelemetry's HTTP conventions say. */
export function startRequestSpan(request: { readonly method: string; readonly path: string; readonly host: string }): (outcome: number | Error) => void {
  if (tracer === undefined) return () => undefined;
  const { method, path, host } = request;
  const span = tracer.startChild(method, { 'http.request.method': method, 'url.path': path, 'server.address': host });
  return (outcome) => {
    if (typeof outcome === 'number') span?.set({ 'http.response.status_code': outcome });
    if (typeof outcome !== 'number' || outcome >= 400) span?.fail(asError(outcome));
    span?.end();
  };
}

function asError(outcome: number | Error): Error {
  return typeof outcome === 'number' ? new Error(`HTTP ${outcome}`) : outcome;
}

/** Those fields that an attribute can hold. */
export function attributesOf(fields: Readonly<Record<string, unknown>>): Attributes {
  return Object.fromEntries(Object.entries(fields).filter((field): field is [string, string | number | boolean] => ['string', 'number', 'boolean'].includes(typeof field[1])));
}
