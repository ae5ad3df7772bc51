// JSON lines on stdout: a constant message, and fields beside it.
import pino from 'pino';
import type { Log } from './runtime/log.ts';

export function createLog(level: string): Log {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (label) => ({ level: label }) }, serializers: { err: pino.stdSerializers.err } });
}
