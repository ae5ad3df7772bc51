// What a subcommand is, and how its arguments are read. Every command declares its options once: parsing, help and checks follow.
import { parseArgs } from 'node:util';
import type { Readable, Writable } from 'node:stream';

/** Where a command reads and writes; the process's own streams, or a test's. */
export interface Io {
  readonly stdin: Readable;
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number; readonly hasColors?: (count: number) => boolean };
  readonly stderr: Writable;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface OptionSpec {
  readonly type: 'string' | 'boolean';
  readonly short?: string;
  /** May be given more than once. */
  readonly multiple?: boolean;
  /** What stands for its value in help. */
  readonly value?: string;
  readonly help: string;
}

export interface Command {
  readonly name: string;
  readonly summary: string;
  readonly usage: string;
  readonly description: string;
  readonly options: Readonly<Record<string, OptionSpec>>;
  readonly examples: readonly string[];
  run(args: Args, io: Io): Promise<void>;
}

export interface Args {
  readonly positionals: readonly string[];
  text(option: string): string | undefined;
  texts(option: string): readonly string[];
  flag(option: string): boolean;
}

/** Wrong use of a command: exit status 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Input or a cluster that does not allow what was asked: exit status 1, the message is all a user needs. */
export class Failure extends Error {
  override readonly name = 'Failure';
}

const HELP: OptionSpec = { type: 'boolean', short: 'h', help: 'this text' };

/** The command's own options and --help. */
export function optionsOf(command: Command): Readonly<Record<string, OptionSpec>> {
  return { ...command.options, help: HELP };
}

/** Reads the words after the command's name. Throws UsageError naming the word that does not fit. */
export function parseWords(command: Command, words: readonly string[]): Args {
  const options = optionsOf(command);
  const { values, positionals } = tryParse(options, words);
  const list = (name: string): readonly string[] => [values[name] ?? []].flat().filter((value) => typeof value === 'string');
  for (const [name, { type, multiple }] of Object.entries(options)) {
    if (type === 'string' && multiple !== true && list(name).length > 1) throw new UsageError(`--${name}: expected once, got ${String(list(name).length)} times`);
  }
  return {
    positionals,
    text: (name) => list(name).at(-1),
    texts: list,
    flag: (name) => values[name] !== undefined && [values[name]].flat().at(-1) === true,
  };
}

type Values = Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>;

function tryParse(options: Readonly<Record<string, OptionSpec>>, words: readonly string[]): { values: Values; positionals: string[] } {
  // All are parsed as lists, so that one given twice is refused rather than overwritten.
  const config = Object.fromEntries(Object.entries(options).map(([name, { type, short }]) => [name, { type, multiple: true, ...(short === undefined ? {} : { short }) }]));
  try {
    return parseArgs({ args: [...words], options: config, allowPositionals: true });
  } catch (error) {
    throw new UsageError(explain(error as Error & { code?: string }, options));
  }
}

function explain(error: Error & { code?: string }, options: Readonly<Record<string, OptionSpec>>): string {
  const option = /'(-[^'\s<,=]*)/.exec(error.message)?.[1] ?? '';
  const long = /--[\w-]+/.exec(error.message)?.[0] ?? option;
  if (error.code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION') {
    return `${option}: unknown option, expected one of ${Object.keys(options).map((name) => `--${name}`).join(', ')}`;
  }
  const takes = options[long.slice(2)]?.type === 'boolean' ? 'no value' : `a value; one that starts with a dash is written ${long}=VALUE`;
  return `${long}: expected ${takes}`;
}

/** One of a few words. Throws UsageError naming them. */
export function oneOf<const T extends string>(option: string, given: string, words: readonly T[]): T {
  const word = words.find((each) => each === given);
  if (word === undefined) throw new UsageError(`${option}: expected ${words.join(', ')}, got ${JSON.stringify(given)}`);
  return word;
}
