// Randomness that is a function of a seed and of what it is for, so that a plan can be made again anywhere.
import { hash } from 'node:crypto';

/** A whole number from 0 to `bound` - 1, the same for the same key. `bound` is at most 2^32, so that 52 bits are even enough. */
export function below(bound: number, key: string): number {
  return Number.parseInt(hash('sha256', key, 'hex').slice(0, 13), 16) % bound;
}

/** The first `bytes` bytes of the SHA-256 of a text, as hex. */
export function shortHash(text: string, bytes: number): string {
  return hash('sha256', text, 'hex').slice(0, 2 * bytes);
}
