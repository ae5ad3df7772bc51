// One JSON line per entry on stderr: constant message, fields beside it.
export type Fields = Readonly<Record<string, unknown>>;
export type Log = (level: 'info' | 'warn' | 'error', message: string, fields?: Fields) => void;

export const logToStderr: Log = (level, message, fields = {}) => {
  process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), level, message, ...fields })}\n`);
};

export const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
