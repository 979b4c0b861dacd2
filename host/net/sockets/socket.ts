/**
 * A connection of a stack as Node's `net.Socket` is one: a Duplex with its options, events, properties and errors.
 *
 *   receive ring ─▶ Intake ─▶ Readable ─▶ the application ─▶ Writable ─▶ Outlet ─▶ send ring
 *                                heard(event) ◀── SocketLoop
 *
 * Made by `stack.net.connect`, by a Server, or by `new stack.net.Socket()`.
 */
import { AsyncResource } from 'node:async_hooks';
import { isIP } from 'node:net';
import { addAbortSignal, Duplex, type DuplexOptions } from 'node:stream';
import type { ConnectionOptions } from '../../transports/tcp/index.js';
import { NO_ADDRESS, type SocketAddress, shownEndpoint } from './address.js';
import { type ConnectTarget, callArguments, connectTarget, keepAliveOf, numberOption } from './arguments.js';
import { Attempts } from './attempts.js';
import { connectFailure, lookUp, refusal } from './dial.js';
import { codedError, typeError } from './errors.js';
import { Hold } from './hold.js';
import { duration, IdleTimer } from './idle_timer.js';
import { Intake, type IntakeTarget, type OnRead } from './intake.js';
import type { Hearer, SocketConnection, SocketEvent, SocketLoop } from './loop.js';
import { Outlet, type Written } from './outlet.js';
import { isOnRead, refuseObjects, type SocketOptions } from './socket_options.js';

type Done = (error?: Error | null) => void;

/** What Server tells and is told of its sockets. */
export interface SocketOwner {
  /** A socket of its is destroyed. */
  left(): void;
}

export class Socket extends Duplex implements Hearer, IntakeTarget {
  connecting = false;
  /** Of setTimeout, ms. */
  timeout: number | undefined;
  /** The server that it came to. http puts its own here. */
  server: unknown = null;
  readonly #loop: SocketLoop;
  #owner: SocketOwner | undefined;
  readonly #onread: OnRead | undefined;
  readonly #scope = new AsyncResource('ETHERLOOM_SOCKET');
  /** Of who was asked for a timeout. */
  #idle: IdleTimer | undefined;
  #connection: SocketConnection | undefined;
  #attempts: Attempts | undefined;
  #intake: Intake;
  #outlet: Outlet;
  /** Which life of this socket a lookup was for: it may connect again after its end. */
  #life = 0;
  readonly #hold: Hold;
  #resetting = false;
  #remote: SocketAddress | undefined;
  #noDelay: boolean;
  #keepAlive: { on: boolean; delayMs: number };

  /** @internal Made by StackNet and Server. */
  constructor(
    loop: SocketLoop,
    options: SocketOptions = {},
    accepted?: { connection: SocketConnection; owner: SocketOwner },
  ) {
    const { allowHalfOpen, signal, onread, noDelay, keepAlive, keepAliveInitialDelay, pauseOnCreate } =
      options;
    refuseObjects(options);
    const { highWaterMark, readable, writable } = options;
    super({
      highWaterMark,
      readable,
      writable,
      allowHalfOpen: Boolean(allowHalfOpen),
      emitClose: false,
      decodeStrings: false,
    } as DuplexOptions);
    this.#loop = loop;
    this.#hold = new Hold(loop, () => this.connecting || this.#connection !== undefined);
    this.#onread = isOnRead(onread) ? onread : undefined;
    this.#intake = new Intake(this, this.#onread);
    this.#outlet = new Outlet(this);
    this.#noDelay = noDelay === true;
    this.#keepAlive = {
      on: keepAlive === true,
      delayMs: numberOption('keepAliveInitialDelay', keepAliveInitialDelay, 0),
    };
    // One that is aborted already ends what has not begun yet.
    if (signal?.aborted) process.nextTick(() => addAbortSignal(signal, this));
    else if (signal) addAbortSignal(signal, this);
    this.#owner = accepted?.owner;
    if (!accepted) return;
    this.server = accepted.owner;
    this.#have(accepted.connection);
    this.#flow(accepted.connection);
    if (pauseOnCreate) (this as { readableFlowing: boolean | null }).readableFlowing = false;
    else if (options.readable !== false) this.read(0);
  }

  #have(connection: SocketConnection): void {
    this.#connection = connection;
    connection.data = this;
    this.#hold.update();
  }

  /** Bytes go to and fro from now on, until there is none. */
  #flow(connection: SocketConnection | undefined): void {
    this.#intake.connection = connection;
    this.#outlet.connection = connection;
  }

  // ── connecting ────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * `connect(options, cb)`, `connect(port, host, cb)`.
   * @throws TypeError, RangeError as Node's; everything else is an `error` event
   */
  connect(...args: unknown[]): this {
    const { options, callback } = callArguments(args);
    if (callback) this.once('connect', callback as () => void);
    const target = connectTarget(options);
    if (this.destroyed) this.#again();
    this.connecting = true;
    this.#idle?.refresh();
    this.#hold.update();
    const life = this.#life;
    const begin = (error: Error | undefined, addresses: readonly string[]): void => {
      // Destroyed meanwhile, or connected, or in another life.
      if (!this.connecting || life !== this.#life) return;
      if (error) this.destroy(error);
      else this.#try(target, addresses);
    };
    if (isIP(target.host)) process.nextTick(begin, undefined, [target.host]);
    else
      lookUp(
        target,
        (error, address, family) => this.emit('lookup', error, address, family, target.host),
        (error, addresses) => process.nextTick(begin, error, addresses),
      );
    return this;
  }

  /** After its end: as new. */
  #again(): void {
    (this as unknown as { _undestroy(): void })._undestroy();
    this.#life++;
    this.#remote = undefined;
    this.#attempts = undefined;
    this.#intake = new Intake(this, this.#onread);
    this.#outlet = new Outlet(this);
  }

  #try(target: ConnectTarget, addresses: readonly string[]): void {
    if (this.#connection || this.#attempts?.isGoing) return this.#tryTwice({ ...target, host: addresses[0] });
    this.#attempts = new Attempts(target, addresses, {
      emit: (event, ...args) => this.emit(event, ...args),
      listenerCount: event => this.listenerCount(event),
      attempt: at => this.#attempt(at),
      withdraw: () => this.#withdraw(),
      gaveUp: error => this.destroy(error),
    });
    this.#attempts.next();
  }

  /**
   * As connect(2) answers for a socket that has a connection: that it is made, the first time when it was made by connect,
   * or why not. It stays the same one; net destroys the socket for the error.
   */
  #tryTwice(target: ConnectTarget): void {
    const { host, port } = target;
    this.emit('connectionAttempt', host, port, isIP(host));
    if (!this.connecting) return;
    const made = this.#attempts;
    if (made?.isGoing) return void this.destroy(connectFailure(target, 'EALREADY'));
    if (!made || made.answered) return void this.destroy(connectFailure(target, 'EISCONN'));
    made.answered = true;
    this.#connected(this.#connection!);
  }

  /** There are no bytes to be had or sent yet. One that has a connection has them while it is asked to connect again. */
  get #isOpening(): boolean {
    return this.connecting && (this.#connection === undefined || this.#attempts?.isGoing === true);
  }

  #attempt(target: ConnectTarget): void {
    const { host, port, localAddress, localPort } = target;
    const keepAlive = keepAliveOf(this.#keepAlive.on, this.#keepAlive.delayMs);
    const options: ConnectionOptions = {};
    if (this.#noDelay) options.noDelay = true;
    if (keepAlive) options.keepAlive = keepAlive;
    Object.assign(options, target.options);
    const made = this.#loop.connect({ host, port, localAddress, localPort, options });
    if (!(made instanceof Promise)) return this.#have(made);
    // Not wanted any more when it is there, or here.
    const wanted = (): boolean => this.connecting && this.#attempts?.at === target;
    made.then(
      connection => (wanted() ? this.#have(connection) : this.#loop.drop(connection)),
      error => wanted() && this.#attempts!.failed(refusal(target, error)),
    );
  }

  /** Lets go of the connection of an attempt. */
  #withdraw(): void {
    if (this.#connection) this.#loop.drop(this.#connection);
    this.#connection = undefined;
  }

  #connected(connection: SocketConnection): void {
    this.#attempts!.stop();
    this.connecting = false;
    this.#flow(connection);
    this.#idle?.refresh();
    this.emit('connect');
    this.emit('ready');
    // What waited for it.
    this.#drain(connection);
    if (this.#connection === connection && this.readable && !this.isPaused()) this.read(0);
  }

  // ── what the loop tells ───────────────────────────────────────────────────────────────────────────────────────

  /** @internal */
  heard(event: SocketEvent): void {
    if (event.connection === this.#connection) this.#scope.runInAsyncScope(this.#hear, this, event);
  }

  #hear(event: SocketEvent): void {
    const { connection, connected, writable, closed } = event;
    if (this.#isOpening) {
      if (connected) this.#connected(connection);
      else if (closed) {
        const { at } = this.#attempts!;
        return this.#attempts!.failed(connectFailure(at, connection.error ?? 'ECONNABORTED'));
      } else return;
    }
    // What came before the end is read before a write learns of it.
    this.#pull();
    if ((writable || closed) && this.#connection === connection) this.#drain(connection);
  }

  /** @internal The stack closes. */
  abandon(): void {
    this.#resetting = true;
    this.destroy();
  }

  #drain(connection: SocketConnection): void {
    if (!this.#outlet.busy || this.#connection !== connection) return;
    if (this.#outlet.drain(connection)) this.#idle?.refresh();
    this.#loop.touch();
  }

  #pull(): void {
    this.#intake.pull();
    // Room in the ring may be news to the peer.
    this.#loop.touch();
  }

  /** @internal Bytes came or went. */
  active(): void {
    this.#idle?.refresh();
  }

  /** @internal */
  allRead(error: Error | undefined): void {
    if (error) {
      this.destroy(error);
      return;
    }
    this.push(null);
    // Of a stream without bytes that nobody reads `end` comes, too.
    this.read(0);
  }

  // ── Duplex ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** @internal */
  override _read(): void {
    this.#intake.ask();
    this.#pull();
  }

  /** @internal */
  override _write(chunk: Uint8Array | string, encoding: BufferEncoding, done: Done): void {
    if (this.#outlet.put(chunk, encoding)) this.#sent(done);
    else this.#send([{ chunk, encoding }], done);
  }

  /** @internal Chunks that were corked, or written while one was under way: one burst. */
  override _writev(chunks: Written[], done: Done): void {
    let n = 0;
    while (n < chunks.length && this.#outlet.put(chunks[n].chunk, chunks[n].encoding)) n++;
    if (n === chunks.length) this.#sent(done);
    else this.#send(chunks.slice(n), done);
  }

  #sent(done: Done): void {
    this.#idle?.refresh();
    this.#loop.touch();
    done();
  }

  #send(parts: readonly Written[], done: Done): void {
    if (!this.connecting && !this.#connection) return done(codedError('ERR_SOCKET_CLOSED'));
    this.#outlet.begin(parts, done);
    if (this.#isOpening) return;
    this.#idle?.refresh();
    this.#drain(this.#connection!);
  }

  override write(...args: unknown[]): boolean;
  override write(chunk: unknown, encoding?: unknown, callback?: unknown): boolean {
    if (typeof encoding === 'function') return this.write(chunk, undefined, encoding);
    if (this.#outlet.pass(chunk, encoding)) {
      this.#idle?.refresh();
      this.#loop.touch();
      if (typeof callback === 'function') process.nextTick(callback as Done, null);
      return true;
    }
    // After the peer's end a socket that is not to be half open has ended, too: that is the peer's doing.
    if (!this.readableEnded || this.allowHalfOpen || !this.writableEnded)
      return super.write(chunk, encoding as BufferEncoding, callback as Done);
    const error = codedError('EPIPE');
    if (typeof callback === 'function') process.nextTick(callback as Done, error);
    this.destroy(error);
    return false;
  }

  /** @internal */
  override _final(done: (error?: Error | null) => void): void {
    if (this.pending) {
      this.once('connect', () => this._final(done));
      return;
    }
    this.#connection!.shutdown();
    this.#loop.touch();
    done();
  }

  /** @internal */
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const neverConnected = this.connecting || !this.#connection;
    const connection = this.#connection;
    this.connecting = false;
    this.#attempts?.stop();
    this.#connection = undefined;
    this.#flow(undefined);
    this.#idle?.clear();
    this.#hold.update();
    if (connection) this.#loop.drop(connection, this.#resetting);
    this.#resetting = false;
    const outlet = this.#outlet;
    const closed = (): void => {
      if (outlet.busy)
        outlet.fail(
          codedError(neverConnected ? 'ERR_SOCKET_CLOSED_BEFORE_CONNECTION' : 'ERR_STREAM_DESTROYED'),
        );
      this.#scope.runInAsyncScope(() => this.emit('close', error !== null));
    };
    done(error);
    // What was begun at the stack ends there first.
    if (connection || this.#attempts) setImmediate(closed);
    else process.nextTick(closed);
    this.#owner?.left();
    this.#owner = undefined;
  }

  override pause(): this {
    if (this.#onread) this.#intake.reading = false;
    return super.pause();
  }

  override resume(): this {
    if (this.#onread && !this.#intake.reading) this._read();
    return super.resume();
  }

  // ── ending ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Ends it, and destroys it when what was written is with the transport. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  /** Destroys it by a reset: the peer gets ECONNRESET. */
  resetAndDestroy(): this {
    if (this.connecting) this.once('connect', () => this.#reset());
    else if (this.#connection) this.#reset();
    else this.destroy(codedError('ERR_SOCKET_CLOSED'));
    return this;
  }

  #reset(): void {
    this.#resetting = true;
    this.destroy();
  }

  // ── options ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** `timeout` is emitted after `ms` without a byte in or out; 0: not any more. @throws TypeError, RangeError */
  setTimeout(ms: number, callback?: () => void): this {
    if (this.destroyed) return this;
    const time = duration('msecs', ms);
    if (callback !== undefined && typeof callback !== 'function')
      throw typeError('callback', 'of type function', callback);
    this.timeout = ms;
    this.#idle ??= new IdleTimer(() => this.emit('timeout'));
    this.#idle.set(time);
    if (callback) {
      if (time === 0) this.off('timeout', callback);
      else this.once('timeout', callback);
    }
    return this;
  }

  setNoDelay(on = true): this {
    const noDelay = Boolean(on);
    if (noDelay !== this.#noDelay) this.#connection?.set({ noDelay });
    this.#noDelay = noDelay;
    this.#loop.touch();
    return this;
  }

  /** @param delayMs silence before the first probe; 0: the stack's */
  setKeepAlive(on = false, delayMs = 0): this {
    const wanted = { on: Boolean(on), delayMs: Number(delayMs) || 0 };
    const { on: was, delayMs: before } = this.#keepAlive;
    if (wanted.on !== was || (wanted.on && wanted.delayMs !== before))
      this.#connection?.set({ keepAlive: keepAliveOf(wanted.on, wanted.delayMs) });
    this.#keepAlive = wanted;
    this.#loop.touch();
    return this;
  }

  ref(): this {
    this.#hold.want(true);
    return this;
  }

  unref(): this {
    this.#hold.want(false);
    return this;
  }

  // ── properties ────────────────────────────────────────────────────────────────────────────────────────────────

  get pending(): boolean {
    return this.#connection === undefined || this.connecting;
  }

  /** `address:port` of those that were tried, when a name had several. */
  get autoSelectFamilyAttemptedAddresses(): string[] | undefined {
    return this.#attempts?.attempted;
  }

  get readyState(): 'opening' | 'open' | 'readOnly' | 'writeOnly' | 'closed' {
    if (this.connecting) return 'opening';
    if (this.readable) return this.writable ? 'open' : 'readOnly';
    return this.writable ? 'writeOnly' : 'closed';
  }

  get bytesRead(): number {
    return this.#intake.bytes;
  }

  /** Those that wait for their turn, too. */
  get bytesWritten(): number {
    const { writableBuffer } = this as unknown as { writableBuffer: readonly Written[] };
    return writableBuffer.reduce(
      (sum, { chunk, encoding }) => sum + Buffer.byteLength(chunk, encoding),
      this.#outlet.bytes + this.#outlet.waiting,
    );
  }

  /** As `writableLength`, while it has a connection. */
  get bufferSize(): number | undefined {
    return this.#connection || this.connecting ? this.writableLength : undefined;
  }

  /** The connection below, for figures and options of the transport: `info()`, `set()`. Its bytes are the socket's. */
  get connection(): SocketConnection | undefined {
    return this.#connection;
  }

  address(): Partial<SocketAddress> {
    return this.#connection ? shownEndpoint(this.#connection.local) : NO_ADDRESS;
  }

  get localAddress(): string | undefined {
    return this.address().address;
  }

  get localPort(): number | undefined {
    return this.address().port;
  }

  get localFamily(): string | undefined {
    return this.address().family;
  }

  /** Known after the end to who asked before. */
  #peer(): Partial<SocketAddress> {
    if (this.#connection && !this.connecting) this.#remote ??= shownEndpoint(this.#connection.remote);
    return this.#remote ?? NO_ADDRESS;
  }

  get remoteAddress(): string | undefined {
    return this.#peer().address;
  }

  get remotePort(): number | undefined {
    return this.#peer().port;
  }

  get remoteFamily(): string | undefined {
    return this.#peer().family;
  }
}
