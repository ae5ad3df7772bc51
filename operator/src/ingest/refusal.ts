// Why a stream is not served, as a gRPC status.
import { status } from '@grpc/grpc-js';

/** Ends a stream. `details` is for the log of the trainer: terse, and without secrets. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly code: status;

  constructor(code: status, details: string) {
    super(details);
    this.code = code;
  }
}

export const unauthenticated = (details: string): Refusal => new Refusal(status.UNAUTHENTICATED, details);
export const permissionDenied = (details: string): Refusal => new Refusal(status.PERMISSION_DENIED, details);
export const failedPrecondition = (details: string): Refusal => new Refusal(status.FAILED_PRECONDITION, details);
export const notFound = (details: string): Refusal => new Refusal(status.NOT_FOUND, details);
export const unavailable = (details: string): Refusal => new Refusal(status.UNAVAILABLE, details);
