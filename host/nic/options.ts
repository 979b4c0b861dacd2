/** The look at the options of a NIC, before anything is opened: one error that names option, value, and what was expected. */
import { EtherloomError } from '../errors.js';
import { MAX_QUEUES } from '../layout/layout.gen.js';
import { isUnicastMac } from '../wire/address.js';
import { INTERFACE_NAME, isInterfaceName } from './interface_name.js';

/** Longest piece of a value in a message. */
const SHOWN = 40;

function shown(value: unknown): string {
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value);
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
}

interface Kind {
  expected: string;
  fits(value: unknown): boolean;
}

const whole = (least: number, most: number): Kind => ({
  expected: `a whole number from ${least} to ${most}`,
  fits: value => Number.isInteger(value) && (value as number) >= least && (value as number) <= most,
});

const text = (expected: string): Kind => ({
  expected,
  fits: value => typeof value === 'string' && value !== '' && !value.includes('\0'),
});

/** What options may be. */
export const Option = {
  interface: { expected: `a name: ${INTERFACE_NAME}`, fits: isInterfaceName },
  text: text('text'),
  namespace: text('a name of ip netns list, or a path as /proc/PID/ns/net'),
  boolean: { expected: 'true or false', fits: (value: unknown) => typeof value === 'boolean' },
  list: { expected: 'a list', fits: Array.isArray },
  queues: whole(1, MAX_QUEUES),
  mtu: whole(68, 65535),
  mac: {
    expected: 'an Ethernet address of one station, as 02:00:00:00:00:01',
    fits: (value: unknown) => typeof value === 'string' && isUnicastMac(value),
  },
  oneOf: (...values: string[]): Kind => ({
    expected: values.map(v => `'${v}'`).join(' or '),
    fits: value => values.includes(value as string),
  }),
  fds: {
    expected: 'a descriptor, or a list of them, each once',
    fits(value: unknown) {
      const fds = Array.isArray(value) ? value : [value];
      return fds.length > 0 && new Set(fds).size === fds.length && fds.every(whole(0, 2 ** 31 - 1).fits);
    },
  },
} as const;

/**
 * Refuses the first option that is there and does not fit.
 * @throws EtherloomError ERR_NIC_OPTIONS
 */
export function checkNicOptions<O extends object>(
  kind: string,
  options: O,
  kinds: { readonly [K in keyof O]?: Kind },
): void {
  const wrong = (what: string, expected: string): EtherloomError =>
    new EtherloomError('ERR_NIC_OPTIONS', `${kind}: ${what}`, { expected });
  if (typeof options !== 'object' || options === null)
    throw wrong(`options that are ${shown(options)}`, 'an object');
  for (const [name, { fits, expected }] of Object.entries(kinds) as [keyof O & string, Kind][]) {
    const value: unknown = options[name];
    if (value !== undefined && !fits(value)) throw wrong(`option ${name}: ${shown(value)}`, expected);
  }
}
