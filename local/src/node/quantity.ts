// Kubernetes quantities ("500m", "64Mi", "1e3") as numbers.
const SUFFIX: Readonly<Record<string, number>> = {
  '': 1, n: 1e-9, u: 1e-6, m: 1e-3, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18,
  Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50, Ei: 2 ** 60,
};

/** The value in base units (cores, bytes, counts). Throws RangeError on anything that is not a quantity. */
export const quantity = (text: string | number): number => {
  const match = /^([+-]?[0-9.]+)(?:([eE][+-]?[0-9]+)|([numkMGTPE]|[KMGTPE]i)?)$/.exec(String(text));
  const value = Number(`${match?.[1] ?? ''}${match?.[2] ?? ''}`);
  if (!match || Number.isNaN(value)) throw new RangeError(`expected a quantity such as 500m or 64Mi, got "${text}"`);
  return value * (SUFFIX[match[3] ?? ''] ?? 1);
};
