/** What is wrong with a command line, in the engine's own words: commander's errors as ERR_USAGE_*, exit code 2. */
import type { Command, CommanderError } from 'commander';
import { EtherloomError } from '../errors.js';

/** By commander's code. What is not listed here does not come from a command line. */
const CODES: Readonly<Record<string, string>> = {
  'commander.help': 'ERR_USAGE_COMMAND',
  'commander.unknownCommand': 'ERR_USAGE_COMMAND',
  'commander.unknownOption': 'ERR_USAGE_OPTION',
  'commander.missingArgument': 'ERR_USAGE_MISSING',
  'commander.missingMandatoryOptionValue': 'ERR_USAGE_MISSING',
  'commander.excessArguments': 'ERR_USAGE_ARGUMENT',
  'commander.optionMissingArgument': 'ERR_USAGE_VALUE',
  'commander.invalidArgument': 'ERR_USAGE_VALUE',
};

function fullName(command: Command): string {
  const parent = command.parent ? `${fullName(command.parent)} ` : '';
  return `${parent}${command.name()}`;
}

/** What the line could have said there. */
function expected(code: string, command: Command): string {
  if (code === 'ERR_USAGE_COMMAND') {
    const names = command.commands.map(c => c.name());
    return `one of ${names.join(', ')}; ${fullName(command)} --help explains them`;
  }
  if (code === 'ERR_USAGE_OPTION') {
    const own = command.options.map(o => o.long ?? o.short);
    const global = command.parent ? command.parent.options.map(o => o.long ?? o.short) : [];
    return `one of ${[...own, ...global].join(', ')}`;
  }
  return `${fullName(command)} ${command.usage()}; --help explains it`;
}

/** @param command the one that found the error */
export function usageError(error: CommanderError, command: Command): EtherloomError {
  const code = CODES[error.code] ?? 'ERR_USAGE_LINE';
  if (error.code === 'commander.help')
    return new EtherloomError(code, 'no command', { expected: expected(code, command) });
  // "error: option \'--lanes <n>\' argument \'0\' is invalid. expected a whole number from 1 to 64"
  const text = error.message.replace(/^error: /, '').replace(/\. Expected .*$/, '');
  const [what, ...rest] = text.split(/\. (?:expected |Allowed choices are )|\n/);
  const said = rest.length && /\. (?:expected|Allowed)/.test(text) ? rest[0].replace(/\.$/, '') : undefined;
  return new EtherloomError(code, what, { expected: said ?? expected(code, command) });
}
