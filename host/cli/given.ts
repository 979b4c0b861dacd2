/** Options that stand on a line although whoever is to do the work cannot heed them: refused, not passed over. */
import type { Command } from 'commander';
import { EtherloomError } from '../errors.js';
import type { NicSpec } from './nic_spec.js';

/** Names of the options that stand on the line, as commander calls them: those with a default are not among them. */
export const givenOptions = (command: Command): string[] =>
  command.options.map(o => o.attributeName()).filter(name => command.getOptionValueSource(name) === 'cli');

/** What to say or do instead, by the option's name. */
export type Instead = Readonly<Record<string, string>>;

/** @throws EtherloomError ERR_USAGE_OPTION for the first of `given` that `instead` names */
export function refuseOptions(given: readonly string[], who: string, instead: Instead): void {
  const wrong = given.find(name => Object.hasOwn(instead, name));
  if (wrong !== undefined)
    throw new EtherloomError('ERR_USAGE_OPTION', `--${wrong} with ${who}`, { expected: instead[wrong] });
}

/** What of a NIC's spec is about sockets of AF_XDP, which a program in the kernel has none of. */
const SOCKETS = { own: 'own=', queues: 'queues=' } as const;

/** @throws EtherloomError ERR_USAGE_OPTION for an option of the NIC that only the engine can heed */
export function refuseSocketOptions(spec: NicSpec): void {
  for (const [field, option] of Object.entries(SOCKETS))
    if (field in spec)
      throw new EtherloomError('ERR_USAGE_OPTION', `${option} in ${spec.text} with --engine kernel`, {
        expected:
          'af_xdp:IFACE, with attach=native or attach=generic: the program sees every packet of every queue',
      });
}
