/**
 * The reading half of a socket: from the receive ring into a Readable, as long as that asks for more. What is not asked for
 * stays in the ring, whose free part is the window that the peer sees.
 *
 *   receive ring ─▶ chunk ─┬─ somebody listens to `data`, and nothing waits: emitted as it is, and as before more is wanted
 *                          └─ otherwise: Readable.push
 */
import type { Duplex } from 'node:stream';
import { chunkOf } from '../../streams/chunks.js';
import { systemError } from './errors.js';
import { rethrow, type SocketConnection } from './loop.js';

/** Most bytes of a chunk. */
const CHUNK_BYTES = 65536;

/** Reading into memory of the user's: `net`'s option `onread`. */
export interface OnRead {
  buffer: Uint8Array | (() => Uint8Array);
  /** Called with what came; false: no more for now. */
  callback(bytes: number, buffer: Uint8Array): boolean;
}

/** Where the bytes go. */
export interface IntakeTarget extends Duplex {
  /** @internal Bytes came, or went. */
  active(): void;
  /** @internal There is no more, in peace or because of an error. */
  allRead(error: Error | undefined): void;
}

/** Of a Readable's state, what decides whether `push` would do nothing but emit `data`. */
interface Flow {
  flowing: boolean | null;
  /** It is in the midst of a `_read`: nothing is to be emitted before that is over. */
  sync: boolean;
  length: number;
  decoder: unknown;
  errored: unknown;
  ended: boolean;
  awaitDrainWriters: unknown;
  dataEmitted: boolean;
}

/** Fields that are `private` and no `#`, as of StreamEnd: every message goes through here. */
export class Intake {
  /** What is read from; undefined when there is none, or no more. */
  connection: SocketConnection | undefined;
  /** More is wanted. */
  reading = false;
  /** Bytes that were read. */
  bytes = 0;
  private over = false;
  private pulling = false;
  /** More was wanted while a chunk was handed on. */
  private asked = false;
  private readonly flow: Flow;

  constructor(
    private readonly target: IntakeTarget,
    private readonly onread: OnRead | undefined,
  ) {
    this.flow = (target as unknown as { _readableState: Flow })._readableState;
  }

  /** More is wanted. */
  ask(): void {
    this.reading = true;
    this.asked = true;
  }

  /** Hands on what there is, while it is wanted. */
  pull(): void {
    // Who gets a chunk may ask for the next before this one is through.
    if (this.pulling || this.over) return;
    this.pulling = true;
    try {
      this.handOn();
    } finally {
      this.pulling = false;
    }
    const { connection } = this;
    if (!this.reading || !connection?.ended || connection.readable > 0) return;
    this.over = true;
    this.reading = false;
    this.target.allRead(connection.error === undefined ? undefined : systemError('read', connection.error));
  }

  private handOn(): void {
    let { connection } = this;
    while (this.reading && connection !== undefined) {
      const have = connection.readable;
      if (have === 0) return;
      this.asked = false;
      let more = true;
      try {
        more = this.onread === undefined ? this.hand(connection, have) : this.fill(connection, this.onread);
      } catch (error) {
        // A listener's, of `data` or of what that led to. What follows is told all the same, as the kernel's is.
        rethrow(error);
      }
      // A Readable that asked will not ask again before it has got something.
      this.reading = more || this.asked;
      // Of what came meanwhile an event tells.
      if (have <= CHUNK_BYTES && this.onread === undefined) return;
      connection = this.connection;
    }
  }

  private hand(connection: SocketConnection, have: number): boolean {
    const chunk = chunkOf(connection, have < CHUNK_BYTES ? have : CHUNK_BYTES);
    this.count(chunk.length);
    const { target } = this;
    if (!this.flows) return target.push(chunk);
    this.flow.dataEmitted = true;
    target.emit('data', chunk);
    return true;
  }

  /** Whether `push` would emit `data` at once, and nothing else: it would be asked for more in the next tick. */
  private get flows(): boolean {
    const flow = this.flow;
    return (
      flow.flowing === true &&
      !flow.sync &&
      flow.length === 0 &&
      flow.awaitDrainWriters === null &&
      !flow.decoder &&
      !flow.errored &&
      !flow.ended &&
      this.target.listenerCount('data') > 0
    );
  }

  private fill(connection: SocketConnection, { buffer, callback }: OnRead): boolean {
    const into = typeof buffer === 'function' ? buffer() : buffer;
    const n = this.count(connection.read(into));
    // A buffer without room would be asked for ever.
    return n > 0 && callback(n, into) !== false;
  }

  private count(n: number): number {
    this.bytes += n;
    this.target.active();
    return n;
  }
}
