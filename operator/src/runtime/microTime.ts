// A time as leases and events have it.

/** metav1.MicroTime: six digits of a second. */
export function microTime(date: Date = new Date()): string {
  return date.toISOString().replace('Z', '000Z');
}
