// From words to a command and an exit status.
import packageJson from '../../package.json' with { type: 'json' };
import type { Command, Io } from './command.ts';
import { Failure, UsageError, parseWords } from './command.ts';
import { FIT } from './fit.ts';
import { commandHelp, programHelp } from './help.ts';
import { SWEEP } from './sweep.ts';
import { plainText } from './textTable.ts';

const COMMANDS: readonly Command[] = [FIT, SWEEP];

const HELP: readonly string[] = ['help', '--help', '-h'];
const VERSION: readonly string[] = ['version', '--version', '-V'];

async function dispatch([name = '', ...rest]: readonly string[], io: Io): Promise<number> {
  if (name === '') {
    io.stderr.write(programHelp(COMMANDS));
    return 2;
  }
  if (!HELP.includes(name) && !VERSION.includes(name)) return runCommand(find(name), rest, io);
  const [topic] = name === 'help' ? rest : [];
  const help = topic === undefined ? programHelp(COMMANDS) : commandHelp(find(topic));
  io.stdout.write(VERSION.includes(name) ? `kubectl-polar ${packageJson.version}\n` : help);
  return 0;
}

async function runCommand(command: Command, words: readonly string[], io: Io): Promise<number> {
  if (words.includes('--help') || words.includes('-h')) io.stdout.write(commandHelp(command));
  else await command.run(parseWords(command, words), io);
  return 0;
}

function find(name: string): Command {
  const command = COMMANDS.find((each) => each.name === name);
  if (command === undefined) throw new UsageError(`unknown command ${JSON.stringify(name)}: expected ${COMMANDS.map((each) => each.name).join(', ')}`);
  return command;
}

/** Runs the program; resolves with the exit status and never rejects. What went wrong goes to stderr, as one line without a stack. */
export async function runProgram(words: readonly string[], io: Io): Promise<number> {
  try {
    return await dispatch(words, io);
  } catch (error) {
    return report(error, words[0] ?? '', io);
  }
}

function report(error: unknown, name: string, io: Io): number {
  const { message, stack = '' } = error instanceof Error ? error : new Error(String(error));
  io.stderr.write(`error: ${plainText(message, '\n')}\n`);
  if (error instanceof UsageError) {
    io.stderr.write(`see kubectl polar ${COMMANDS.some((command) => command.name === name) ? `${name} ` : ''}--help\n`);
    return 2;
  }
  if (!(error instanceof Failure) && io.env['POLAR_DEBUG'] !== undefined) io.stderr.write(`${stack}\n`);
  return 1;
}
