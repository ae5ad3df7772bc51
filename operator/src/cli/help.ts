// The text of --help.
import type { Command, OptionSpec } from './command.ts';
import { optionsOf } from './command.ts';

const PROGRAM = 'kubectl polar';

function optionLine([name, { short, value, help }]: readonly [string, OptionSpec]): readonly [string, string] {
  const flags = `${short === undefined ? '    ' : `-${short}, `}--${name}`;
  return [`  ${flags}${value === undefined ? '' : ` ${value}`}`, help];
}

/** Two columns; the second is wrapped and aligned. */
function columns(lines: readonly (readonly [string, string])[], width = 100): string {
  const left = Math.min(32, Math.max(...lines.map(([first]) => first.length)) + 2);
  return lines.map(([first, second]) => {
    const wrapped = wrap(second, width - left).join(`\n${' '.repeat(left)}`);
    return first.length + 2 > left ? `${first}\n${' '.repeat(left)}${wrapped}` : `${first.padEnd(left)}${wrapped}`;
  }).join('\n');
}

function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [''];
  for (const word of text.split(' ')) {
    const last = lines.at(-1) ?? '';
    if (last !== '' && last.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`;
  }
  return lines;
}

/** Help of the whole program. */
export function programHelp(commands: readonly Command[]): string {
  const examples = commands.flatMap(({ examples: [first] }) => (first === undefined ? [] : [`  ${first}`]));
  return `Scaling laws of POLAR reward models, from a cluster's sweeps or from a table of runs.

Usage: ${PROGRAM} COMMAND [options]

Commands
${columns(commands.map(({ name, summary }) => [`  ${name}`, summary]))}

Options
${columns([['  -h, --help', 'this text; after a command, that of the command'], ['  -V, --version', 'the version']])}

Examples
${examples.join('\n')}

Exit status: 0 done, 1 the input or the cluster does not allow it, 2 wrong usage. Colours are left out when NO_COLOR is set or
the output is not a terminal.
`;
}

/** Help of one command. */
export function commandHelp(command: Command): string {
  return `${command.summary[0]?.toUpperCase() ?? ''}${command.summary.slice(1)}.

Usage: ${PROGRAM} ${command.usage}

${command.description.trim()}

Options
${columns(Object.entries(optionsOf(command)).map(optionLine))}

Examples
${command.examples.map((line) => `  ${line}`).join('\n')}
`;
}
