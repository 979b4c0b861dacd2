/** Takes connections at a port of a stack, as Node's `net.Server` does: an EventEmitter whose `connection`s are Sockets. */
import { AsyncResource } from 'node:async_hooks';
import { lookup } from 'node:dns';
import { captureRejectionSymbol, EventEmitter } from 'node:events';
import { type BlockList, isIP } from 'node:net';
import { getDefaultHighWaterMark } from 'node:stream';
import { EtherloomError } from '../../errors.js';
import type { SocketError } from '../../transports/errno.js';
import type { Listener } from '../burst/listener.js';
import { familyOf, type SocketAddress } from './address.js';
import {
  blockListOf,
  callArguments,
  keepAliveOf,
  type ListenTarget,
  listenTarget,
  numberOption,
} from './arguments.js';
import { serverSocket } from './channels.js';
import { codedError, systemError, typeError } from './errors.js';
import { Hold } from './hold.js';
import type { SocketConnection, SocketLoop, Taker } from './loop.js';
import { Socket, type SocketOwner } from './socket.js';

export interface ServerOptions {
  /** Default false: a socket whose peer has ended ends, too. */
  allowHalfOpen?: boolean | undefined;
  /** Nothing is read from a socket until its `resume`. */
  pauseOnConnect?: boolean | undefined;
  noDelay?: boolean | undefined;
  keepAlive?: boolean | undefined;
  /** ms. */
  keepAliveInitialDelay?: number | undefined;
  /** Connections from these addresses are closed at once, and nobody is told. */
  blockList?: BlockList | undefined;
  /** Of both directions of its sockets, bytes. */
  highWaterMark?: number | undefined;
}

export type OnConnection = (socket: Socket) => void;

/** Any address of both families, unless it is to be of one. */
const ANY = '::';

/** Where a stack is to listen: any address is none. */
function placeOf(host: string, ipv6Only: boolean): { address?: string; family?: 4 | 6 } {
  if (!/^(0\.0\.0\.0|[0:]+)$/.test(host)) return { address: host };
  if (isIP(host) === 4) return { family: 4 };
  return ipv6Only ? { family: 6 } : {};
}

const isBlocked = (list: BlockList, address: string): boolean =>
  list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');

export class Server extends EventEmitter implements Taker, SocketOwner {
  /** Connections beyond are closed at once: event `drop`. */
  maxConnections: number | undefined;
  /** Of clusters, which a stack is none of: kept for who sets it. */
  dropMaxConnection = false;
  readonly allowHalfOpen: boolean;
  readonly pauseOnConnect: boolean;
  readonly noDelay: boolean;
  readonly keepAlive: boolean;
  readonly keepAliveInitialDelay: number;
  readonly highWaterMark: number;
  readonly blockList: BlockList | undefined;
  readonly #loop: SocketLoop;
  readonly #scope = new AsyncResource('ETHERLOOM_SERVER');
  #listener: Listener | undefined;
  /** The stack, in another thread, was asked for one. */
  #asked = false;
  /** As it was asked for. */
  #host = ANY;
  #connections = 0;
  /** Which `listen` a lookup was for. */
  #life = 0;
  readonly #hold: Hold;

  /** @internal Made by StackNet. @throws TypeError ERR_INVALID_ARG_TYPE */
  constructor(loop: SocketLoop, options?: ServerOptions | OnConnection | null, onConnection?: OnConnection) {
    super();
    const handler = typeof options === 'function' ? options : onConnection;
    if (options !== undefined && options !== null && !['function', 'object'].includes(typeof options))
      throw typeError('options', 'of type object', options);
    const given: ServerOptions = typeof options === 'object' && options !== null ? options : {};
    if (typeof handler === 'function') this.on('connection', handler);
    this.#loop = loop;
    this.#hold = new Hold(loop, () => this.#asked || this.#listener !== undefined);
    this.allowHalfOpen = given.allowHalfOpen ?? false;
    this.pauseOnConnect = Boolean(given.pauseOnConnect);
    this.noDelay = Boolean(given.noDelay);
    this.keepAlive = Boolean(given.keepAlive);
    this.keepAliveInitialDelay = numberOption('keepAliveInitialDelay', given.keepAliveInitialDelay, 0);
    const usual = getDefaultHighWaterMark(false);
    this.blockList = blockListOf(given.blockList);
    this.highWaterMark = numberOption('highWaterMark', given.highWaterMark, usual);
  }

  // ── listening ─────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * `listen(options, cb)`, `listen(port, host, backlog, cb)`.
   * @throws Error ERR_SERVER_ALREADY_LISTEN; TypeError, RangeError as Node's; everything else is an `error` event
   */
  listen(...args: unknown[]): this {
    const { options, callback } = callArguments(args);
    if (this.#listener || this.#asked) throw codedError('ERR_SERVER_ALREADY_LISTEN');
    const target = listenTarget(args, options);
    if (callback) this.once('listening', callback as () => void);
    const life = ++this.#life;
    this.#closeBy(target.signal);
    const { host } = target;
    if (host === undefined || isIP(host)) this.#listen(target);
    else
      lookup(host, (error, address) => {
        if (life !== this.#life) return;
        if (error) this.emit('error', error);
        else this.#listen({ ...target, host: address });
      });
    return this;
  }

  #closeBy(signal: AbortSignal | undefined): void {
    if (!signal) return;
    const close = (): void => void this.close();
    if (signal.aborted) process.nextTick(close);
    else {
      signal.addEventListener('abort', close, { once: true });
      this.once('close', () => signal.removeEventListener('abort', close));
    }
  }

  #listen({ host = ANY, ipv6Only, port, backlog, options }: ListenTarget): void {
    const keepAlive = keepAliveOf(this.keepAlive, this.keepAliveInitialDelay);
    const life = this.#life;
    const failed = (error: unknown): void => {
      if (life !== this.#life) return;
      this.#asked = false;
      const { errno } = error as SocketError;
      const named = error instanceof EtherloomError && errno !== undefined;
      const told = named ? systemError('listen', errno, { address: host, port }) : error;
      this.#hold.update();
      process.nextTick(() => this.emit('error', told));
    };
    try {
      const made = this.#loop.listen({
        ...{ port, backlog, ...placeOf(host, ipv6Only) },
        options: {
          ...(this.noDelay ? { noDelay: true } : {}),
          ...(keepAlive ? { keepAlive } : {}),
          ...options,
        },
      });
      if (!(made instanceof Promise)) return this.#listens(made, host);
      this.#asked = true;
      this.#hold.update();
      // Closed while the stack was asked: nobody wants it.
      made.then(l => (life === this.#life ? this.#listens(l, host) : l.close()), failed);
    } catch (error) {
      failed(error);
    }
  }

  #listens(listener: Listener, host: string): void {
    this.#asked = false;
    this.#listener = listener;
    listener.data = this;
    this.#host = host;
    this.#hold.update();
    this.began();
    const life = this.#life;
    process.nextTick(() => {
      // Closed again before anybody heard of it.
      if (this.#listener && life === this.#life) this.emit('listening');
    });
  }

  /** @internal It listens, and nobody heard of it yet. */
  protected began(): void {}

  get listening(): boolean {
    return this.#listener !== undefined;
  }

  /** Null when it does not listen. */
  address(): SocketAddress | null {
    if (!this.#listener) return null;
    const address = this.#listener.address ?? this.#host;
    return { address, family: familyOf(address), port: this.#listener.port };
  }

  // ── connections ───────────────────────────────────────────────────────────────────────────────────────────────

  /** @internal A connection came. */
  take(connection: SocketConnection): void {
    this.#scope.runInAsyncScope(this.#take, this, connection);
  }

  #take(connection: SocketConnection): void {
    // One of a batch whose first made it close: as those that nobody took yet.
    if (connection.listener !== this.#listener) return connection.abort();
    const { maxConnections, blockList } = this;
    if (blockList && isBlocked(blockList, connection.remote.address)) return connection.close();
    if (maxConnections !== undefined && maxConnections !== null && this.#connections >= maxConnections) {
      const { local, remote } = connection;
      connection.close();
      this.emit('drop', {
        ...{ localAddress: local.address, localPort: local.port, localFamily: familyOf(local.address) },
        ...{ remoteAddress: remote.address, remotePort: remote.port, remoteFamily: familyOf(remote.address) },
      });
      return;
    }
    this.#connections++;
    const { allowHalfOpen, pauseOnConnect, highWaterMark, noDelay, keepAlive, keepAliveInitialDelay } = this;
    const socket = new Socket(
      this.#loop,
      {
        allowHalfOpen,
        highWaterMark,
        pauseOnCreate: pauseOnConnect,
        noDelay,
        keepAlive,
        keepAliveInitialDelay,
      },
      { connection, owner: this },
    );
    if (serverSocket.hasSubscribers) serverSocket.publish({ socket });
    this.emit('connection', socket);
  }

  /** @internal A socket of its was destroyed. */
  left(): void {
    this.#connections--;
    this.#closeIfDone();
  }

  /** How many there are, in the next tick. */
  getConnections(callback: (error: Error | null, count: number) => void): this {
    process.nextTick(callback, null, this.#connections);
    return this;
  }

  // ── ending ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Takes no more connections; `close` comes when the last of those that it took is gone. */
  close(callback?: (error?: Error) => void): this {
    this.#life++;
    if (typeof callback === 'function') {
      if (this.#listener || this.#asked) this.once('close', callback);
      else this.once('close', () => callback(codedError('ERR_SERVER_NOT_RUNNING')));
    }
    this.#listener?.close();
    this.#listener = undefined;
    this.#asked = false;
    this.#hold.update();
    this.#closeIfDone();
    return this;
  }

  #closeIfDone(): void {
    if (!this.#listener && this.#connections === 0) process.nextTick(() => this.emit('close'));
  }

  /** @internal The stack closes. */
  abandon(): void {
    this.close();
  }

  /** Where EventEmitter.captureRejections is on: an async listener that fails ends the socket that it was given. */
  override [captureRejectionSymbol](error: Error, event: string, socket: Socket): void {
    if (event === 'connection') socket.destroy(error);
    else this.emit('error', error);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#listener) return;
    await new Promise<void>((done, fail) => this.close(error => (error ? fail(error) : done())));
  }

  ref(): this {
    this.#hold.want(true);
    return this;
  }

  unref(): this {
    this.#hold.want(false);
    return this;
  }
}
