// Traces, for whoever asks for them with OpenTelemetry's variables. Nothing of OpenTelemetry is loaded otherwise.

/** Sends spans to the OTLP endpoint the environment names, if it names one; resolves with what ends that and sends the rest. Throws naming the variable when it cannot be used. */
export async function startTracing(env: NodeJS.ProcessEnv): Promise<() => Promise<void>> {
  const isWanted = ['OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'].some((name) => (env[name] ?? '') !== '');
  if (!isWanted || env['OTEL_SDK_DISABLED'] === 'true') return () => Promise.resolve();
  const { sendSpans } = await import('./otlp.ts');
  return sendSpans(env);
}
