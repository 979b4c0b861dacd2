/**
 * Messages over connections, as cp_node has them: each peer is called on several connections at a time, messages of one
 * connection follow each other, a request is answered on the connection that it came on.
 *
 *   begin ─▶ Pipe.out: {request, bytes, id} … ─▶ header (16 B) and bytes ─▶ send ring          what is in them is not looked at
 *   receive ring ─▶ header ─▶ bytes taken ─▶ request: an answer into Pipe.out · answer: done
 */
import type { Burst } from '../../net/burst/burst.js';
import type { Connection } from '../../net/burst/connection.js';
import type { Listener } from '../../net/burst/listener.js';
import type { StackEvent } from '../../net/burst/sockets.js';
import type { ConnectionOptions } from '../../transports/tcp/index.js';
import { type Done, type MessageCarrier, ONE_WAY_ANSWER } from './carrier.js';

/** {u32 kind, u32 bytes, u32 id, u32 0}. */
export const HEADER = 16;
/** Kinds: with a mark, so that a stream out of step is found out. */
const MARK = 0x63700000;
const HELLO = MARK | 1;
const REQUEST = MARK | 2;
const ANSWER = MARK | 3;
/** Least room that is worth an event, bytes. */
const ROOM = 16 << 10;
/** Longest message: an id's or a length's bits gone wrong are seen. */
const MOST = 1 << 30;

interface Item {
  kind: number;
  bytes: number;
  id: number;
}

/** First in, first out, without moving what waits. */
class Fifo<T> {
  #items: T[] = [];
  #head = 0;

  get first(): T | undefined {
    return this.#items[this.#head];
  }

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): void {
    if (++this.#head < 512 || this.#head * 2 < this.#items.length) return;
    this.#items = this.#items.slice(this.#head);
    this.#head = 0;
  }
}

/** One connection. */
class Pipe {
  readonly out = new Fifo<Item>();
  /** Bytes of the first of `out` that are to be written still; undefined: its header, too. */
  unsent: number | undefined;
  /** What is being received. */
  kind = 0;
  id = 0;
  bytes = 0;
  /** Bytes of it that are to come still; undefined: its header is. */
  missing: number | undefined;
  /** Requests without an answer, by id. */
  readonly calls = new Map<number, Done>();
  usable = false;

  constructor(readonly connection: Connection<ConnectionOptions>) {}
}

export interface TcpMessagesOptions {
  /** Where requests are taken. */
  port: number;
  /** Connections to each peer. */
  ports: number;
  connection?: ConnectionOptions;
  /** Answers are 100 bytes. */
  oneWay?: boolean;
  /** Which connection of a peer takes the next message: a number below `n`. */
  choose: (n: number) => number;
  /** Who calls `turn`: with `take` an inline engine is stepped by somebody else. */
  news?: 'poll' | 'take';
}

export class TcpMessages implements MessageCarrier {
  readonly served = { requests: 0, bytesIn: 0, bytesOut: 0 };
  readonly errors: string[] = [];
  readonly #events: StackEvent<ConnectionOptions>[] = [];
  readonly #peers: Pipe[][] = [];
  readonly #header = new Uint8Array(HEADER);
  readonly #words = new DataView(this.#header.buffer);
  #listener: Listener | undefined;
  #unready = 0;
  #nextId = 0;

  constructor(
    readonly burst: Burst<ConnectionOptions>,
    readonly options: TcpMessagesOptions,
  ) {}

  /** Takes requests. @throws as Burst.listen */
  serve(address?: string): Listener {
    const { port, connection } = this.options;
    this.#listener = this.burst.listen({
      port,
      ...(address === undefined ? {} : { address }),
      backlog: 4096,
      ...(connection && { options: connection }),
    });
    return this.#listener;
  }

  /** Connects to a peer, which gets the next number. @throws as Burst.connect */
  meet(host: string, port = this.options.port): number {
    const { ports, connection } = this.options;
    const pipes = Array.from({ length: ports }, () => {
      const c = this.burst.connect({ host, port, ...(connection && { options: connection }) });
      const pipe = new Pipe(c);
      c.data = pipe;
      return pipe;
    });
    this.#unready += ports;
    return this.#peers.push(pipes) - 1;
  }

  get ready(): boolean {
    return this.#unready === 0;
  }

  answerBytes(bytes: number): number {
    return this.options.oneWay ? ONE_WAY_ANSWER : bytes;
  }

  begin(peer: number, bytes: number, done: Done): void {
    const pipes = this.#peers[peer];
    const pipe = pipes[pipes.length === 1 ? 0 : this.options.choose(pipes.length)];
    if (pipe.connection.closed) {
      done(pipe.connection.error ?? 'ECONNRESET');
      return;
    }
    const id = this.#nextId;
    this.#nextId = (this.#nextId + 1) >>> 0;
    pipe.calls.set(id, done);
    this.#send(pipe, { kind: REQUEST, bytes, id });
  }

  turn(): number {
    const events = this.#events;
    const n = this.options.news === 'take' ? this.burst.take(events) : this.burst.poll(events);
    for (let i = 0; i < n; i++) this.#hear(events[i]);
    if (n > 0) this.burst.flush();
    return n;
  }

  /** Sends off what `begin` wrote. */
  flush(): void {
    this.burst.flush();
  }

  #hear(event: StackEvent<ConnectionOptions>): void {
    const { connection } = event;
    if (event.accepted) connection.data = new Pipe(connection);
    const pipe = connection.data as Pipe | undefined;
    if (pipe === undefined) return;
    // Rings are made by the first bytes: each side says hello, and is usable when its ring is there.
    if (event.accepted || event.connected) this.#greet(pipe);
    if (!pipe.usable && connection.settled) {
      pipe.usable = true;
      if (connection.listener === undefined) this.#unready--;
    }
    this.#take(pipe);
    this.#write(pipe);
    if (event.closed || connection.ended) this.#end(pipe, event.error ?? 'ECONNRESET');
  }

  #greet({ connection }: Pipe): void {
    this.#head(HELLO, 0, 0);
    connection.write(this.#header);
    // Nobody has room for that: of the ring, when it is there, an event tells.
    if (!connection.end.hasSendRing) connection.wantRoom(MOST);
  }

  #head(kind: number, bytes: number, id: number): void {
    const w = this.#words;
    w.setUint32(0, kind, true);
    w.setUint32(4, bytes, true);
    w.setUint32(8, id, true);
  }

  #send(pipe: Pipe, item: Item): void {
    const waits = pipe.out.first !== undefined;
    pipe.out.push(item);
    if (!waits) this.#write(pipe);
  }

  #write(pipe: Pipe): void {
    const { out, connection } = pipe;
    if (!pipe.usable) return;
    for (let item = out.first; item !== undefined; item = out.first) {
      if (pipe.unsent === undefined) {
        this.#head(item.kind, item.bytes, item.id);
        while (!connection.writeAll(this.#header)) if (!connection.wantRoom(ROOM)) return;
        pipe.unsent = item.bytes;
      }
      while (pipe.unsent > 0) {
        const room = connection.room;
        if (room === 0) {
          if (connection.wantRoom(Math.min(pipe.unsent, ROOM))) continue;
          return;
        }
        const n = Math.min(room, pipe.unsent);
        connection.commit(n);
        pipe.unsent -= n;
      }
      pipe.unsent = undefined;
      if (item.kind === ANSWER) this.served.bytesOut += item.bytes;
      out.shift();
    }
  }

  #take(pipe: Pipe): void {
    const { connection } = pipe;
    for (;;) {
      if (pipe.missing === undefined) {
        if (connection.readable < HEADER) return;
        connection.read(this.#header);
        pipe.kind = this.#words.getUint32(0, true);
        pipe.bytes = this.#words.getUint32(4, true);
        pipe.id = this.#words.getUint32(8, true);
        if (pipe.kind < HELLO || pipe.kind > ANSWER || pipe.bytes > MOST) {
          this.#end(pipe, 'EPROTO');
          return;
        }
        pipe.missing = pipe.bytes;
      }
      if (pipe.missing > 0) {
        const n = Math.min(connection.readable, pipe.missing);
        if (n === 0) return;
        connection.consume(n);
        pipe.missing -= n;
        if (pipe.missing > 0) return;
      }
      pipe.missing = undefined;
      this.#came(pipe);
    }
  }

  #came(pipe: Pipe): void {
    const { kind, id, bytes } = pipe;
    if (kind === REQUEST) {
      this.served.requests++;
      this.served.bytesIn += bytes;
      this.#send(pipe, { kind: ANSWER, bytes: this.answerBytes(bytes), id });
    } else if (kind === ANSWER) {
      const done = pipe.calls.get(id);
      pipe.calls.delete(id);
      done?.(bytes === 0 && done === undefined ? 'EPROTO' : undefined);
    }
  }

  #end(pipe: Pipe, why: string): void {
    const { connection } = pipe;
    connection.data = undefined;
    connection.close();
    if (connection.listener === undefined) {
      if (!pipe.usable) this.#unready--;
      this.errors.push(why);
    }
    for (const done of pipe.calls.values()) done(why);
    pipe.calls.clear();
  }

  close(): void {
    this.#listener?.close();
    for (const c of [...this.burst.connections]) c.abort();
    this.burst.flush();
  }
}
