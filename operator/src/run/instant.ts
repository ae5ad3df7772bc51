// Between RFC 3339 text, as Kubernetes writes time, and milliseconds since the epoch. Never asks what time it is.

export function millisOf(time: string): number {
  return Date.parse(time);
}

/** Whole seconds, as metav1.Time has them. */
export function rfc3339(millis: number): string {
  return new Date(millis).toISOString().replace(/\.\d+Z$/, 'Z');
}
