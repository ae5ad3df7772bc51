// One loopback address per pod from 127.64.0.0/10: the same pod gets the same address again unless another took it.
import { createHash } from 'node:crypto';

const BASE = (127 << 24 | 64 << 16) >>> 0;
const SIZE = 2 ** 22;

const dotted = (address: number): string => [24, 16, 8, 0].map((shift) => address >>> shift & 255).join('.');

/** Offsets ending in 0 or 255 read like network and broadcast addresses, so they are left out. */
const usable = (offset: number): boolean => offset % 256 !== 0 && offset % 256 !== 255;

/** The address of `uid` that no other pod holds; the caller records it. */
export const addressFor = (uid: string, taken: ReadonlySet<string>): string => {
  let offset = createHash('sha256').update(uid).digest().readUInt32BE(0) % SIZE;
  while (!usable(offset) || taken.has(dotted(BASE + offset))) offset = (offset + 1) % SIZE;
  return dotted(BASE + offset);
};
