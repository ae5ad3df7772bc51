// What the API server answered when it refused a request.

interface StatusBody {
  readonly kind?: string;
  readonly message?: string;
  readonly reason?: string;
  readonly code?: number;
  readonly details?: { readonly retryAfterSeconds?: number; readonly causes?: readonly { field?: string; message?: string }[] };
}

/** A refusal by the API server: HTTP status, the machine-readable `reason` and the parsed details of its Status object. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly reason: string;
  readonly details: StatusBody['details'];

  constructor(status: number, body: StatusBody, request: string) {
    super(`${request}: ${status} ${body.reason ?? ''}: ${body.message ?? 'no message'}`);
    this.status = status;
    this.reason = body.reason ?? '';
    this.details = body.details;
  }
}

/** An ApiError from a response body, which need not be a Status (proxies answer in plain text). */
export function apiErrorFrom(status: number, text: string, request: string): ApiError {
  return new ApiError(status, parseStatus(text), request);
}

function isStatus(body: unknown): body is StatusBody {
  return typeof body === 'object' && body !== null && 'kind' in body && body.kind === 'Status';
}

function parseStatus(text: string): StatusBody {
  try {
    const body: unknown = JSON.parse(text);
    if (isStatus(body)) return body;
  } catch {
    // Not JSON: the text itself is the message.
  }
  return { message: text.slice(0, 500) };
}

export function isNotFound(error: unknown): boolean {
  return error instanceof ApiError && error.status === 404;
}

export function isAlreadyExists(error: unknown): boolean {
  return error instanceof ApiError && error.status === 409 && error.reason === 'AlreadyExists';
}

export function isConflict(error: unknown): boolean {
  return error instanceof ApiError && error.status === 409 && error.reason !== 'AlreadyExists';
}

/** The resource version is too old to list or watch from (HTTP 410 Gone, or reason Expired). */
export function isExpired(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 410 || error.reason === 'Expired' || error.reason === 'Gone');
}
