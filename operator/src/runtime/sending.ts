// What happens around each request to the API server: a last check before it goes out, what it took, and its span.
import type { Dispatcher } from 'undici';
import { restClientRequests, restClientSeconds } from './metrics.ts';
import { startRequestSpan } from './tracing.ts';

export interface SentRequest {
  readonly method: string;
  readonly path: string;
  readonly host: string;
}

/** Counts and times a request. Call the result with the status code, or with the error when there was no answer. */
export function observeRequest(request: SentRequest): (outcome: number | Error) => void {
  const { method, host } = request;
  const stopTimer = restClientSeconds.startTimer({ verb: method, host });
  const endSpan = startRequestSpan(request);
  return (outcome) => {
    stopTimer();
    endSpan(outcome);
    restClientRequests.inc({ code: typeof outcome === 'number' ? outcome : '<error>', method, host });
  };
}

/**
 * An interceptor that calls the request's `beforeSend` when it gets a connection, directly before its first byte is
 * written: not when it was asked for, which may have been long before. What that throws is what the request fails with.
 */
export const askBeforeSending: Dispatcher.DispatcherComposeInterceptor = (dispatch) => (options, handler) => {
  const { beforeSend } = options as { readonly beforeSend?: (() => void) | undefined };
  return dispatch(options, beforeSend === undefined ? handler : checked(handler, beforeSend));
};

function checked(handler: Dispatcher.DispatchHandler, check: () => void): Dispatcher.DispatchHandler {
  return {
    onRequestStart: (controller, context) => {
      check();
      handler.onRequestStart?.(controller, context);
    },
    onRequestUpgrade: (...args) => handler.onRequestUpgrade?.(...args),
    onResponseStarted: () => handler.onResponseStarted?.(),
    onResponseStart: (...args) => handler.onResponseStart?.(...args),
    onResponseData: (...args) => handler.onResponseData?.(...args),
    onResponseEnd: (...args) => handler.onResponseEnd?.(...args),
    onResponseError: (...args) => handler.onResponseError?.(...args),
  };
}
