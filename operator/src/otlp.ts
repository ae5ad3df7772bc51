// Spans through OpenTelemetry's SDK to an OTLP/HTTP endpoint. Loaded only when one is given.
import { AsyncLocalStorage } from 'node:async_hooks';
import { hostname } from 'node:os';
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { Context, Span as OtelSpan, Tracer as OtelTracer } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, ParentBasedSampler, TraceIdRatioBasedSampler, TracerProvider } from '@opentelemetry/sdk-trace';
import { installTracer } from './runtime/tracing.ts';
import type { OpenSpan, Tracer } from './runtime/tracing.ts';

/** Installs the tracer; the answer removes it and sends what is left. Where to and with which headers the exporter reads from the environment. */
export function sendSpans(env: NodeJS.ProcessEnv): () => Promise<void> {
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ 'service.name': env['OTEL_SERVICE_NAME'] ?? 'polar-operator', 'service.instance.id': env['POD_NAME'] ?? hostname() }),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratioFrom(env)) }),
    // A receiver that is away costs a bounded queue.
    spanProcessors: [new BatchSpanProcessor({ exporter: new OTLPTraceExporter({ timeoutMillis: 5000 }), exportTimeoutMillis: 5000 })],
  });
  installTracer(tracerOn(provider.getTracer('polar-operator')));
  return async () => {
    installTracer(undefined);
    await provider.shutdown().catch(() => undefined);
  };
}

function ratioFrom(env: NodeJS.ProcessEnv): number {
  const text = env['OTEL_TRACES_SAMPLER_ARG'] ?? '';
  const ratio = text === '' ? 1 : Number(text);
  if (!(ratio >= 0 && ratio <= 1)) throw new Error(`OTEL_TRACES_SAMPLER_ARG: expected a share from 0 to 1, got ${JSON.stringify(text)}`);
  return ratio;
}

function tracerOn(tracer: OtelTracer): Tracer {
  const current = new AsyncLocalStorage<Context>();
  return {
    inSpan: async (name, attributes, work) => {
      const span = tracer.startSpan(name, { attributes }, ROOT_CONTEXT);
      try {
        return await current.run(trace.setSpan(ROOT_CONTEXT, span), () => work(opened(span)));
      } finally {
        span.end();
      }
    },
    startChild: (name, attributes) => {
      const parent = current.getStore();
      return parent === undefined ? undefined : opened(tracer.startSpan(name, { attributes, kind: SpanKind.CLIENT }, parent));
    },
  };
}

function opened(span: OtelSpan): OpenSpan {
  return {
    set: (attributes) => void span.setAttributes(attributes),
    fail: (error) => {
      span.recordException(error);
      span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
    },
    end: () => span.end(),
  };
}
