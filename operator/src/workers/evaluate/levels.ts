// Prompts with references and candidates of several levels of quality, from a pool whose policies are ranked into levels.
import { shortHash } from '../generate/chance.ts';
import { DataError } from '../generate/config.ts';
import type { Wrapper } from '../serve/encode.ts';
import type { Trajectory } from './rows.ts';
import { drawer } from './statistics.ts';

export interface Level { readonly name: string; readonly policies: readonly string[] }

/** Levels from the best on, in both lists: one candidate of each, and `texts` references of each, no policy twice. */
export interface QualityItem {
  readonly cluster: string;
  readonly prompt: string;
  readonly wrapper: Wrapper;
  readonly candidates: readonly { readonly level: string; readonly text: string }[];
  readonly references: readonly { readonly level: string; readonly texts: readonly string[] }[];
}

/** `references`: of each level and prompt. */
export interface LevelDraw { readonly levels: readonly Level[]; readonly references: number; readonly seed: number }

/** One item for every prompt that enough policies of each level answered. DataError when there is no such prompt. */
export function drawItems(rows: readonly Trajectory[], draw: LevelDraw): QualityItem[] {
  const items = [...Map.groupBy(rows, ({ promptId }) => promptId)].flatMap(([cluster, answers]) => itemOf(cluster, answers, draw) ?? []);
  if (items.length === 0) {
    throw new DataError(`levels: expected a prompt that ${String(draw.references + 1)} policies of each of ${draw.levels.map(({ name }) => name).join(', ')} answered, found none`);
  }
  return items;
}

function itemOf(cluster: string, answers: readonly Trajectory[], { levels, references, seed }: LevelDraw): QualityItem | undefined {
  const random = drawer(Number.parseInt(shortHash(`${String(seed)} ${cluster}`, 4), 16) | 0);
  const drawn = levels.map(({ name, policies }) => ({ level: name, texts: some(texts(answers, policies), references + 1, random) }));
  const [first] = answers;
  if (first === undefined || drawn.some((one) => one.texts.length <= references)) return undefined;
  return {
    cluster, prompt: first.prompt, wrapper: first.wrapper,
    candidates: drawn.map((one) => ({ level: one.level, text: one.texts[0] ?? '' })),
    references: drawn.map((one) => ({ level: one.level, texts: one.texts.slice(1) })),
  };
}

/** The first answer of each of the policies that answered. */
function texts(answers: readonly Trajectory[], policies: readonly string[]): string[] {
  return policies.flatMap((policy) => answers.find((row) => row.policy === policy)?.output ?? []);
}

function some(from: readonly string[], count: number, random: (bound: number) => number): string[] {
  const left = [...from];
  return Array.from({ length: Math.min(count, left.length) }, () => left.splice(random(left.length), 1)[0] ?? '');
}
