/**
 * A socket of datagrams, as the application that owns it sees it: batches in and out of rings in shared memory, with objects
 * that are used again. Made by Datagrams (datagrams.ts).
 */
import { EtherloomError } from '../../errors.js';
import { StreamRequest } from '../../layout/layout.gen.js';
import { type Correspondent, DatagramEnd, roomOf } from '../../streams/datagram_end.js';
import { checkBytes, type StreamEnd } from '../../streams/stream_end.js';
import type { Endpoint } from '../../transports/contract.js';
import type { BindPlace, DatagramView, LostPeer } from '../../transports/datagrams.js';
import { SocketError } from '../../transports/errno.js';
import { Datagram, Peer } from './datagram.js';

/** What a socket needs of whoever made it. */
export interface DatagramHome {
  readonly view: DatagramView;
  /** @throws as Stack.network.wayTo; what it returns is the own address that the peer sees */
  associate(socket: DatagramSocket, remote: Endpoint, local: string | undefined): string | Promise<string>;
  dissociate(socket: DatagramSocket): void;
  /** It was closed, and is told to `leave` when nothing names it any more and what was sent is in the ring. */
  gone(socket: DatagramSocket): void;
  /** Longest payload that a port of the stack takes, bytes. */
  most(family: 4 | 6): number;
}

/** One to be sent. */
export interface Outgoing {
  data: Uint8Array;
  /** Default: whom the socket is connected with. */
  to?: Correspondent;
}

/** Datagrams that an application sends before the ring is there: so many bytes wait. */
const EARLY_BYTES = 65536;

export class DatagramSocket {
  /** Whatever the application wants to keep with it. */
  data: unknown = undefined;
  /** Hop limit of what is sent. */
  ttl = 64;
  /** Type of service, or traffic class. */
  tos = 0;
  readonly #end: DatagramEnd;
  readonly #early: { data: Uint8Array; to: Correspondent; ttl: number; tos: number }[] = [];
  #earlyBytes = 0;
  #peer: Peer | undefined;
  #address: string | undefined;
  #seen = 0;
  #losses = 0;
  #error: string | undefined;
  #closed = false;
  #over = false;

  /** @internal Made by Datagrams. */
  constructor(
    readonly home: DatagramHome,
    readonly end: StreamEnd,
    place: BindPlace,
    /** What it sends and takes: 0 is both. */
    readonly family: 0 | 4 | 6,
  ) {
    this.#end = new DatagramEnd(end);
    this.#address = place.address;
    this.port = place.port;
  }

  readonly port: number;

  /** Number of its stream. */
  get id(): number {
    return this.end.id;
  }

  /** Own address; undefined: any. */
  get address(): string | undefined {
    return this.#address;
  }

  /** Whom it is connected with. */
  get remote(): Endpoint | undefined {
    return this.#peer && { address: this.#peer.address, port: this.#peer.port };
  }

  get closed(): boolean {
    return this.#closed || this.#over;
  }

  /** Whether there is a datagram to receive. */
  get readable(): boolean {
    return !this.#closed && this.#end.readable;
  }

  /** Bytes that wait to be sent, records included. */
  get queued(): number {
    return this.#closed ? 0 : this.#end.queued + this.#earlyBytes;
  }

  /** Sizes of the rings, bytes. */
  get capacity(): { send: number; receive: number } {
    return this.end.capacity;
  }

  /** Datagrams for which the receive ring had no room. */
  get drops(): number {
    return this.#closed ? 0 : this.home.view.drops(this.id);
  }

  /** What happened since it was last asked, as Linux names it: ECONNREFUSED, EMSGSIZE, EHOSTUNREACH … */
  takeError(): string | undefined {
    const error = this.#error;
    this.#error = undefined;
    return error;
  }

  /** @internal Peers to whom what was sent did not arrive, since it was last asked; some may be missing where they are many. */
  takeLost(): LostPeer[] {
    const { view } = this.home;
    const losses = view.losses?.(this.id) ?? 0;
    const lost: LostPeer[] = [];
    for (let n = (losses - this.#losses) >>> 0; n > 0; n--) {
      const peer = view.lost?.(this.id, (losses - n) >>> 0);
      if (peer !== undefined) lost.push(peer);
    }
    this.#losses = losses;
    return lost;
  }

  /** Somebody to send to. @throws EtherloomError ERR_ADDRESS, ERR_STACK_OPTIONS */
  peer(address: string, port: number): Peer {
    if (!Number.isInteger(port) || port < 1 || port > 65535)
      throw new EtherloomError('ERR_STACK_OPTIONS', `port: ${port}`, {
        expected: 'a whole number from 1 to 65535',
      });
    return new Peer(address, port);
  }

  /**
   * Takes datagrams of this peer only from now on, sends to it what has no other address, and hears that it is not there. In
   * threads other than the stack's: from when what it returns resolves.
   * @throws SocketError ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL, EISCONN; EtherloomError ERR_ADDRESS, ERR_STACK_CLOSED
   */
  connect(address: string, port: number): Promise<void> | undefined {
    this.#open('connect');
    if (this.#peer) throw new SocketError('EISCONN', `the socket is connected with ${this.#peer.address}`);
    const peer = this.peer(address, port);
    const done = (own: string): void => {
      this.#address = own;
      this.#peer = peer;
    };
    const own = this.home.associate(this, { address: peer.address, port }, this.#address);
    if (own instanceof Promise) return own.then(done);
    done(own);
    return undefined;
  }

  /** Takes datagrams of everybody again. @throws SocketError ENOTCONN */
  disconnect(): void {
    this.#open('disconnect');
    if (!this.#peer) throw new SocketError('ENOTCONN', 'the socket is connected with nobody');
    this.home.dissociate(this);
    this.#peer = undefined;
  }

  #open(what: string): void {
    if (!this.#closed) return;
    throw new EtherloomError('ERR_STACK_CLOSED', `${what} of a socket that was closed`);
  }

  // ── datagrams ─────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Gives back what the last `receive` gave, and fills `batch` with up to `max` datagrams that came, making objects where
   * there are none. Returns how many.
   */
  receive(batch: Datagram[], max = 64): number {
    if (this.#closed) return 0;
    this.#end.done();
    let n = 0;
    while (n < max) {
      const into = (batch[n] ??= new Datagram(this.end.app.arena.u8));
      if (!this.#end.next(into)) break;
      n++;
    }
    return n;
  }

  /** Gives back what the last `receive` gave. The next one does so, too. */
  done(): void {
    this.#end.done();
  }

  /**
   * Sends a datagram with the next flush; false when there is no room: `writable` of the next news tells of it.
   * @throws SocketError EMSGSIZE for one that is longer than the ports take, ENOTCONN, EAFNOSUPPORT, ENETDOWN when its lane was given up; EtherloomError
   * ERR_STREAM_BYTES, ERR_STACK_CLOSED
   */
  send(data: Uint8Array, to: Correspondent | undefined = this.#peer): boolean {
    const sent = this.#put(data, to);
    this.#end.publish();
    return sent;
  }

  /** Sends datagrams in order and returns how many there was room for. @throws as `send`, before the first is sent */
  sendAll(list: readonly Outgoing[]): number {
    for (const { data, to = this.#peer } of list) this.#check(data, to);
    let n = 0;
    while (n < list.length && this.#put(list[n].data, list[n].to ?? this.#peer)) n++;
    this.#end.publish();
    return n;
  }

  #check(data: Uint8Array, to: Correspondent | undefined): asserts to is Correspondent {
    this.#open('send');
    checkBytes(data, 'send');
    if (!to) throw new SocketError('ENOTCONN', 'nobody to send to', { expected: 'connect(), or an address' });
    if (this.family !== 0 && to.family !== this.family)
      throw new SocketError('EAFNOSUPPORT', `an IPv${to.family} address of an IPv${this.family} socket`);
    const most = this.home.most(to.family);
    if (data.length > most)
      throw new SocketError('EMSGSIZE', `${data.length} bytes`, {
        expected: `at most ${most}: nothing is sent in fragments`,
      });
  }

  #put(data: Uint8Array, to: Correspondent | undefined): boolean {
    this.#check(data, to);
    if (this.#over)
      throw new SocketError('ENETDOWN', 'the lane of the socket was given up', {
        expected: 'a socket that is made anew, in another lane',
      });
    if (this.#early.length === 0 && this.#end.hasRing) return this.#end.put(data, to, this.ttl, this.tos);
    const need = roomOf(data.length);
    if (this.#earlyBytes + need > Math.min(EARLY_BYTES, this.capacity.send)) return false;
    // A Buffer's slice would be no copy.
    const copy = Uint8Array.prototype.slice.call(data);
    const { family, port, w0, w1, w2, w3 } = to;
    this.#early.push({ data: copy, to: { family, port, w0, w1, w2, w3 }, ttl: this.ttl, tos: this.tos });
    this.#earlyBytes += need;
    return true;
  }

  /** What was sent before there was a ring goes into it. */
  #settle(): void {
    let n = 0;
    for (const e of this.#early) {
      if (!this.#end.put(e.data, e.to, e.ttl, e.tos)) break;
      this.#earlyBytes -= roomOf(e.data.length);
      n++;
    }
    this.#early.splice(0, n);
    this.#end.publish();
  }

  /** Done with it for ever: its port is free. What was sent before goes out still. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.home.gone(this);
  }

  // ── what Datagrams says ───────────────────────────────────────────────────────────────────────────────────────

  /** @internal Lets go of the stream. */
  leave(): void {
    // What the stack has ended may be another's by now.
    if (this.end.app.ended) return;
    this.end.request(StreamRequest.CLOSE);
    this.end.release();
  }

  /** @internal Whether nothing waits for a ring any more. */
  nowRoom(): boolean {
    if (this.#over) return true;
    if (this.#early.length > 0 && this.#end.hasRing) this.#settle();
    return this.#early.length === 0;
  }

  /** @internal Whether there is an error that nobody was told of. */
  nowError(): boolean {
    const errors = this.home.view.errors(this.id);
    if (errors === this.#seen) return false;
    this.#seen = errors;
    this.#error = this.home.view.error(this.id);
    return true;
  }

  /** @internal Its lane is no more, or the stack. */
  nowOver(): void {
    this.#over = true;
  }
}
