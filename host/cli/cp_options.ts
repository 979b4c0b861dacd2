/** What `client` of cp may be told: on the command line, and by a line of standard input. */
import { Command, CommanderError } from 'commander';
import { usageError } from './usage.js';
import { append, rate, wholeNumber } from './values.js';

export interface ClientWish {
  serverNodes?: string[];
  workload: string;
  gbps: number;
  clientMax: number;
  unloaded: number;
  seed: number;
}

export const clientOptions = (command: Command): Command =>
  command
    .option('--server-nodes <list>', 'addresses of servers', append)
    .option('--workload <name>', 'w1 … w5, or bytes of each message', '100')
    .option('--gbps <n>', 'of requests, as cp_node counts; 0: as many as may be under way', rate, 0)
    .option('--client-max <n>', 'requests under way at most', wholeNumber(1, 512), 32)
    .option(
      '--unloaded <n>',
      'so many of each length, one at a time, instead of a load',
      wholeNumber(1, 1e6),
      0,
    )
    .option('--seed <n>', 'of lengths and times', wholeNumber(1, 2 ** 32 - 1), 1);

/** Words behind `client`. What they do not say is as the command line said. @throws EtherloomError ERR_USAGE_* */
export function clientWish(words: readonly string[], usual: ClientWish): ClientWish {
  const command = clientOptions(new Command('client')).exitOverride();
  command.configureOutput({ writeOut() {}, writeErr() {} }).helpOption(false);
  try {
    command.parse(words, { from: 'user' });
  } catch (error) {
    throw error instanceof CommanderError ? usageError(error, command) : error;
  }
  const said = Object.entries(command.opts()).filter(
    ([name]) => command.getOptionValueSource(name) === 'cli',
  );
  return { ...usual, ...Object.fromEntries(said) };
}
