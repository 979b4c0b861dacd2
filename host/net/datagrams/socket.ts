/**
 * A socket like Node's `dgram.Socket` on a stack. Its life:
 *
 *   createSocket ─▶ bind (asked for, or by the first send or connect) ─▶ listening ─▶ message … ─▶ close
 *                        └ what is sent, connected or closed meanwhile waits for `listening`
 */
import dns from 'node:dns';
import { addAbortListener, EventEmitter } from 'node:events';
import { isIP } from 'node:net';
import { StreamEvent } from '../../layout/layout.gen.js';
import type { Correspondent } from '../../streams/datagram_end.js';
import { SocketError } from '../../transports/errno.js';
import { addressOf, type Datagram, Peer } from '../burst/datagram.js';
import type { DatagramSocket } from '../burst/datagram_socket.js';
import type { SocketAddress } from '../sockets/address.js';
import { systemError, typeError } from '../sockets/errors.js';
import { Hold } from '../sockets/hold.js';
import { bindArguments, checkedPort, type SendCallback, sendArguments } from './arguments.js';
import type { DgramHome } from './dgram.js';
import { badBufferSize, badType, bufferSizeError, dgramError } from './errors.js';

export type SocketType = 'udp4' | 'udp6';

export interface RemoteInfo extends SocketAddress {
  /** Bytes of the message. */
  size: number;
}

export type OnMessage = (message: Buffer, from: RemoteInfo) => void;
type Found = (error: Error | null, address: string, family: number) => void;
export type Lookup = (host: string, options: { family: number }, found: Found) => void;

export interface SocketOptions {
  type: SocketType;
  /** Taken, and without effect: a port is one socket's. */
  reuseAddr?: boolean;
  /** Of udp6: IPv4 is not taken. */
  ipv6Only?: boolean;
  /** Bytes of the rings. Default 256 KiB and 64 KiB. */
  recvBufferSize?: number;
  sendBufferSize?: number;
  lookup?: Lookup;
  /** Closes the socket. */
  signal?: AbortSignal;
}

interface Waiting {
  data: Uint8Array;
  to: Correspondent | undefined;
  callback: SendCallback | undefined;
}

/** Messages told of before others have their turn. */
const BATCH = 64;
const MAPPED = '::ffff:';

const isBroadcast = (p: Peer): boolean => p.family === 4 && p.w0 === 0xffffffff;
const isMulticast = (p: Peer): boolean => (p.family === 4 ? (p.w0 & 0xf0) === 0xe0 : (p.w0 & 0xff) === 0xff);

export class Socket extends EventEmitter {
  readonly type: SocketType;
  readonly #home: DgramHome;
  readonly #options: Partial<SocketOptions>;
  readonly #hold: Hold;
  readonly #batch: Datagram[] = [];
  /** There once it is bound. */
  #inner: DatagramSocket | undefined;
  #bindState: 'unbound' | 'binding' | 'bound' = 'unbound';
  #connectState: 'disconnected' | 'connecting' | 'connected' = 'disconnected';
  /** What waits for `listening`. */
  #queue: (() => void)[] | undefined;
  /** Messages for which there was no room. */
  #unsent: Waiting[] = [];
  #closed = false;
  #draining = false;
  #broadcast = false;
  #ttl = 64;
  /** The last sender, and its address as text. */
  #sender: Correspondent | undefined;
  #senderText = '';

  /** @internal `createSocket` makes it. */
  constructor(home: DgramHome, type: SocketType | SocketOptions, onMessage?: OnMessage) {
    super();
    const options: Partial<SocketOptions> = typeof type === 'object' && type !== null ? type : {};
    const kind = typeof type === 'string' ? type : options.type;
    if (kind !== 'udp4' && kind !== 'udp6') throw badType();
    const { lookup, signal } = options;
    if (lookup !== undefined && typeof lookup !== 'function')
      throw typeError('lookup', 'of type function', lookup);
    if (signal !== undefined && !(signal instanceof AbortSignal))
      throw typeError('options.signal', 'an instance of AbortSignal', signal);
    this.type = kind;
    this.#home = home;
    this.#options = options;
    this.#hold = new Hold(home.loop, () => this.#inner !== undefined);
    home.open.add(this);
    if (typeof onMessage === 'function') this.on('message', onMessage);
    if (signal) this.#closeBy(signal);
  }

  #closeBy(signal: AbortSignal): void {
    const onAborted = (): void => {
      if (!this.#closed) this.close();
    };
    if (signal.aborted) onAborted();
    else {
      const listener = addAbortListener(signal, onAborted);
      this.once('close', () => listener[Symbol.dispose]());
    }
  }

  get #family(): 4 | 6 {
    return this.type === 'udp4' ? 4 : 6;
  }

  #running(): void {
    if (this.#closed) throw dgramError('ERR_SOCKET_DGRAM_NOT_RUNNING');
  }

  #bound(syscall: string): DatagramSocket {
    this.#running();
    if (!this.#inner) throw systemError(syscall, 'EBADF');
    return this.#inner;
  }

  /** What names the address, asked for where it is no address. Names are the caller's affair: lookup may be late. */
  #lookup(host: string | undefined, done: (error: Error | null, address: string) => void): void {
    const name = host ?? (this.#family === 4 ? '127.0.0.1' : '::1');
    if (isIP(name)) return done(null, name);
    const { lookup = dns.lookup as unknown as Lookup } = this.#options;
    lookup(name, { family: this.#family }, (error, address) => done(error, address));
  }

  // ── bind ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** `bind([port][, address][, callback])`, `bind(options[, callback])`; `listening` or `error` follow. */
  bind(...args: unknown[]): this {
    this.#running();
    const { port, address, callback } = bindArguments(args);
    if (this.#bindState !== 'unbound') throw dgramError('ERR_SOCKET_ALREADY_BOUND');
    this.#bindState = 'binding';
    if (callback) {
      const forget = (): void => {
        this.removeListener('error', forget);
        this.removeListener('listening', onListening);
      };
      const onListening = (): void => {
        forget();
        callback.call(this);
      };
      this.on('error', forget);
      this.on('listening', onListening);
    }
    const any = this.#family === 4 ? '0.0.0.0' : '::';
    process.nextTick(() =>
      this.#lookup(address ?? any, (error, ip) => {
        if (!this.#closed) this.#bindNow(error, ip, port);
      }),
    );
    return this;
  }

  #bindNow(error: Error | null, ip: string, port: number): void {
    try {
      if (error) throw error;
      if (isIP(ip) !== this.#family) throw systemError('bind', 'EINVAL', { address: ip, port });
      this.#open(ip, port);
    } catch (cause) {
      this.#bindState = 'unbound';
      this.emit('error', asSystemError('bind', cause, { address: ip, port }));
      return;
    }
    this.#bindState = 'bound';
    this.emit('listening');
  }

  #open(ip: string, port: number): void {
    const { recvBufferSize, sendBufferSize, ipv6Only } = this.#options;
    const any = /^(0\.0\.0\.0|[0:]+)$/.test(ip);
    const both = any && this.#family === 6 && !ipv6Only;
    this.#inner = this.#home.datagrams.bind({
      ...{ port, data: this },
      ...(any ? {} : { address: ip }),
      ...(any && !both ? { family: this.#family } : {}),
      ...(recvBufferSize ? { receiveBuffer: recvBufferSize } : {}),
      ...(sendBufferSize ? { sendBuffer: sendBufferSize } : {}),
    });
    this.#inner.ttl = this.#ttl;
    this.#home.loop.begin();
    this.#home.loop.touch();
    this.#hold.update();
  }

  /** Does `work` when the socket is bound, which is begun if it is not; not at all when that fails. */
  #whenBound(work: () => void): void {
    if (this.#bindState === 'unbound') this.bind({ port: 0 });
    if (this.#bindState === 'bound') return work();
    if (this.#queue) {
      this.#queue.push(work);
      return;
    }
    this.#queue = [work];
    const onError = (): void => {
      this.removeListener('listening', onListening);
      this.#queue = undefined;
    };
    const onListening = (): void => {
      this.removeListener('error', onError);
      const queue = this.#queue ?? [];
      this.#queue = undefined;
      for (const item of queue) item();
    };
    this.once('error', onError);
    this.once('listening', onListening);
  }

  // ── connect ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** `connect(port[, address][, callback])`; `connect` or `error` follow. */
  connect(port: number, address?: string | (() => void), callback?: (error?: Error) => void): void {
    const to = checkedPort(port);
    const told = typeof address === 'function' ? address : callback;
    const host = typeof address === 'string' && address ? address : undefined;
    this.#running();
    if (this.#connectState !== 'disconnected') throw dgramError('ERR_SOCKET_DGRAM_IS_CONNECTED');
    this.#connectState = 'connecting';
    this.#whenBound(() => {
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
    try {
      if (error) throw error;
      const { address: plain } = this.#peerOf(ip, port, 'connect');
      this.#inner!.connect(plain, port);
    } catch (cause) {
      this.#connectState = 'disconnected';
      const failed = asSystemError('connect', cause, { address, port });
      process.nextTick(() => {
        if (!told) return void this.emit('error', failed);
        this.removeListener('connect', told);
        told(failed);
      });
      return;
    }
    this.#connectState = 'connected';
    process.nextTick(() => {
      if (!this.#closed) this.emit('connect');
    });
  }

  /** Forgets whom it is connected with. @throws ERR_SOCKET_DGRAM_NOT_CONNECTED */
  disconnect(): void {
    this.#running();
    if (this.#connectState !== 'connected') throw dgramError('ERR_SOCKET_DGRAM_NOT_CONNECTED');
    this.#inner!.disconnect();
    this.#connectState = 'disconnected';
  }

  /** Whom an address means. IPv4 has an address in IPv6 for sockets of that. */
  #peerOf(ip: string, port: number, syscall: string): Peer {
    const mapped = this.#family === 6 && ip.toLowerCase().startsWith(MAPPED) ? ip.slice(MAPPED.length) : ip;
    const family = isIP(ip);
    if (family !== this.#family) throw systemError(syscall, 'EINVAL', { address: ip, port });
    return new Peer(isIP(mapped) ? mapped : ip, port);
  }

  // ── send ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * `send(msg[, offset, length][, port[, address]][, callback])`. Errors go to the callback.
   * @throws TypeError, RangeError, and ERR_SOCKET_DGRAM_… as Node's
   */
  send(...args: unknown[]): void {
    const { data, port, address, callback, other } = sendArguments(args, this.#connectState === 'connected');
    if (other) throw dgramError('ERR_SOCKET_DGRAM_IS_CONNECTED');
    this.#running();
    if (this.#bindState !== 'bound') this.#whenBound(() => this.#sendTo(data, port, address, callback));
    else this.#sendTo(data, port, address, callback);
  }

  #sendTo(
    data: Uint8Array,
    port: number,
    host: string | undefined,
    callback: SendCallback | undefined,
  ): void {
    if (this.#connectState === 'connected' && port === 0) return this.#transmit(data, undefined, callback);
    this.#lookup(host, (error, ip) => {
      if (this.#closed) return;
      if (error) {
        process.nextTick(() => (callback ? callback(error) : this.emit('error', error)));
        return;
      }
      try {
        const peer = this.#peerOf(ip, port, 'send');
        this.#reachable(peer);
        this.#transmit(data, peer, callback);
      } catch (cause) {
        if (callback) process.nextTick(callback, asSystemError('send', cause, { address: ip, port }));
      }
    });
  }

  /** @throws SocketError for whom there is no way */
  #reachable(peer: Peer): void {
    if (isBroadcast(peer) || isMulticast(peer)) {
      if (isBroadcast(peer) && !this.#broadcast) throw systemErrno('EACCES');
      throw systemErrno('ENETUNREACH');
    }
    this.#home.network.wayTo(peer.address);
  }

  #transmit(data: Uint8Array, to: Peer | undefined, callback: SendCallback | undefined): void {
    try {
      // Those that wait go first.
      const sent = this.#unsent.length === 0 && this.#inner!.send(data, to);
      this.#home.loop.touch();
      if (!sent) this.#unsent.push({ data, to, callback });
      else if (callback) process.nextTick(callback, null, data.length);
    } catch (cause) {
      if (!callback) return;
      const site = to ? { address: to.address, port: to.port } : {};
      process.nextTick(callback, asSystemError('send', cause, site));
    }
  }

  #settle(): void {
    let n = 0;
    for (const { data, to, callback } of this.#unsent) {
      if (!this.#inner!.send(data, to)) break;
      n++;
      if (callback) process.nextTick(callback, null, data.length);
    }
    if (n === 0) return;
    this.#unsent.splice(0, n);
    this.#home.loop.touch();
  }

  // ── what comes ────────────────────────────────────────────────────────────────────────────────────────────────

  /** @internal Event bits of its stream. */
  heard(bits: number): void {
    if (bits & StreamEvent.OUT && this.#unsent.length > 0) this.#settle();
    if (bits & (StreamEvent.ERR | StreamEvent.HUP | StreamEvent.FREED) && this.#inner?.nowError()) {
      const error = systemError('recvmsg', this.#inner.takeError() ?? 'EIO');
      process.nextTick(() => {
        if (!this.#closed) this.emit('error', error);
      });
    }
    if (bits & StreamEvent.IN && !this.#draining) {
      this.#draining = true;
      process.nextTick(this.#drain);
    }
  }

  readonly #drain = (): void => {
    this.#draining = false;
    const inner = this.#inner;
    if (!inner || this.#closed) return;
    const batch = this.#batch;
    const n = inner.receive(batch, BATCH);
    let i = 0;
    try {
      while (i < n && !this.#closed) this.#tell(batch[i++]);
    } finally {
      // What a listener threw is Node's to deal with; the others are told all the same.
      if (!this.#closed && (i < n || inner.readable)) this.#again(i, n);
      else if (!this.#closed) inner.done();
    }
  };

  #again(from: number, n: number): void {
    this.#draining = true;
    const rest = this.#batch
      .slice(from, n)
      .map(d => ({ message: Buffer.from(d.data), info: this.#infoOf(d) }));
    setImmediate(() => {
      for (const { message, info } of rest) if (!this.#closed) this.emit('message', message, info);
      this.#drain();
    });
  }

  #tell(d: Datagram): void {
    const message = Buffer.allocUnsafe(d.length);
    d.copy(message);
    this.emit('message', message, this.#infoOf(d));
  }

  #infoOf(d: Datagram): RemoteInfo {
    const s = this.#sender;
    if (!s || s.w0 !== d.w0 || s.w1 !== d.w1 || s.w2 !== d.w2 || s.w3 !== d.w3 || s.family !== d.family) {
      const { family, port, w0, w1, w2, w3 } = d;
      this.#sender = { family, port, w0, w1, w2, w3 };
      this.#senderText = this.#shown(addressOf(d));
    }
    const family = this.#family === 4 ? 'IPv4' : 'IPv6';
    return { address: this.#senderText, family, port: d.port, size: d.length };
  }

  #shown(address: string): string {
    return this.#family === 6 && !address.includes(':') ? MAPPED + address : address;
  }

  // ── options and figures ───────────────────────────────────────────────────────────────────────────────────────

  address(): SocketAddress {
    const { address, port } = this.#bound('getsockname');
    const any = this.#family === 4 ? '0.0.0.0' : '::';
    return {
      ...{ address: address === undefined ? any : this.#shown(address), port },
      family: this.#family === 4 ? 'IPv4' : 'IPv6',
    };
  }

  /** @throws ERR_SOCKET_DGRAM_NOT_CONNECTED */
  remoteAddress(): SocketAddress {
    this.#running();
    const remote = this.#inner?.remote;
    if (!remote) throw dgramError('ERR_SOCKET_DGRAM_NOT_CONNECTED');
    return {
      ...{ address: this.#shown(remote.address), port: remote.port },
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

  /** There is no multicast: what asks for it is refused. @throws EOPNOTSUPP */
  #noMulticast(call: string): never {
    this.#running();
    throw systemError(call, 'EOPNOTSUPP');
  }

  addMembership(): void {
    this.#noMulticast('addMembership');
  }

  dropMembership(): void {
    this.#noMulticast('dropMembership');
  }

  addSourceSpecificMembership(): void {
    this.#noMulticast('addSourceSpecificMembership');
  }

  dropSourceSpecificMembership(): void {
    this.#noMulticast('dropSourceSpecificMembership');
  }

  setMulticastTTL(): void {
    this.#noMulticast('setMulticastTTL');
  }

  setMulticastLoopback(): void {
    this.#noMulticast('setMulticastLoopback');
  }

  setMulticastInterface(): void {
    this.#noMulticast('setMulticastInterface');
  }

  #sizeOf(which: 'recv' | 'send'): number {
    this.#running();
    if (!this.#inner) throw bufferSizeError(which, 'EBADF');
    const { send, receive } = this.#inner.capacity;
    return which === 'recv' ? receive : send;
  }

  /** Rings have their size from `bind` on: what fits is taken, more is refused. */
  #setSize(which: 'recv' | 'send', size: number): void {
    if (size >>> 0 !== size || size === 0) throw badBufferSize();
    if (size > this.#sizeOf(which)) throw bufferSizeError(which, 'ENOBUFS');
  }

  /** Bytes of the ring. @throws ERR_SOCKET_BUFFER_SIZE before `listening` */
  getRecvBufferSize(): number {
    return this.#sizeOf('recv');
  }

  getSendBufferSize(): number {
    return this.#sizeOf('send');
  }

  /** @throws ERR_SOCKET_BAD_BUFFER_SIZE, ERR_SOCKET_BUFFER_SIZE for more than `recvBufferSize` of createSocket */
  setRecvBufferSize(size: number): void {
    this.#setSize('recv', size);
  }

  setSendBufferSize(size: number): void {
    this.#setSize('send', size);
  }

  /** Bytes that wait to leave. */
  getSendQueueSize(): number {
    const waiting = this.#unsent.reduce((sum, { data }) => sum + data.length, 0);
    return waiting + (this.#inner?.queued ?? 0);
  }

  /** Messages that found no room. */
  getSendQueueCount(): number {
    return this.#unsent.length;
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
    if (this.#queue) {
      this.#queue.push(() => this.close());
      return this;
    }
    this.#running();
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
    const canceled = systemError('send', 'ECANCELED');
    for (const { callback } of this.#unsent.splice(0)) if (callback) process.nextTick(callback, canceled);
    process.nextTick(() => this.emit('close'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    await new Promise<void>(done => this.close(done));
  }
}

const systemErrno = (errno: 'EACCES' | 'ENETUNREACH'): SocketError => new SocketError(errno, errno);

/** What the stack refused, as a system call of that name would have. What has no name of Linux's stays as it is. */
function asSystemError(syscall: string, cause: unknown, site: { address?: string; port?: number }): Error {
  return cause instanceof SocketError ? systemError(syscall, cause.errno, site) : (cause as Error);
}
