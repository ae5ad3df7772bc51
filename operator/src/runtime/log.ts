// The logger the runtime expects: constant message, fields beside it. pino's loggers fit.

export type LogFn = (fields: Readonly<Record<string, unknown>>, message: string) => void;

export interface Log {
  readonly debug: LogFn;
  readonly info: LogFn;
  readonly warn: LogFn;
  readonly error: LogFn;
  child(fields: Record<string, unknown>): Log;
}
