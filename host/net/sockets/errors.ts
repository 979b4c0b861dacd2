/**
 * Errors as Node's `net` makes them: software decides by their `code`, `syscall`, `address` and `port`, so these are not
 * EtherloomErrors. What the stack itself refuses without a name of Linux's (streams, options of the transport) still is.
 */
import { getSystemErrorMap, inspect } from 'node:util';

/** What a system error was about; absent parts are left out of message and properties. */
export interface ErrorSite {
  address?: string | undefined;
  port?: number | undefined;
  /** Own address and port, when the caller named both. */
  local?: { address: string; port: number } | undefined;
}

/** By name: libuv's number, and its words for it. */
const KNOWN = new Map([...getSystemErrorMap()].map(([errno, [code, words]]) => [code, { errno, words }]));

/** `connect ECONNREFUSED 10.0.0.2:80`, as from a system call that returned that error. */
export function systemError(syscall: string, code: string, site: ErrorSite = {}): NodeJS.ErrnoException {
  const { address, port, local } = site;
  // Of net's errors, those of `listen` say in words what the code means.
  const words = syscall === 'listen' ? `: ${KNOWN.get(code)?.words ?? 'unknown error'}` : '';
  const where = address === undefined ? '' : ` ${address}${port ? `:${port}` : ''}`;
  const from = local ? ` - Local (${local.address}:${local.port})` : '';
  const error = new Error(`${syscall} ${code}${words}${where}${from}`);
  const rest = { errno: KNOWN.get(code)?.errno, code, syscall };
  Object.assign(error, rest, address === undefined ? {} : { address }, port ? { port } : {});
  if (local) Object.assign(error, { localAddress: local.address, localPort: local.port });
  return error;
}

const CODED = {
  EPIPE: 'This socket has been ended by the other party',
  ERR_SOCKET_CLOSED: 'Socket is closed',
  ERR_SOCKET_CLOSED_BEFORE_CONNECTION: 'Socket closed before the connection was established',
  ERR_SERVER_NOT_RUNNING: 'Server is not running.',
  ERR_SERVER_ALREADY_LISTEN: 'Listen method has been called more than once without closing.',
  ERR_STREAM_DESTROYED: 'Cannot call write after a stream was destroyed',
} as const;

/** One of Node's errors that have a code and always the same message. */
export const codedError = (code: keyof typeof CODED): NodeJS.ErrnoException =>
  Object.assign(new Error(CODED[code]), { code });

const received = (value: unknown): string =>
  `Received ${value === null || value === undefined ? String(value) : `type ${typeof value} (${inspect(value, { depth: 0 })})`}`;

/** ERR_INVALID_ARG_TYPE. `expected` as in `of type number`. */
export const typeError = (name: string, expected: string, value: unknown): TypeError =>
  Object.assign(new TypeError(`The "${name}" argument must be ${expected}. ${received(value)}`), {
    code: 'ERR_INVALID_ARG_TYPE',
  });

/** ERR_INVALID_ARG_VALUE. `reason` as in `is not supported`. */
export const valueError = (name: string, reason: string, value: unknown): TypeError =>
  Object.assign(new TypeError(`The argument '${name}' ${reason}. Received ${inspect(value, { depth: 0 })}`), {
    code: 'ERR_INVALID_ARG_VALUE',
  });

/** ERR_OUT_OF_RANGE. */
export const rangeError = (name: string, range: string, value: unknown): RangeError =>
  Object.assign(
    new RangeError(`The value of "${name}" is out of range. It must be ${range}. Received ${inspect(value)}`),
    { code: 'ERR_OUT_OF_RANGE' },
  );

/** ERR_SOCKET_BAD_PORT. */
export const portError = (name: string, value: unknown): RangeError =>
  Object.assign(new RangeError(`${name} should be >= 0 and < 65536. ${received(value)}.`), {
    code: 'ERR_SOCKET_BAD_PORT',
  });

/** ERR_INVALID_IP_ADDRESS. */
export const addressError = (value: unknown): TypeError =>
  Object.assign(new TypeError(`Invalid IP address: ${String(value)}`), { code: 'ERR_INVALID_IP_ADDRESS' });

/** ERR_IP_BLOCKED. */
export const blockedError = (address: string): Error =>
  Object.assign(new Error(`IP(${address}) is blocked by net.BlockList`), { code: 'ERR_IP_BLOCKED' });

/** ERR_MISSING_ARGS. */
export const missingError = (): TypeError =>
  Object.assign(new TypeError('The "options" or "port" or "path" argument must be specified'), {
    code: 'ERR_MISSING_ARGS',
  });
