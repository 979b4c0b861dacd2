/**
 * Transports of datagrams by their objects alone: whoever writes the programs after the convention (object.ts) needs no
 * control plane of his own. UDP is one of them.
 *
 *   datagramTransport({ name: 'mine', protocol: 253, object: 'mine.bpf.o', headerBytes: 16 }) ─▶ stack.load(…)
 */
import { fileURLToPath } from 'node:url';
import { EtherloomError } from '../../errors.js';
import type { Arena } from '../../mem/arena.js';
import type { TransportEnv } from '../contract.js';
import type { DatagramTransport, DatagramView, LoadedDatagrams } from '../datagrams.js';
import { EPHEMERAL, type PortRange } from '../local_ports.js';
import { registerViews } from '../registry.js';
import { DatagramControl, type DatagramSettings } from './control.js';
import { type DatagramShared, SocketsView } from './view.js';

/** What can be said of sockets, whatever the transport. */
export interface SocketsOptions {
  /** Sockets that there can be at a time. Default 1024, or as many as the engine has streams. */
  sockets?: number;
  /** Own addresses that there can be. Default 1024. */
  addresses?: number;
  /** Ports for who does not ask for one. Default 32768 … 60999, as Linux. */
  ephemeral?: PortRange;
  /** Makes the choice of ports repeat: for tests. */
  seed?: number;
}

export interface DatagramTransportOptions extends SocketsOptions {
  /** By which sockets ask for it, and with which names in the object begin: an identifier of C. */
  name: string;
  /** IP protocol: 253 and 254 are for experiments (RFC 3692). */
  protocol: number;
  /** The object that clang made: a path, or a URL of one. */
  object: string | URL;
  /** Bytes of its header, between that of IP and the payload: what is sent may be so much shorter. */
  headerBytes: number;
  /**
   * Counters that tell of errors: what the probation of an upgrade looks at (Transports.upgrade). Default: those that
   * "datagrams.h" counts.
   */
  errors?: readonly string[];
  /**
   * After a socket is closed its programs still get what comes for it, until they free its stream: for those that are
   * answered what they sent. So long its port is taken. Default false.
   */
  lingers?: boolean;
  /** Entries of maps of its own, by their names in the object. Default: what the object says. */
  entries?: Readonly<Record<string, number>>;
}

const MOST = 2 ** 20;
/** DATAGRAM_COUNTS. */
const ERRORS = ['InErrors', 'InCsumErrors', 'NoPorts'];
const MOST_HEADER = 256;
/** Registry's name of who makes the views. */
const VIEWED_BY = 'datagrams';

class ObjectTransport implements DatagramTransport {
  readonly viewedBy = VIEWED_BY;

  constructor(
    readonly name: string,
    readonly protocol: number,
    readonly headerBytes: number,
    readonly settings: DatagramSettings,
  ) {}

  load(env: TransportEnv): Promise<LoadedDatagrams> {
    return DatagramControl.load(this, env, this.settings);
  }

  view(arena: Arena, shared: unknown): DatagramView {
    return new SocketsView(arena, shared as DatagramShared);
  }
}

/**
 * A transport of datagrams that an object is: for `stack.load`, or `Stack.create({ datagrams })`. Its sockets are as those of
 * UDP; what becomes of what they send is the programs' affair.
 * @throws EtherloomError ERR_TRANSPORT_OPTIONS
 */
export function datagramTransport(options: DatagramTransportOptions): DatagramTransport {
  const { name, protocol, object, headerBytes, entries = {}, errors = ERRORS, lingers = false } = options;
  if (typeof name !== 'string' || !/^[a-z]\w{0,31}$/i.test(name))
    throw refused(`name: ${String(name)}`, 'an identifier of C, at most 32 characters');
  whole('protocol', protocol, 0, 255);
  whole('headerBytes', headerBytes, 0, MOST_HEADER);
  if (typeof object !== 'string' && !(object instanceof URL))
    throw refused(`object: ${String(object)}`, 'the path of an object, or its URL');
  for (const [map, n] of Object.entries(entries)) whole(`entries.${map}`, n, 1, MOST);
  const path = typeof object === 'string' ? object : fileURLToPath(object);
  const own = { object: path, entries, errors, lingers };
  const settings = { ...own, ...socketsSettings(options, 'ERR_TRANSPORT_OPTIONS') };
  return new ObjectTransport(name, protocol, headerBytes, settings);
}

/** What was said of sockets, checked. @throws EtherloomError with that code */
export function socketsSettings(
  options: SocketsOptions,
  code: string,
): Pick<DatagramSettings, 'sockets' | 'addresses' | 'ephemeral' | 'seed'> {
  const { sockets = 1024, addresses = 1024, ephemeral = EPHEMERAL, seed } = options;
  whole('sockets', sockets, 1, MOST, code);
  whole('addresses', addresses, 1, MOST, code);
  const { first, last } = ephemeral;
  if (![first, last].every(n => Number.isInteger(n) && n >= 1 && n <= 65535) || first > last)
    throw refused(`ephemeral: ${first} … ${last}`, '{ first, last }: two ports in order', code);
  return { sockets, addresses, ephemeral, seed };
}

const refused = (what: string, expected: string, code = 'ERR_TRANSPORT_OPTIONS'): EtherloomError =>
  new EtherloomError(code, what, { expected });

function whole(name: string, n: unknown, least: number, most: number, code?: string): void {
  if (Number.isInteger(n) && (n as number) >= least && (n as number) <= most) return;
  throw refused(`${name}: ${String(n)}`, `a whole number from ${least} to ${most}`, code);
}

registerViews(VIEWED_BY, (arena, shared) => new SocketsView(arena, shared as DatagramShared));
