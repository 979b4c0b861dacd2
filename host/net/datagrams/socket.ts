/**
 * A socket like Node's `dgram.Socket` on a stack. Its life:
 *
 *   createSocket ─▶ bind (asked for, or by the first send or connect: binding.ts) ─▶ listening ─▶ message … ─▶ close
 *                        send ─▶ outbox.ts ─▶ rings ─▶ inbox.ts ─▶ message
 */
import { isIP } from 'node:net';
import { StreamEvent } from '../../layout/layout.gen.js';
import type { Peer } from '../burst/datagram.js';
import type { DatagramSocket } from '../burst/datagram_socket.js';
import type { SocketAddress } from '../sockets/address.js';
import { systemError, typeError } from '../sockets/errors.js';
import { Hold } from '../sockets/hold.js';
import { bindArguments, checkedPort, type SendCallback, sendArguments } from './arguments.js';
import { Binding } from './binding.js';
import type { DgramHome } from './dgram.js';
import { asSystemError, dgramError } from './errors.js';
import { NoGroups } from './groups.js';
import { Inbox, type OnMessage, shownTo } from './inbox.js';
import { checkedOptions, closeBy, lookUp, type SocketOptions, type SocketType } from './options.js';
import { Outbox } from './outbox.js';
import { Peering } from './peering.js';
import { peerOf, refuseMany } from './peers.js';
import { checkSize, type RingName, sizeOf } from './sizes.js';

export class Socket extends NoGroups {
  readonly type: SocketType;
  readonly #home: DgramHome;
  readonly #options: SocketOptions;
  readonly #hold: Hold;
  readonly #binding: Binding;
  readonly #inbox: Inbox;
  readonly #outbox = new Outbox();
  /** There once it is bound. */
  #inner: DatagramSocket | undefined;
  readonly #peering = new Peering(this, () => this.#closed);
  #closed = false;
  #broadcast = false;
  #ttl = 64;

  /** @internal `createSocket` makes it. */
  constructor(home: DgramHome, type: SocketType | SocketOptions, onMessage?: OnMessage) {
    super();
    this.#options = checkedOptions(type);
    this.type = this.#options.type;
    this.#home = home;
    this.#hold = new Hold(home.loop, () => this.#inner !== undefined);
    this.#binding = new Binding(this, () => this.bind({ port: 0 }));
    this.#inbox = new Inbox(
      this.#family,
      () => this.#inner,
      (message, from) => this.emit('message', message, from),
    );
    home.open.add(this);
    if (typeof onMessage === 'function') this.on('message', onMessage);
    closeBy(this.#options.signal, this, () => this.#closed);
  }

  get #family(): 4 | 6 {
    return this.type === 'udp4' ? 4 : 6;
  }

  /** @internal @throws ERR_SOCKET_DGRAM_NOT_RUNNING */
  override running(): void {
    if (this.#closed) throw dgramError('ERR_SOCKET_DGRAM_NOT_RUNNING');
  }

  #bound(syscall: string): DatagramSocket {
    this.running();
    if (!this.#inner) throw systemError(syscall, 'EBADF');
    return this.#inner;
  }

  #lookup(host: string | undefined, done: (error: Error | null, address: string) => void): void {
    lookUp(this.#options, this.#family, host, done);
  }

  // ── bind ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** `bind([port][, address][, callback])`, `bind(options[, callback])`; `listening` or `error` follow. */
  bind(...args: unknown[]): this {
    this.running();
    const { port, address, callback } = bindArguments(args);
    this.#binding.begin(callback);
    const any = this.#family === 4 ? '0.0.0.0' : '::';
    process.nextTick(() =>
      this.#lookup(address ?? any, (error, ip) => {
        if (!this.#closed) this.#bindNow(error, ip, port);
      }),
    );
    return this;
  }

  #bindNow(error: Error | null, ip: string, port: number): void {
    const failed = (cause: unknown): void => {
      if (!this.#closed) this.#binding.failed(asSystemError('bind', cause, { address: ip, port }));
    };
    try {
      if (error) throw error;
      if (isIP(ip) !== this.#family) throw systemError('bind', 'EINVAL', { address: ip, port });
      const made = this.#open(ip, port);
      if (made instanceof Promise) made.then(inner => this.#have(inner), failed);
      else this.#have(made);
    } catch (cause) {
      failed(cause);
    }
  }

  #open(ip: string, port: number): DatagramSocket | Promise<DatagramSocket> {
    const { recvBufferSize, sendBufferSize, ipv6Only } = this.#options;
    const any = /^(0\.0\.0\.0|[0:]+)$/.test(ip);
    const both = any && this.#family === 6 && !ipv6Only;
    this.#home.loop.begin();
    return this.#home.datagrams.bind({
      ...{ port, data: this },
      ...(any ? {} : { address: ip }),
      ...(any && !both ? { family: this.#family } : {}),
      ...(recvBufferSize ? { receiveBuffer: recvBufferSize } : {}),
      ...(sendBufferSize ? { sendBuffer: sendBufferSize } : {}),
    });
  }

  #have(inner: DatagramSocket): void {
    // Closed while the stack was asked.
    if (this.#closed) inner.close();
    else {
      this.#inner = inner;
      inner.ttl = this.#ttl;
    }
    this.#home.loop.touch();
    this.#hold.update();
    if (!this.#closed) this.#binding.done();
  }

  // ── connect ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** `connect(port[, address][, callback])`; `connect` or `error` follow. */
  connect(port: number, address?: string | (() => void), callback?: (error?: Error) => void): void {
    const to = checkedPort(port);
    const told = typeof address === 'function' ? address : callback;
    const host = typeof address === 'string' && address ? address : undefined;
    this.running();
    this.#peering.begin();
    this.#binding.whenBound(() => {
      if (told) this.once('connect', told);
      this.#lookup(host, (error, ip) => {
        if (!this.#closed) this.#connectNow(error, ip, to, host ?? ip, told);
      });
    });
  }

  #connectNow(
    error: Error | null,
    ip: string,
    port: number,
    address: string,
    told: ((error?: Error) => void) | undefined,
  ): void {
    this.#peering.tell(told, { address, port }, () => {
      if (error) throw error;
      const { address: plain } = peerOf(this.#family, ip, port, 'connect');
      return this.#inner!.connect(plain, port);
    });
  }

  /** Forgets whom it is connected with. @throws ERR_SOCKET_DGRAM_NOT_CONNECTED */
  disconnect(): void {
    this.running();
    this.#peering.end();
    this.#inner!.disconnect();
  }

  // ── send ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * `send(msg[, offset, length][, port[, address]][, callback])`. Errors go to the callback.
   * @throws TypeError, RangeError, and ERR_SOCKET_DGRAM_… as Node's
   */
  send(...args: unknown[]): void {
    const { data, port, address, callback, other } = sendArguments(args, this.#peering.connected);
    if (other) throw dgramError('ERR_SOCKET_DGRAM_IS_CONNECTED');
    this.running();
    if (this.#binding.bound) this.#sendTo(data, port, address, callback);
    else this.#binding.whenBound(() => this.#sendTo(data, port, address, callback));
  }

  #sendTo(
    data: Uint8Array,
    port: number,
    host: string | undefined,
    callback: SendCallback | undefined,
  ): void {
    if (this.#peering.connected && port === 0) return this.#transmit(data, undefined, callback);
    this.#lookup(host, (error, ip) => {
      if (this.#closed) return;
      if (error) {
        process.nextTick(() => (callback ? callback(error) : this.emit('error', error)));
        return;
      }
      const failed = (cause: unknown): void => {
        if (callback) process.nextTick(callback, asSystemError('send', cause, { address: ip, port }));
      };
      try {
        const peer = peerOf(this.#family, ip, port, 'send');
        refuseMany(peer, this.#broadcast);
        const asked = this.#home.datagrams.reach(peer.address);
        if (asked) asked.then(() => this.#transmit(data, peer, callback), failed);
        else this.#transmit(data, peer, callback);
      } catch (cause) {
        failed(cause);
      }
    });
  }

  #transmit(data: Uint8Array, to: Peer | undefined, callback: SendCallback | undefined): void {
    // Closed while the stack was asked.
    if (!this.#inner) {
      if (callback) process.nextTick(callback, systemError('send', 'ECANCELED'));
      return;
    }
    this.#outbox.send(this.#inner, data, to, callback);
    this.#home.loop.touch();
  }

  /** @internal Event bits of its stream. */
  heard(bits: number): void {
    const inner = this.#inner;
    if (!inner) return;
    if (bits & StreamEvent.OUT && this.#outbox.settle(inner)) this.#home.loop.touch();
    if (bits & (StreamEvent.ERR | StreamEvent.HUP | StreamEvent.FREED) && inner.nowError()) {
      const error = systemError('recvmsg', inner.takeError() ?? 'EIO');
      process.nextTick(() => {
        if (!this.#closed) this.emit('error', error);
      });
    }
    if (bits & StreamEvent.IN) this.#inbox.heard();
  }

  // ── options and figures ───────────────────────────────────────────────────────────────────────────────────────

  address(): SocketAddress {
    const { address, port } = this.#bound('getsockname');
    const any = this.#family === 4 ? '0.0.0.0' : '::';
    return {
      ...{ address: address === undefined ? any : shownTo(this.#family, address), port },
      family: this.#family === 4 ? 'IPv4' : 'IPv6',
    };
  }

  /** @throws ERR_SOCKET_DGRAM_NOT_CONNECTED */
  remoteAddress(): SocketAddress {
    this.running();
    const remote = this.#inner?.remote;
    if (!remote) throw dgramError('ERR_SOCKET_DGRAM_NOT_CONNECTED');
    return {
      ...{ address: shownTo(this.#family, remote.address), port: remote.port },
      family: this.#family === 4 ? 'IPv4' : 'IPv6',
    };
  }

  /** Whether sending to 255.255.255.255 is EACCES, the default, or ENETUNREACH: there is no broadcast. */
  setBroadcast(on: boolean): void {
    this.#bound('setBroadcast');
    this.#broadcast = Boolean(on);
  }

  /** Hop limit, 1 to 255. */
  setTTL(ttl: number): number {
    if (typeof ttl !== 'number') throw typeError('ttl', 'of type number', ttl);
    const inner = this.#bound('setTTL');
    if (!(ttl >= 1 && ttl <= 255)) throw systemError('setTTL', 'EINVAL');
    this.#ttl = inner.ttl = Math.trunc(ttl);
    return ttl;
  }

  #size(which: RingName): number {
    this.running();
    return sizeOf(which, this.#inner);
  }

  /** Bytes of the ring. @throws ERR_SOCKET_BUFFER_SIZE before `listening` */
  getRecvBufferSize(): number {
    return this.#size('recv');
  }

  getSendBufferSize(): number {
    return this.#size('send');
  }

  /** @throws ERR_SOCKET_BAD_BUFFER_SIZE, ERR_SOCKET_BUFFER_SIZE for more than `recvBufferSize` of createSocket */
  setRecvBufferSize(size: number): void {
    checkSize('recv', size, () => this.#size('recv'));
  }

  setSendBufferSize(size: number): void {
    checkSize('send', size, () => this.#size('send'));
  }

  /** Bytes that wait to leave. */
  getSendQueueSize(): number {
    return this.#outbox.bytes + (this.#inner?.queued ?? 0);
  }

  /** Messages that found no room. */
  getSendQueueCount(): number {
    return this.#outbox.count;
  }

  ref(): this {
    this.#hold.want(true);
    return this;
  }

  unref(): this {
    this.#hold.want(false);
    return this;
  }

  // ── the end ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** What was sent before goes out still. @throws ERR_SOCKET_DGRAM_NOT_RUNNING */
  close(callback?: () => void): this {
    if (typeof callback === 'function') this.on('close', callback);
    if (this.#binding.queued(() => this.close())) return this;
    this.running();
    this.abandon();
    return this;
  }

  /** @internal */
  abandon(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#home.open.delete(this);
    this.#inner?.close();
    this.#inner = undefined;
    this.#hold.update();
    this.#home.loop.touch();
    this.#outbox.cancel();
    process.nextTick(() => this.emit('close'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    await new Promise<void>(done => this.close(done));
  }
}
