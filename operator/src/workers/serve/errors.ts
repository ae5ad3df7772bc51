// Why a request got no scores. A failure is one of these, never a number.

/** Too much waits already: try again later. */
export class QueueFullError extends Error {
  override readonly name = 'QueueFullError';
}

/** The request is wrong, whatever else waits: it names the field, what was expected and what was got. */
export class RequestError extends Error {
  override readonly name = 'RequestError';
}

/** The model folder cannot be used, or is no longer the one that was loaded. */
export class ModelError extends Error {
  override readonly name = 'ModelError';
}

/** Scoring itself failed: a worker ended, or a score is not a finite number. */
export class ScoringError extends Error {
  override readonly name = 'ScoringError';
}

/** The scorer was closed before the request was done. */
export class ClosedError extends Error {
  override readonly name = 'ClosedError';
}

export type Failure = 'ModelError' | 'ScoringError';

/** The error of a worker by its name. */
export function failureOf(kind: Failure, message: string): Error {
  return kind === 'ModelError' ? new ModelError(message) : new ScoringError(message);
}
