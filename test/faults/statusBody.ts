// The Status object with which an API server refuses.

const REASONS: Readonly<Record<number, string>> = {
  401: 'Unauthorized', 403: 'Forbidden', 404: 'NotFound', 409: 'Conflict', 410: 'Expired', 413: 'RequestEntityTooLarge', 422: 'Invalid', 429: 'TooManyRequests',
  500: 'InternalError', 503: 'ServiceUnavailable', 504: 'Timeout',
};

export function statusBody(code: number, reason = REASONS[code] ?? 'Unknown'): string {
  return JSON.stringify({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', reason, code, message: `injected ${code} ${reason}` });
}
