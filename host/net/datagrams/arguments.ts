/** Arguments of `dgram`'s calls in all their forms, made into one each. */
import { portError, typeError } from '../sockets/errors.js';
import { outOfBounds } from './errors.js';

export type SendCallback = (error: Error | null, bytes?: number) => void;

export interface SendArguments {
  data: Uint8Array;
  /** 0: of a socket that is connected. */
  port: number;
  address: string | undefined;
  callback: SendCallback | undefined;
  /** It is connected, and somebody else was named. */
  other: boolean;
}

const MESSAGE = 'of type string or an instance of Buffer, TypedArray, or DataView';

function piece(value: unknown, name: string): Uint8Array {
  if (typeof value === 'string') return Buffer.from(value);
  if (value instanceof Uint8Array) return value;
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  throw typeError(name, MESSAGE, value);
}

/** Part of a message. @throws RangeError ERR_BUFFER_OUT_OF_BOUNDS, TypeError ERR_INVALID_ARG_TYPE */
function slice(message: unknown, offset: unknown, length: unknown): Uint8Array {
  const bytes = piece(message, 'buffer');
  const from = (offset as number) >>> 0;
  const n = (length as number) >>> 0;
  if (from > bytes.length) throw outOfBounds('offset');
  if (from + n > bytes.length) throw outOfBounds('length');
  return bytes.subarray(from, from + n);
}

/** A list of pieces is one datagram. */
function whole(message: unknown): Uint8Array {
  if (!Array.isArray(message)) return piece(message, 'buffer');
  const pieces = message.map(m => piece(m, 'buffer list arguments'));
  return pieces.length === 1 ? pieces[0] : Buffer.concat(pieces);
}

/** 1 to 65535. @throws RangeError ERR_SOCKET_BAD_PORT */
export function checkedPort(port: unknown): number {
  const text = typeof port === 'string' && port.trim() !== '';
  const n = typeof port === 'number' || text ? Number(port) : Number.NaN;
  if (Number.isInteger(n) && n > 0 && n < 65536) return n;
  const error = portError('Port', port);
  error.message = error.message.replace('>= 0', '> 0');
  throw error;
}

/**
 * `send(msg[, offset, length][, port[, address]][, callback])`. @param connected whether the socket is
 * @throws TypeError ERR_INVALID_ARG_TYPE; RangeError ERR_SOCKET_BAD_PORT, ERR_BUFFER_OUT_OF_BOUNDS
 */
export function sendArguments(args: readonly unknown[], connected: boolean): SendArguments {
  const [message, offset, length] = args;
  let [, , , port, address, callback] = args;
  let data: Uint8Array | undefined;
  if (!connected) {
    if (address || (port && typeof port !== 'function')) data = slice(message, offset, length);
    else [callback, port, address] = [port, offset, length];
  } else if (typeof length === 'number') {
    data = slice(message, offset, length);
    if (typeof port === 'function') [callback, port] = [port, undefined];
  } else callback = offset;
  data ??= whole(message);
  const other = connected && Boolean(port || address);
  const to = connected ? 0 : checkedPort(port);
  if (typeof address === 'function') [callback, address] = [address, undefined];
  if (!connected && address !== undefined && address !== null && typeof address !== 'string')
    throw typeError('address', 'of type string', address);
  return {
    ...{ data, port: to, other, address: (address as string | null | undefined) || undefined },
    callback: typeof callback === 'function' ? (callback as SendCallback) : undefined,
  };
}

export interface BindArguments {
  port: number;
  address: string | undefined;
  callback: (() => void) | undefined;
}

/** `bind([port][, address][, callback])`, `bind(options[, callback])`. @throws RangeError ERR_SOCKET_BAD_PORT */
export function bindArguments(args: readonly unknown[]): BindArguments {
  const last = args.at(-1);
  const callback = typeof last === 'function' ? (last as () => void) : undefined;
  const [first, second] = args;
  const named = typeof first === 'object' && first !== null;
  const o = (named ? first : { port: first, address: second }) as Record<string, unknown>;
  const none = typeof o.port === 'function' || o.port === undefined || o.port === null;
  const port = none ? 0 : Number(o.port);
  if (!Number.isInteger(port) || port < 0 || port > 65535) throw portError('Port', o.port);
  return { port, address: typeof o.address === 'string' && o.address ? o.address : undefined, callback };
}
