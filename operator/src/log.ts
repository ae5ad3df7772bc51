// JSON lines on stdout: a constant message, and fields beside it. JSON escapes line ends and control characters, so that no value can forge a line.
import pino from 'pino';
import type { DestinationStream } from 'pino';
import type { Log } from './runtime/log.ts';

export function createLog(level: string, destination?: DestinationStream): Log {
  const options = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (label: string) => ({ level: label }) }, serializers: { err: pino.stdSerializers.err } };
  return destination === undefined ? pino(options) : pino(options, destination);
}
