/** What `connect`, `listen` and the constructors are called with, in `net`'s forms, checked as `net` checks it. */
import type { LookupOptions } from 'node:dns';
import {
  BlockList,
  getDefaultAutoSelectFamily,
  getDefaultAutoSelectFamilyAttemptTimeout,
  isIP,
} from 'node:net';
import { MAX_BACKLOG } from '../../transports/tcp/control.js';
import type { ConnectionOptions, KeepAlive } from '../../transports/tcp/index.js';
import { addressError, missingError, portError, rangeError, typeError, valueError } from './errors.js';

/** A function like dns.lookup. */
export type LookupFunction = (
  hostname: string,
  options: LookupOptions,
  callback: (
    error: NodeJS.ErrnoException | null,
    address: string | { address: string; family: number }[],
    family?: number,
  ) => void,
) => void;

/** Where to: `net`'s TCP options, and the engine's own. */
export interface SocketConnectOptions {
  port: number | string;
  /** Name or address. Default `localhost`, which no stack has a route to. */
  host?: string | undefined;
  localAddress?: string | undefined;
  localPort?: number | undefined;
  /** 4, 6 or 0: of the address that a name is looked up to. */
  family?: number | undefined;
  hints?: number | undefined;
  /** All addresses of a name are tried, families in turn. Default: `net`'s. */
  autoSelectFamily?: boolean | undefined;
  /** How long each of them is tried, ms, the last one apart. Default: `net`'s. */
  autoSelectFamilyAttemptTimeout?: number | undefined;
  /** Addresses that are not connected to: ERR_IP_BLOCKED. */
  blockList?: BlockList | undefined;
  /** Default dns.lookup: names are Node's affair. */
  lookup?: LookupFunction | undefined;
  /** Of the transport: congestion control, buffers … */
  options?: ConnectionOptions | undefined;
}

/** Where a server listens. */
export interface ServerListenOptions {
  /** 0 or absent: an ephemeral one. */
  port?: number | string | null | undefined;
  /** An address of the stack. Default: any, of both families. */
  host?: string | undefined;
  /** Of `::`: IPv4 is not taken. */
  ipv6Only?: boolean | undefined;
  /** Default 511, as `net` has it. */
  backlog?: number | undefined;
  /** Closes the server. */
  signal?: AbortSignal | undefined;
  /** Of the transport, for every connection. */
  options?: ConnectionOptions | undefined;
}

type Callback = (...args: never[]) => void;

export interface CallArguments {
  options: Record<string, unknown>;
  callback: Callback | undefined;
}

/** A number that is not negative, or undefined. */
const countOf = (value: unknown): number | undefined => (Number(value) >= 0 ? Number(value) : undefined);

/** `(options, cb)`, `(port, host, cb)`, `(path, cb)` as options and callback. */
export function callArguments(args: readonly unknown[]): CallArguments {
  const [first, second] = args;
  const last = args.at(-1);
  const callback = typeof last === 'function' ? (last as Callback) : undefined;
  let options: Record<string, unknown> = {};
  if (typeof first === 'object' && first !== null) options = { ...first };
  else if (typeof first === 'string' && countOf(first) === undefined) options = { path: first };
  else if (args.length > 0 && typeof first !== 'function') {
    options = { port: first };
    if (typeof second === 'string') options.host = second;
  }
  return { options, callback };
}

/** As a number. @throws RangeError ERR_SOCKET_BAD_PORT */
export function portOf(name: string, value: unknown): number {
  const text = typeof value === 'string' && value.trim() !== '';
  const n = typeof value === 'number' || text ? Number(value) : Number.NaN;
  if (Number.isInteger(n) && n >= 0 && n <= 65535) return n;
  throw portError(name, value);
}

/** @throws TypeError ERR_INVALID_ARG_TYPE */
export function blockListOf(list: unknown): BlockList | undefined {
  if (list === undefined || list instanceof BlockList) return list;
  throw typeError('options.blockList', 'an instance of net.BlockList', list);
}

const noPaths = (path: unknown): never => {
  throw valueError(
    'options.path',
    'names a socket of the file system, which a stack of the network has none of',
    path,
  );
};

/** A connect's options, checked. */
export interface ConnectTarget {
  host: string;
  port: number;
  localAddress: string | undefined;
  localPort: number;
  lookup: LookupFunction | undefined;
  family: number;
  hints: number | undefined;
  /** Whether all addresses of a name are tried, and how long each. */
  all: boolean;
  attemptMs: number;
  blockList: BlockList | undefined;
  options: ConnectionOptions;
}

/** Least time of an attempt, as `net` has it. */
const LEAST_ATTEMPT_MS = 10;

function attemptTime(ms: unknown = getDefaultAutoSelectFamilyAttemptTimeout()): number {
  if (typeof ms !== 'number') throw typeError('options.autoSelectFamilyAttemptTimeout', 'of type number', ms);
  if (!Number.isInteger(ms) || ms < 1 || ms > 2 ** 31 - 1)
    throw rangeError('options.autoSelectFamilyAttemptTimeout', '>= 1 && <= 2147483647', ms);
  return Math.max(ms, LEAST_ATTEMPT_MS);
}

/** @throws TypeError ERR_MISSING_ARGS, ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE, ERR_INVALID_IP_ADDRESS; RangeError ERR_SOCKET_BAD_PORT */
export function connectTarget(given: Record<string, unknown>): ConnectTarget {
  const { host, port, path, localAddress, localPort, lookup, family, hints, options, ...more } =
    given as unknown as SocketConnectOptions & { path?: unknown };
  if (port === undefined && (path === undefined || path === null)) throw missingError();
  if (path) noPaths(path);
  if (localAddress && !isIP(localAddress)) throw addressError(localAddress);
  if (localPort && typeof localPort !== 'number')
    throw typeError('options.localPort', 'of type number', localPort);
  if (typeof port !== 'number' && typeof port !== 'string')
    throw typeError('options.port', 'one of type number, string', port);
  if (lookup !== undefined && lookup !== null && typeof lookup !== 'function')
    throw typeError('options.lookup', 'of type function', lookup);
  const { autoSelectFamily: all = getDefaultAutoSelectFamily(), autoSelectFamilyAttemptTimeout: ms } = more;
  if (typeof all !== 'boolean') throw typeError('options.autoSelectFamily', 'of type boolean', all);
  const blockList = blockListOf(more.blockList);
  return {
    host: host || 'localhost',
    port: portOf('Port', port),
    localAddress: localAddress || undefined,
    localPort: localPort || 0,
    lookup,
    family: family ?? 0,
    hints,
    all: all && family !== 4 && family !== 6 && !localAddress,
    attemptMs: attemptTime(ms),
    blockList,
    options: options ?? {},
  };
}

/** A listen's options, checked. */
export interface ListenTarget {
  host: string | undefined;
  ipv6Only: boolean;
  port: number;
  backlog: number;
  signal: AbortSignal | undefined;
  options: ConnectionOptions;
}

const BACKLOG = 511;

/** As listen(2) takes it: a C int, of which a negative one, and one that is too large, is the most that there can be. */
function backlogOf(asked: unknown): number {
  const n = Number(asked) | 0;
  return n < 0 ? MAX_BACKLOG : Math.min(n, MAX_BACKLOG);
}

/** @throws TypeError ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE; RangeError ERR_SOCKET_BAD_PORT */
export function listenTarget(args: readonly unknown[], given: Record<string, unknown>): ListenTarget {
  const { host, ipv6Only, backlog, signal, options, path } = given as ServerListenOptions & {
    path?: unknown;
  };
  let { port } = given as ServerListenOptions;
  if (
    args.length === 0 ||
    typeof args[0] === 'function' ||
    port === null ||
    ('port' in given && port === undefined)
  )
    port = 0;
  if (typeof port !== 'number' && typeof port !== 'string') {
    if (path) noPaths(path);
    const reason =
      'port' in given || 'path' in given ? 'is invalid' : 'must have the property "port" or "path"';
    throw valueError('options', reason, given);
  }
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw typeError('options.signal', 'an instance of AbortSignal', signal);
  return {
    ...{ host: host || undefined, port: portOf('options.port', port), signal, options: options ?? {} },
    // Without a host `net` does not hear of it.
    ipv6Only: Boolean(host && ipv6Only),
    backlog: backlogOf(backlog || countOf(args[1]) || countOf(args[2]) || BACKLOG),
  };
}

/** Of libuv's setsockopt: a probe each second, ten of them, after `delay` seconds; 0 keeps the system's times. */
const INTERVAL_MS = 1000;
const PROBES = 10;
/** Most seconds that Linux takes (MAX_TCP_KEEPIDLE). */
const MOST_DELAY_S = 32767;

/**
 * A keepalive with `net`'s meaning of its delay, which is ms cut to seconds, and what Linux does not take is nothing that
 * anybody hears of: it is on, with the system's times.
 */
export function keepAliveOf(on: boolean, delayMs: number): boolean | KeepAlive {
  const seconds = Math.trunc(delayMs / 1000) | 0;
  if (!on || seconds < 1 || seconds > MOST_DELAY_S) return on;
  return { idleMs: seconds * 1000, intervalMs: INTERVAL_MS, probes: PROBES };
}

/** @throws TypeError ERR_INVALID_ARG_TYPE for what is no number; a negative one is `least` */
export function numberOption(name: string, value: unknown, least: number): number {
  if (value === undefined) return least;
  if (typeof value !== 'number') throw typeError(`options.${name}`, 'of type number', value);
  return value < 0 ? least : value;
}
