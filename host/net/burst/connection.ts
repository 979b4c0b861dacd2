/**
 * A connection, as the application that owns it sees it: bytes in and out without copies of ours, and what it asks of the
 * transport. Made by Sockets (sockets.ts), which also tells what happens to it.
 */
import { EtherloomError } from '../../errors.js';
import { StreamRequest } from '../../layout/layout.gen.js';
import { checkBytes, type StreamEnd } from '../../streams/stream_end.js';
import type { Endpoint, TransportView } from '../../transports/contract.js';
import { EarlyBytes } from './early_bytes.js';
import type { Listener } from './listener.js';

/** What a connection needs of the application's sockets. */
export interface ConnectionHome<O> {
  readonly view: TransportView<O>;
  /** Number of the application. */
  readonly number: number;
  /** It was closed or aborted; `later`: it lets go of its stream when what it took is in the ring. */
  gone(connection: Connection<O>, later: boolean): void;
}

const NOWHERE: Endpoint = { address: '', port: 0 };

export class Connection<O = object> {
  /** Whatever the application wants to keep with it. */
  data: unknown = undefined;
  #error: string | undefined;
  #connected: boolean;
  #ended = false;
  #over = false;
  #closed = false;
  /** FIN was asked for. */
  #shut = false;
  /** The send ring is known to be there; what was written before waits in `early`. */
  #ringed = false;
  #early: EarlyBytes | undefined;
  #local: Endpoint | undefined;
  #remote: Endpoint | undefined;

  /** @internal Made by Sockets. */
  constructor(
    readonly home: ConnectionHome<O>,
    /** Its stream: for who needs less than this. */
    readonly end: StreamEnd,
    /** The listener that it came to; undefined when it was made by `connect`. */
    readonly listener: Listener | undefined,
    made?: { local: Endpoint; remote: Endpoint },
  ) {
    this.#connected = listener !== undefined;
    this.#local = made?.local;
    this.#remote = made?.remote;
  }

  /** Number of its stream: its own as long as it is not closed. */
  get id(): number {
    return this.end.id;
  }

  get local(): Endpoint {
    return (this.#local ??= this.#closed ? NOWHERE : this.home.view.local(this.id));
  }

  get remote(): Endpoint {
    return (this.#remote ??= this.#closed ? NOWHERE : this.home.view.remote(this.id));
  }

  /** `ESTABLISHED`, `FIN-WAIT-1` … as RFC 9293 names states; `CLOSED` also when this side has let go of it. */
  get state(): string {
    return this.#closed || this.#over ? 'CLOSED' : this.home.view.state(this.id);
  }

  /** The handshake is through. */
  get connected(): boolean {
    return this.#connected;
  }

  /** The peer has ended its direction: what can be read is the last of it. */
  get ended(): boolean {
    return this.#ended;
  }

  /** It is over both ways, or this side has let go of it. */
  get closed(): boolean {
    return this.#over || this.#closed;
  }

  /** Why it is over, as Linux names it: ECONNREFUSED, ECONNRESET, ETIMEDOUT, EHOSTUNREACH … */
  get error(): string | undefined {
    return this.#error;
  }

  // ── bytes ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Bytes that can be read now. */
  get readable(): number {
    return this.#closed ? 0 : this.end.readable;
  }

  /** Bytes that can be written now; 0 after `shutdown`, `close` and `abort`, and when it is over. */
  get room(): number {
    if (!this.writable) return 0;
    if (this.#hasRing()) return this.end.room;
    return this.end.released ? 0 : (this.#early?.room ?? EarlyBytes.most(this.end));
  }

  /** Bytes written that the peer has not acknowledged. */
  get unacknowledged(): number {
    return this.#closed ? 0 : this.end.unacknowledged + (this.#early?.bytes ?? 0);
  }

  /** Whether what is written can be sent: not after `shutdown`, `close` and `abort`, nor when it is over. */
  get writable(): boolean {
    return !this.#shut && !this.#over && !this.#closed;
  }

  /** Whether bytes go into the ring. What was taken before there was one goes first. */
  #hasRing(): boolean {
    if (this.#ringed) return true;
    this.#ringed = this.end.hasSendRing && (this.#early?.settle() ?? true);
    return this.#ringed;
  }

  /** Copies received bytes to `into`. Returns how many, 0 when there are none. */
  read(into: Uint8Array): number {
    return this.#closed ? 0 : this.end.read(into);
  }

  /** As StreamEnd.readWords. */
  readWords(into: DataView, at: number, n: number): boolean {
    return !this.#closed && this.end.readWords(into, at, n);
  }

  /** Views of what can be read, none to four, in order. Good until `consume`. */
  readViews(): Uint8Array[] {
    return this.#closed ? [] : this.end.readViews();
  }

  /** Gives the first `n` bytes of what can be read back. @throws EtherloomError ERR_STREAM_RANGE */
  consume(n: number): void {
    if (!this.#closed) this.end.consume(n);
  }

  /**
   * Copies as much of `from` as there is room for and returns how many bytes; of room for the rest an event tells. What was
   * taken is sent, also when `close` comes next. After `shutdown`, and when it is over, nothing is taken: 0.
   * @throws EtherloomError ERR_STREAM_BYTES for what are no bytes
   */
  write(from: Uint8Array): number {
    checkBytes(from, 'write');
    if (!this.writable) return 0;
    if (this.#hasRing()) return this.end.write(from);
    this.#early ??= new EarlyBytes(this.end);
    return this.#early.write(from);
  }

  /** Writes all of `from`, or, where there is no room for it or no ring yet, nothing. Whether it did. */
  writeAll(from: Uint8Array): boolean {
    return this.writable && this.#hasRing() && this.end.writeAll(from);
  }

  /** As StreamEnd.writeText. */
  writeText(text: string, n: number, latin1: boolean): boolean {
    return this.writable && this.#hasRing() && this.end.writeText(text, n, latin1);
  }

  /** Views of the room, none to two. Write into them, then `commit`, before anything else is written. */
  writeViews(): Uint8Array[] {
    if (!this.writable) return [];
    if (this.#hasRing()) {
      this.#early?.drafted(0);
      return this.end.writeViews();
    }
    this.#early ??= new EarlyBytes(this.end);
    return this.#early.views();
  }

  /** Hands the first `n` bytes of the room to the transport, if that can still send. @throws EtherloomError ERR_STREAM_RANGE */
  commit(n: number): void {
    if (!this.writable) return;
    const draft = this.#early?.drafted(n);
    if (draft?.length !== n) {
      this.end.commit(n);
      return;
    }
    if (n === 0) return;
    this.#early!.keep(draft);
    this.#ringed = false;
    this.#hasRing();
  }

  /** Asks for an event when `bytes` bytes can be written. True when they can be now: then none comes. */
  wantRoom(bytes: number): boolean {
    if (!this.writable) return false;
    if (this.#hasRing()) return this.end.wantRoom(bytes);
    this.#early ??= new EarlyBytes(this.end);
    return this.#early.wantRoom(bytes);
  }

  // ── asking ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** No more will be written: the peer reads what was, then the end. */
  shutdown(): void {
    if (!this.writable) return;
    this.#shut = true;
    this.#ask(StreamRequest.SHUTDOWN);
  }

  /**
   * Done with it for ever. What was written is still delivered, unless received bytes were not read: then the peer gets a
   * reset, as from Linux. No more events come, and reading and writing do nothing.
   */
  close(): void {
    this.#leave(StreamRequest.CLOSE);
  }

  /** The same at once: the peer gets a reset, what was written may be lost. */
  abort(): void {
    this.#leave(StreamRequest.ABORT);
  }

  #leave(how: number): void {
    if (this.#closed) return;
    const later = how === StreamRequest.CLOSE && !this.#over && this.#waits;
    this.#closed = true;
    if (later) this.#early!.request(how);
    else {
      this.end.request(how);
      this.end.release();
    }
    this.home.gone(this, later);
  }

  /** Whether bytes that were taken wait for their ring still. */
  get #waits(): boolean {
    return this.#early !== undefined && this.#early.bytes > 0 && !this.#hasRing();
  }

  /** Asks the transport for something that comes after what was written. */
  #ask(bits: number): void {
    if (this.#waits) this.#early!.request(bits);
    else this.end.request(bits);
  }

  /** Changes options of the live connection; those not named stay. @throws EtherloomError ERR_TCP_OPTIONS, ERR_STACK_CLOSED */
  set(options: O): void {
    this.#open('options');
    this.home.view.setOptions(this.id, options);
    this.end.request(StreamRequest.OPTIONS);
  }

  /** The last byte written is urgent (MSG_OOB). @throws EtherloomError ERR_STACK_CLOSED */
  urgent(): void {
    this.#open('urgent data');
    this.home.view.setUrgent(this.id, (this.end.position + (this.#early?.bytes ?? 0)) >>> 0);
    this.#ask(StreamRequest.OPTIONS);
  }

  /** Round-trip time, congestion window, retransmissions … @throws EtherloomError ERR_STACK_CLOSED */
  info(): Record<string, number> {
    this.#open('figures');
    return this.home.view.info(this.id);
  }

  #open(what: string): void {
    if (this.#closed)
      throw new EtherloomError('ERR_STACK_CLOSED', `${what} of a connection that was closed`, {
        expected: 'one that close() and abort() were not called of',
      });
  }

  // ── what Sockets says ─────────────────────────────────────────────────────────────────────────────────────────

  /** @internal */
  nowConnected(): void {
    this.#connected = true;
  }

  /** @internal There is room in the send ring, or a ring. Whether the application is to be told of it. */
  nowRoom(): boolean {
    const told = this.#ringed || (this.#hasRing() && this.#early?.news === true);
    return told && this.writable;
  }

  /** @internal All that it took is in the send ring, or was. */
  get settled(): boolean {
    return this.#ringed;
  }

  /** @internal It was closed, and the ring that it waited for is not needed any more. */
  nowGone(how: number = StreamRequest.CLOSE): void {
    this.end.request(how);
    this.end.release();
  }

  /** @internal */
  nowEnded(): void {
    this.#ended = true;
  }

  /** @internal */
  nowOver(error: string | undefined): void {
    // Addresses and errno stay where they are until this side lets go.
    this.#over = true;
    this.#ended = true;
    this.#error ??= error;
  }
}
