/**
 * NICs on the command line: the one reader of `--nic SPEC`, for every command that takes one.
 *
 *   KIND[:PLACE][,KEY=VALUE …]
 *
 *   af_xdp:eth0,queues=2,attach=generic    an interface of this machine
 *   tap:tap0   tun:tun0,mtu=1400           a virtual interface, made when it is not there
 *   tap:fd=3   tap:fd=3+4                  one that was opened before, a descriptor for each queue
 *   model,pps=1000,loss=0.01               the shared-memory link, with a source of packets at its far end
 *   pcap:trace.pcapng,speed=1              a capture file
 */
import { EtherloomError } from '../errors.js';
import { isInterfaceName } from '../nic/interface_name.js';

interface Common {
  /** The text it was read from. */
  text: string;
  /** Receive queues. Default: one per lane, or what the interface has. */
  queues?: number;
}

export interface AfXdpSpec extends Common {
  kind: 'af_xdp';
  interface: string;
  /** Where the kernel's program is attached. Default: native where the driver can, else generic. */
  attach?: 'native' | 'generic';
  /** Take every packet from the kernel instead of leaving it what no rule asks for. */
  own?: boolean;
}

export interface TapSpec extends Common {
  kind: 'tap' | 'tun';
  /** Name of the interface, or `fds`. */
  interface?: string;
  /** Inherited descriptors, one per queue. */
  fds?: number[];
  mtu?: number;
}

export interface ModelSpec extends Common {
  kind: 'model';
  /** Packets per second from the far end. Default 10,000. */
  pps?: number;
  /** Bytes of each packet. Default 64. */
  size?: number;
  /** Flows that they belong to. Default 16. */
  flows?: number;
  /** Bits per second of the link. */
  rate?: number;
  delayNs?: number;
  loss?: number;
  seed?: number;
}

export interface PcapSpec extends Common {
  kind: 'pcap';
  file: string;
  /** 1: at the recorded pace; 0, the default: as fast as it goes. */
  speed?: number;
  /** Times it is played. Default 1. */
  rounds?: number;
  /** Where packets that leave are written. */
  out?: string;
}

export type NicSpec = AfXdpSpec | TapSpec | ModelSpec | PcapSpec;

export const NIC_FORMS = 'af_xdp:IFACE, tap:NAME, tun:NAME, model or pcap:FILE';

type Read = (value: string) => unknown;

/** '=' and ',' mean something here. */
const isName = (text: string): boolean => isInterfaceName(text) && !/[=,]/.test(text);

const whole =
  (least: number, most: number): Read =>
  value => {
    const n = Number(value);
    if (!/^\d+$/.test(value) || n < least || n > most)
      return refuse(`a whole number from ${least} to ${most}`);
    return n;
  };
const decimal =
  (most: number): Read =>
  value => {
    const n = Number(value);
    if (!/^\d+(\.\d+)?$/.test(value) || n > most) return refuse(`a number from 0 to ${most}`);
    return n;
  };
const oneOf =
  (...names: string[]): Read =>
  value =>
    names.includes(value) ? value : refuse(names.join(' or '));
const yesNo: Read = value => (value === 'yes' ? true : value === 'no' ? false : refuse('yes or no'));
const text: Read = value => value || refuse('a file');

/** What is on its way for longer than an hour is on no link any more. */
const MOST_SECONDS = 3600;
const MOST_GBIT = 1_000_000;

const UNITS: Record<string, number> = { ns: 1, us: 1e3, ms: 1e6, s: 1e9 };
const duration: Read = value => {
  const [, n, unit] = /^(\d+(?:\.\d+)?)(ns|us|ms|s)$/.exec(value) ?? [];
  const ns = unit ? Math.round(Number(n) * UNITS[unit]) : Number.NaN;
  return ns <= MOST_SECONDS * UNITS.s
    ? ns
    : refuse(`a time with its unit, up to ${MOST_SECONDS}s: 100ns, 50us, 1.5ms, 1s`);
};
const SCALES: Record<string, number> = { '': 1, k: 1e3, M: 1e6, G: 1e9 };
const bitRate: Read = value => {
  const [, n, scale] = /^(\d+(?:\.\d+)?)([kMG]?)$/.exec(value) ?? [];
  const bits = n ? Math.round(Number(n) * SCALES[scale]) : Number.NaN;
  return bits <= MOST_GBIT * SCALES.G ? bits : refuse(`bits per second, up to ${MOST_GBIT}G: 10M, 2.5G`);
};

/** By kind: the options that it takes, where each is put, and how it is read. */
const OPTIONS: Record<string, Record<string, [field: string, read: Read]>> = {
  af_xdp: {
    queues: ['queues', whole(1, 64)],
    attach: ['attach', oneOf('native', 'generic')],
    own: ['own', yesNo],
  },
  tap: { queues: ['queues', whole(1, 64)], mtu: ['mtu', whole(68, 65535)] },
  model: {
    queues: ['queues', whole(1, 64)],
    pps: ['pps', whole(1, 100_000_000)],
    size: ['size', whole(60, 1514)],
    flows: ['flows', whole(1, 65536)],
    rate: ['rate', bitRate],
    delay: ['delayNs', duration],
    loss: ['loss', decimal(1)],
    seed: ['seed', whole(0, 2 ** 32 - 1)],
  },
  pcap: {
    queues: ['queues', whole(1, 64)],
    speed: ['speed', decimal(1e6)],
    rounds: ['rounds', whole(1, 1e9)],
    out: ['out', text],
  },
};
OPTIONS.tun = OPTIONS.tap;

/** What a reader of one value says; `parseNicSpec` adds what it belongs to. */
class Refusal {
  constructor(readonly expected: string) {}
}
function refuse(expected: string): never {
  throw new Refusal(expected);
}

/**
 * @param option by which the spec was given, for messages
 * @throws EtherloomError ERR_USAGE_NIC that names the spec, the part of it that is wrong, and what was expected.
 */
export function parseNicSpec(spec: string, option = '--nic'): NicSpec {
  const wrong = (what: string, expected: string): never => {
    throw new EtherloomError('ERR_USAGE_NIC', `${option} ${spec}: ${what}`, { expected });
  };
  const [, kind, colon, rest] = /^(\w*)(:?)(.*)$/s.exec(spec)!;
  if (!Object.hasOwn(OPTIONS, kind))
    wrong(
      kind ? `no kind of NIC is "${kind}"` : 'it names no kind',
      isName(spec) ? `af_xdp:${spec} for the interface of this name; or ${NIC_FORMS}` : NIC_FORMS,
    );
  // A file may have a comma in its name: what follows one is an option only when it looks like one.
  const [place, ...pairs] = rest.split(/,(?=[a-z]+=)/);
  if (!colon && rest && !rest.startsWith(',')) wrong(`"${rest}" after the kind`, NIC_FORMS);
  if (!colon && place) wrong(`"${place}" is no option`, 'KEY=VALUE');

  const out: Record<string, unknown> = { kind, text: spec };
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    const [key, value] = [pair.slice(0, at), pair.slice(at + 1)];
    const known = OPTIONS[kind];
    if (!Object.hasOwn(known, key)) wrong(`no option "${key}"`, Object.keys(known).join(', '));
    const [field, read] = known[key];
    if (field in out) wrong(`${key} stands twice`, 'each option once');
    try {
      out[field] = read(value);
    } catch (refusal) {
      if (!(refusal instanceof Refusal)) throw refusal;
      wrong(`${key}=${value}`, refusal.expected);
    }
  }

  if (kind === 'model') {
    if (place) wrong(`"${place}": a model has no place`, 'model, or model,KEY=VALUE');
  } else if (kind === 'pcap') {
    out.file = place || wrong('it names no file', 'pcap:FILE');
  } else if (kind !== 'af_xdp' && place.startsWith('fd=')) {
    const numbers = place.slice(3).split('+');
    if (!numbers.every(n => /^\d{1,9}$/.test(n)) || new Set(numbers).size !== numbers.length)
      wrong(`"${place}"`, 'descriptors, each once: fd=3, or fd=3+4 for two queues');
    if (out.queues !== undefined) wrong('queues beside fd', 'one descriptor per queue');
    out.fds = numbers.map(Number);
  } else {
    if (!isName(place))
      wrong(
        place ? `"${place}" is no name of an interface` : 'it names no interface',
        `${kind}:NAME, 1 to 15 bytes without blank or any of / : % , =`,
      );
    out.interface = place;
  }
  return out as unknown as NicSpec;
}
