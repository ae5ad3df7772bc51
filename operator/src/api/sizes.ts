// Backbone presets. Names count parameters outside the embedding; 1.8B and 7B are the paper's InternLM2.5 backbones under
// their own names, which round the parameters with embedding and language-model head.

export interface Architecture {
  readonly hiddenSize: number;
  readonly numLayers: number;
  readonly numHeads: number;
  readonly numKeyValueHeads: number;
  readonly intermediateSize: number;
  readonly ropeTheta: number;
}

const arch = (hiddenSize: number, numLayers: number, heads: readonly [number, number], rest: readonly [number, number]): Architecture =>
  ({ hiddenSize, numLayers, numHeads: heads[0], numKeyValueHeads: heads[1], intermediateSize: rest[0], ropeTheta: rest[1] });

export const SIZES = {
  '300K': arch(80, 4, [4, 2], [224, 10_000]),
  '1M': arch(128, 6, [4, 2], [352, 10_000]),
  '3M': arch(192, 8, [6, 2], [512, 10_000]),
  '10M': arch(320, 9, [10, 5], [864, 10_000]),
  '30M': arch(512, 10, [8, 4], [1376, 10_000]),
  '100M': arch(768, 16, [12, 4], [2048, 10_000]),
  '300M': arch(1024, 26, [16, 8], [2816, 10_000]),
  '1B': arch(1792, 28, [14, 7], [4864, 10_000]),
  '1.8B': arch(2048, 24, [16, 8], [8192, 1_000_000]),
  '7B': arch(4096, 32, [32, 8], [14336, 50_000_000]),
} as const satisfies Record<string, Architecture>;

export type SizeName = keyof typeof SIZES;
export const SIZE_NAMES = Object.keys(SIZES) as [SizeName, ...SizeName[]];

/** Tokens of InternLM2.5's vocabulary. */
export const PAPER_VOCABULARY = 92_544;

/** Parameters outside the embedding: projections, feed-forward and norms of each layer, the last norm and the reward head. */
export function parametersWithoutEmbedding(of: Architecture): number {
  const { hiddenSize: width, numLayers, intermediateSize } = of;
  const keyValue = width * of.numKeyValueHeads / of.numHeads;
  return numLayers * (2 * width * width + 2 * width * keyValue + 3 * width * intermediateSize + 2 * width) + 2 * width;
}

/** Parameters with an embedding of `vocabulary` tokens. */
export function parametersOf(of: Architecture, vocabulary: number): number {
  return parametersWithoutEmbedding(of) + vocabulary * of.hiddenSize;
}
