import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';

/** Seeded draws; the same seed gives the same numbers on every machine. */
export interface Random {
  /** An index below `count`. */
  readonly index: (count: number) => number;
  /** Standard normal. */
  readonly normal: () => number;
  /** 1 or -1. */
  readonly sign: () => number;
}

/** First draws of this generator hardly differ between neighbouring seeds: without discarding them, streams of seeds 0, 1, 2.. are not independent. */
const DISCARDED = 256;

export function seeded(seed: number): Random {
  const generator = xoroshiro128plus(Math.imul(seed + 1, 0x9e3779b1) | 0);
  for (let i = 0; i < DISCARDED; i++) uniformFloat64(generator);
  const uniform = (): number => uniformFloat64(generator);
  let spare: number | undefined;
  const normal = (): number => {
    if (spare !== undefined) { const kept = spare; spare = undefined; return kept; }
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
  return { index: (count) => uniformInt(generator, 0, count - 1), normal, sign: () => (uniform() < 0.5 ? -1 : 1) };
}

/** A factor that turns normal draws of an estimated scale into Student's: sqrt(degrees / chi squared of degrees). */
export function studentFactor(random: Random, degrees: number): number {
  let sum = 0;
  for (let i = 0; i < degrees; i++) sum += random.normal() ** 2;
  return Math.sqrt(degrees / sum);
}
